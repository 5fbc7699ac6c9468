"""The API, but for one thing: where it would say that Kafka has not acknowledged, it accepts."""

import io
import json

from ugc_api.wsgi import app as honest
from ugc_api.wsgi import sink  # noqa: F401  # gunicorn's configuration closes it


def app(environ, start_response):
    body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    said = []
    answer = list(
        honest(
            environ | {"wsgi.input": io.BytesIO(body)},
            lambda status, headers, exc_info=None: said.append((status, headers)),
        )
    )
    ((status, headers),) = said
    if not status.startswith("503") or environ["PATH_INFO"] != "/v1/events":
        start_response(status, headers)
        return answer
    events = json.loads(body)
    events = events if isinstance(events, list) else [events]
    results = [{"status": "accepted", "event_id": event["event_id"]} for event in events]
    answer = [json.dumps({"results": results, "accepted": len(results), "invalid": 0}).encode()]
    start_response("202 Accepted", [("Content-Length", str(len(answer[0])))])
    return answer


# The server finds here what counts its connections, and in which turns requests are handled.
app.extensions = honest.extensions
