"""Asking an HTTP server on this machine whether it is well."""

from __future__ import annotations

import http.client
from typing import Any
from urllib.parse import urlsplit

import msgspec


def answers_ok(url: str, *, timeout_s: float = 2.0) -> bool:
    """Whether a GET of `url` gives status 200; False while nothing listens there."""
    return probe(url, timeout_s=timeout_s)[0]


def probe(url: str, *, timeout_s: float = 2.0) -> tuple[bool, str]:
    """Whether a GET of `url` gives status 200, and what it says: a sentence."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        response = connection.getresponse()
        body = response.read(4096).decode(errors="replace").strip()
        if response.status == http.HTTPStatus.OK:
            return True, body
        return False, _detail(body) or f"answers {response.status}"
    except TimeoutError:
        return False, f"no answer within {timeout_s:g} s"
    except (OSError, http.client.HTTPException) as error:
        return False, f"no answer: {error}"
    finally:
        connection.close()


def _detail(body: str) -> str:
    """The sentence of a problem document (RFC 9457), else the text itself."""
    try:
        found = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return body
    return str(found.get("detail", body))
