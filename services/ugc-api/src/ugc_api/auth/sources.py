"""Where public keys come from: files and an issuer's URL."""

from __future__ import annotations

import io
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException, HTTPMessage, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import IO, Any

from ugc_api.auth.jose import Key, KeyMaterialError, jwks_keys, pem_keys, secret_keys

TIMEOUT_S = 3.0
MAX_BYTES = 256 * 1024
_PIECE_BYTES = 16 * 1024


def from_secrets(path: str) -> Callable[[], list[Key]]:
    """Reads the shared secrets of a file."""
    return lambda: secret_keys(_file(path))


def from_pem(path: str) -> Callable[[], list[Key]]:
    """Reads the public keys of a PEM file."""
    return lambda: pem_keys(_file(path))


def from_jwks(place: str) -> Callable[[], list[Key]]:
    """Reads a JSON Web Key Set: from an http or https URL, else from the file of that name."""
    if is_url(place):
        return lambda: jwks_keys(_fetch(place))
    return lambda: jwks_keys(_file(place))


def is_url(place: str) -> bool:
    """Whether it is asked over the network; else it is a file."""
    return place.startswith(("https://", "http://"))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Keys come from where the operator said, not from where an answer points."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        """See urllib: None turns the answer into an error."""
        del req, fp, code, msg, headers, newurl


class _Timed(io.RawIOBase):
    """What a socket receives until a moment of the monotonic clock.

    A time-out of a socket is for each piece that comes, and a byte a second is a piece.
    """

    def __init__(self, sock: socket.socket, end_s: float) -> None:
        self._sock = sock
        self._file = sock.makefile("rb", buffering=0)
        self._end_s = end_s

    def readable(self) -> bool:
        """See io."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """See io. Raises TimeoutError."""
        left_s = self._end_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("the issuer sends too slowly")
        self._sock.settimeout(left_s)
        return self._file.readinto(buffer)

    def close(self) -> None:
        """See io."""
        self._file.close()
        super().close()


class _TimedAnswer(HTTPResponse):
    """An answer that is there, its head too, TIMEOUT_S after it was asked for."""

    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp.close()
        self.fp = io.BufferedReader(_Timed(sock, time.monotonic() + TIMEOUT_S))


class _Http(HTTPConnection):
    response_class = _TimedAnswer


class _Https(HTTPSConnection):
    response_class = _TimedAnswer


class _HttpHandler(urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """See urllib."""
        return self.do_open(_Http, req)


class _HttpsHandler(urllib.request.HTTPSHandler):
    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """See urllib."""
        return self.do_open(_Https, req)


def _file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        content = file.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise KeyMaterialError(f"more than {MAX_BYTES} bytes")
    return content


def _fetch(url: str) -> bytes:
    """The body at `url`, whole, within twice TIMEOUT_S and MAX_BYTES. Raises OSError."""
    try:
        request = urllib.request.Request(url, headers={"Accept": "application/json"})  # noqa: S310
        return _body(request)
    except urllib.error.HTTPError as error:
        error.close()
        raise OSError(f"the issuer answers {error.code}") from error
    except HTTPException as error:
        raise OSError(f"the issuer breaks HTTP: {type(error).__name__}") from error
    except ValueError as error:  # of urllib, of a socket, of a codec of names
        if isinstance(error, KeyMaterialError):
            raise
        raise OSError(f"not an address: {url}") from error


def _body(request: urllib.request.Request) -> bytes:
    opener = urllib.request.build_opener(_NoRedirect, _HttpHandler, _HttpsHandler)
    body = b""
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        while piece := answer.read1(_PIECE_BYTES):
            body += piece
            if len(body) > MAX_BYTES:
                raise KeyMaterialError(f"more than {MAX_BYTES} bytes")
    return body
