"""`/openapi.json`, and `/docs`: the same to be looked through and tried, with Swagger UI.

The page's assets come from a package of the lock, so that it works without the internet, and
nothing of it is inline, so that a strict Content-Security-Policy holds.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

import msgspec
from flask import Flask, Response, send_from_directory

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>UGC API</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
<div id="page"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</html>
"""
_START = """SwaggerUIBundle({url: "openapi.json", dom_id: "#page", deepLinking: true});
"""
# Swagger UI sets styles on its elements and draws icons from data: addresses.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_ASSETS = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")


def add_docs(app: Flask, document: dict[str, Any]) -> None:
    """Add the routes.

    Args:
        app: gets them.
        document: in OpenAPI's form.
    """
    encoded = msgspec.json.encode(document)
    assets = str(importlib.resources.files("flask_swagger_ui") / "dist")

    @app.get("/openapi.json")
    def openapi() -> Response:
        return Response(encoded, content_type="application/json")

    @app.get("/docs")
    def docs() -> Response:
        page = Response(_PAGE, content_type="text/html; charset=utf-8")
        page.headers["Content-Security-Policy"] = _POLICY
        return page

    @app.get("/docs/<name>")
    def docs_asset(name: str) -> Response:
        if name == "start.js":
            return Response(_START, content_type="text/javascript; charset=utf-8")
        # What is not one of them does not exist, whatever else is in the folder.
        return send_from_directory(assets, name if name in _ASSETS else "none", max_age=86_400)
