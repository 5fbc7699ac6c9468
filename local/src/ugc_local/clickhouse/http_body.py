"""The body of an HTTP request: its bytes as they come, and forms (RFC 7578) taken apart."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from email.message import Message
from io import BufferedIOBase

from ugc_local.clickhouse.errors import QueryError

_PIECE_BYTES = 1 << 20
MAX_FORM_BYTES = 1 << 28
"""A larger form is refused: the server holds it whole."""


class Body:
    """Reads a body piece by piece. `complete` says whether all of it was read."""

    def __init__(self, source: BufferedIOBase, headers: Message) -> None:
        """Read from `source`, behind the headers; raises `QueryError` 381 without a length."""
        self._source = source
        self.complete = False
        if "chunked" in headers.get("Transfer-Encoding", "").lower():
            self._pieces = self._chunks()
        elif headers.get("Content-Length", "").isdecimal():
            self._pieces = self._counted(int(headers["Content-Length"]))
        else:
            raise QueryError(381, "The request has neither Content-Length nor chunks")

    def __iter__(self) -> Iterator[bytes]:
        """Yield pieces of at most a mebibyte; EOFError if the client leaves before the end."""
        yield from self._pieces
        self.complete = True

    def _counted(self, size: int) -> Iterator[bytes]:
        left = size
        while left:
            piece = self._source.read(min(left, _PIECE_BYTES))
            if not piece:
                raise EOFError("the body of a request is cut off")
            left -= len(piece)
            yield piece

    def _chunks(self) -> Iterator[bytes]:
        while True:
            try:
                left = int(self._source.readline(1024).split(b";")[0], 16)
            except ValueError:
                raise EOFError("the chunks of a request are broken") from None
            if left == 0:
                while self._source.readline(65536).strip():
                    pass  # trailers
                return
            yield from self._counted(left)
            self._source.readline(16)


@dataclass(frozen=True)
class Form:
    """Fields by name, and files by the name of their field."""

    fields: dict[str, str]
    files: dict[str, bytes]


def form_boundary(content_type: str) -> str:
    """Return the boundary of a `multipart/form-data`, "" for another media type."""
    message = Message()
    message["Content-Type"] = content_type
    if message.get_content_type() != "multipart/form-data":
        return ""
    return str(message.get_boundary("")) or ""


def read_form(pieces: Iterator[bytes], boundary: str) -> Form:
    """Read a whole form; raises `QueryError` 36 for one that is broken or too large."""
    body = bytearray(b"\r\n")
    for piece in pieces:
        body += piece
        if len(body) > MAX_FORM_BYTES:
            raise QueryError(36, f"A form of more than {MAX_FORM_BYTES} bytes")
    found = Form({}, {})
    parts = bytes(body).split(b"\r\n--" + boundary.encode())
    if len(parts) < 2 or not parts[-1].startswith(b"--"):
        raise QueryError(36, "The form in the body does not end")
    for part in parts[1:-1]:
        head, separator, content = part.partition(b"\r\n\r\n")
        disposition = re.search(rb"(?im)^content-disposition:(.*)$", head)
        if not separator or disposition is None:
            raise QueryError(36, "A part of the form in the body has no header")
        message = Message()
        message["Content-Disposition"] = disposition[1].decode("utf-8", "surrogateescape").strip()
        name = str(message.get_param("name", "", "Content-Disposition"))
        if message.get_filename() is None:
            found.fields[name] = content.decode("utf-8", "surrogateescape")
        else:
            found.files[name] = content
    return found
