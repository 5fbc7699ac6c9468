import re
from html.parser import HTMLParser

import pytest
from api_samples import settings, tick
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_events import FAMILIES, ViewProgress


def test_every_route_is_described_and_no_other() -> None:
    app = create_app(settings(), MemorySink())
    routes = {
        (re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", rule.rule), method.lower())
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    described = {(path, method) for path, item in document["paths"].items() for method in item}
    assert described == routes - {("/docs/{name}", "get")}


def test_limits_and_types_are_those_of_the_code(sink: MemorySink) -> None:
    app = create_app(settings(api_max_batch=7, api_max_body_bytes=2048), sink)
    document = app.test_client().get("/openapi.json").json
    assert document is not None
    assert document["openapi"].startswith("3.1")
    post = document["paths"]["/v1/events"]["post"]
    one, many = post["requestBody"]["content"]["application/json"]["schema"]["anyOf"]
    assert many["maxItems"] == 7
    assert "2048 bytes" in post["description"]
    event = document["components"]["schemas"][one["$ref"].rpartition("/")[2]]
    tags = {str(kind.__struct_config__.tag) for family in FAMILIES for kind in family.types}
    assert set(event["discriminator"]["mapping"]) == tags
    view = document["components"]["schemas"]["ViewProgressSubmission"]
    assert view["properties"].keys() == tick().keys() | {"schema_version"}
    assert view["additionalProperties"] is False
    assert view["properties"]["schema_version"]["maximum"] == ViewProgress.VERSION


def test_every_reference_leads_somewhere(client: FlaskClient) -> None:
    text = client.get("/openapi.json").text
    document = client.get("/openapi.json").json
    assert document is not None
    names = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert names
    assert names <= document["components"]["schemas"].keys()


def test_what_a_resource_takes_is_described(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    assert document is not None

    def schema(path: str, method: str) -> dict[str, object]:
        body = document["paths"][f"/v1/films/{{film_id}}/{path}"][method]["requestBody"]
        found: dict[str, object] = body["content"]["application/json"]["schema"]
        return found

    assert schema("rating", "put")["required"] == ["score"]
    assert schema("review", "put")["required"] == ["text"]
    assert schema("bookmark", "put")["required"] == []
    assert schema("rating", "delete")["required"] == []


class _Addresses(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.inline = ""
        self._in_script = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in ("src", "href") and value]
        self._in_script = tag == "script"

    def handle_data(self, data: str) -> None:
        if self._in_script:
            self.inline += data.strip()


def test_the_page_needs_nothing_but_this_server(client: FlaskClient) -> None:
    page = client.get("/docs")
    addresses = _Addresses()
    addresses.feed(page.text)
    assert len(addresses.found) == 4
    assert addresses.inline == ""
    for address in addresses.found:
        with client.get("/" + address) as asset:
            assert asset.status_code == 200
            assert asset.data
    assert "script-src 'self';" in page.headers["Content-Security-Policy"]
    assert "SwaggerUIBundle(" in client.get("/docs/start.js").text


def test_an_asset_is_kept_for_a_day_and_then_asked_after(client: FlaskClient) -> None:
    asset = client.get("/docs/swagger-ui.css")
    assert asset.headers["Cache-Control"] == "public, max-age=86400"
    again = client.get("/docs/swagger-ui.css", headers={"If-None-Match": asset.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")


@pytest.mark.parametrize(
    "path", ["/docs/index.css", "/docs/none", "/docs/..%2fflask_swagger_ui.py", "/docs/VERSION"]
)
def test_nothing_else_is_served(client: FlaskClient, path: str) -> None:
    assert client.get(path).status_code == 404
