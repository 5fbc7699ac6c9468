"""Asking an HTTP server on this machine whether it is well."""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit


def answers_ok(url: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a GET of `url` gives status 200; False while nothing listens there."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
