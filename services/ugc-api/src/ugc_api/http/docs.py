"""`/openapi.json`, and `/docs`: the same to be looked through and tried, with Swagger UI.

The page's assets come from a package of the lock, so that it works without the internet, and
nothing of it is inline, so that a strict Content-Security-Policy holds.
"""

from __future__ import annotations

import importlib.resources
from typing import Any

import msgspec
from flask import Flask, Response, abort, request

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
_ASSETS = {
    "swagger-ui.css": "text/css; charset=utf-8",
    "swagger-ui-bundle.js": "text/javascript; charset=utf-8",
    "favicon-32x32.png": "image/png",
}


def add_docs(app: Flask, document: dict[str, Any]) -> None:
    """Add the routes.

    Args:
        app: gets them.
        document: in OpenAPI's form.
    """
    encoded = msgspec.json.encode(document)
    folder = importlib.resources.files("flask_swagger_ui") / "dist"
    # Read once: however many clients are slow to take one, it is in memory once.
    assets = {name: (folder / name).read_bytes() for name in _ASSETS}

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
        if name not in assets:
            abort(404)
        asset = Response(assets[name], content_type=_ASSETS[name])
        asset.cache_control.public = True
        asset.cache_control.max_age = 86_400
        asset.add_etag()
        asset.make_conditional(request)
        return asset
