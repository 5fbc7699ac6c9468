import re
from typing import Any

import msgspec
import pytest
from api_samples import NOW_MS, settings
from flask.testing import FlaskClient
from ugc_api.adapters.memory import MemorySink
from ugc_api.http.app import create_app
from ugc_api.ingest import Answer
from ugc_api.openapi import Problem
from werkzeug.test import TestResponse


def described(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """The description of a route's answers; None where there is no such route."""
    for template, item in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path) and method.lower() in item:
            answers: dict[str, Any] = item[method.lower()]["responses"]
            return answers
    return None


class CheckedClient(FlaskClient):
    """Every answer of a described route has to be as it is described."""

    document: dict[str, Any] | None = None

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        response = super().open(*args, **kwargs)
        if self.document is None:
            self.document = msgspec.json.decode(super().open("/openapi.json").data)
        request = response.request
        answers = described(self.document, request.method, request.path)
        if answers is None or request.path == "/openapi.json":
            return response
        answer = answers.get(str(response.status_code))
        assert answer is not None, f"{request} → {response.status} is not described"
        media_type = response.content_type.partition(";")[0]
        assert media_type in answer["content"], f"{request} → {media_type} is not described"
        if media_type == "application/problem+json":
            msgspec.json.decode(response.data, type=Problem)
        elif media_type == "application/json":
            msgspec.json.decode(response.data, type=Answer)
        return response


@pytest.fixture
def client(sink: MemorySink) -> FlaskClient:
    app = create_app(settings(), sink, clock_ms=lambda: NOW_MS)
    app.test_client_class = CheckedClient
    return app.test_client()
