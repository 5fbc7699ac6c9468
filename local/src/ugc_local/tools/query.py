"""A statement to ClickHouse over HTTP, its answer passed on byte by byte as it comes."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from urllib.parse import urlencode, urlsplit

_CHUNK_BYTES = 64 * 1024
# The server ends what takes a minute by itself; this only notices a machine that has stopped.
_SILENCE_S = 300.0


class AskError(Exception):
    """ClickHouse refused the statement or could not be reached; the message is what it said."""


def ask(
    url: str,
    user: tuple[str, str],
    sql: str,
    *,
    default_format: str,
    settings: dict[str, str] | None = None,
) -> Iterator[bytes]:
    """The answer in pieces, in bounded memory; closing the iterator stops the query.

    Args:
        url: of ClickHouse's HTTP interface.
        user: name and password.
        sql: one statement.
        default_format: of the answer, where the statement names none.
        settings: of the query.

    Raises AskError, also in the middle of an answer.
    """
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=_SILENCE_S)
    parameters = {**(settings or {}), "default_format": default_format}
    headers = {"X-ClickHouse-User": user[0], "X-ClickHouse-Key": user[1]}
    try:
        connection.request("POST", "/?" + urlencode(parameters), sql.encode(), headers)
        response = connection.getresponse()
        if response.status != http.client.OK:
            raise AskError(response.read().decode(errors="replace").strip())
        yield from _body(response)
    except http.client.IncompleteRead as error:
        raise AskError("the answer broke off: ClickHouse has ended or lost the query") from error
    except (OSError, http.client.HTTPException) as error:
        raise AskError(
            f"ClickHouse at {parts.netloc} does not answer ({error}): ugc status says what runs"
        ) from error
    finally:
        connection.close()


def _body(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body without the exception that may end it."""
    tag = response.getheader("X-ClickHouse-Exception-Tag")
    return _untagged(response) if tag is None else _tagged(response, tag)


def _untagged(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """Before 25.11 a failure behind the headers is text in the last chunk, and no end follows."""
    held = b""
    try:
        while piece := response.read1(_CHUNK_BYTES):
            yield held
            held = piece
    except http.client.IncompleteRead:
        before, found, message = held.rpartition(b"Code: ")
        if not found:
            yield held
            raise
        yield before
        raise AskError((found + message).decode(errors="replace").strip()) from None
    yield held


def _tagged(response: http.client.HTTPResponse, tag: str) -> Iterator[bytes]:
    """Since 25.11 it stands between two lines `__exception__`, the tag with it."""
    marker = f"__exception__\r\n{tag}\r\n".encode()
    # What may be the marker's beginning, with the line end before it, waits for more.
    held_bytes = len(marker) + 1
    held = b""
    while piece := response.read1(_CHUNK_BYTES):
        held += piece
        before, found, message = held.partition(marker)
        if found:
            yield before.removesuffix(b"\r\n")
            raise AskError(_message(message, response, tag))
        if len(held) > held_bytes:
            yield held[:-held_bytes]
            held = held[-held_bytes:]
    yield held


def _message(beginning: bytes, response: http.client.HTTPResponse, tag: str) -> str:
    try:
        text = beginning + response.read()
    except http.client.IncompleteRead as error:
        text = beginning + error.partial
    sentence, _, _ = text.decode(errors="replace").partition("\r\n__exception__")
    message, _, last = sentence.strip().rpartition("\n")
    return message.strip() if last.endswith(tag) else sentence.strip()
