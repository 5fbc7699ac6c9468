"""A request's body: of a type that is taken, and decompressed."""

from __future__ import annotations

from flask import request
from werkzeug.exceptions import ClientDisconnected

from ugc_api.bodies import expand
from ugc_api.http.problems import MediaTypeError

JSON = "application/json"
LINES = ("application/x-ndjson", "application/jsonl")


class Bodies:
    """Reads the body of the request that is being handled.

    Args:
        max_bytes: of a body as it came, and decompressed.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes

    def events(self) -> tuple[bytes, bool]:
        """The body, and whether its client says that it is newline-delimited JSON.

        Raises MediaTypeError and what `ugc_api.bodies.expand` raises.
        """
        media_type = request.mimetype
        if media_type != JSON and media_type not in LINES:
            raise MediaTypeError(f"send Content-Type: {JSON} or {LINES[0]}")
        return self._expanded(), media_type != JSON

    def json_or_nothing(self) -> bytes:
        """The body, which has to say that it is JSON unless it is empty. Raises the same."""
        body = self._expanded()
        if body and request.mimetype != JSON:
            raise MediaTypeError(f"send Content-Type: {JSON}, or no body")
        return body

    def _expanded(self) -> bytes:
        length = request.content_length
        if length is not None and length <= self._max_bytes:
            # Flask's own way reads piece by piece; here the server has all of it already.
            body = request.environ["wsgi.input"].read(length)
            if len(body) < length:
                raise ClientDisconnected
        else:
            body = request.get_data(cache=False)
        return expand(body, request.headers.get("Content-Encoding", ""), self._max_bytes)
