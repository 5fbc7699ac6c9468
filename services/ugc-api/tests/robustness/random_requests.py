"""Requests at random: most of them nearly right, because what is far off is refused early."""

import copy
import gzip
import json
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from api_samples import FILM, rating, tick

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_UUID = "018f2b7a-0000-7000-8000-00000000000c"
_ENVELOPE = {"occurred_at": 1_767_225_600_000, "session_id": _UUID}
_EVENTS: list[dict[str, Any]] = [
    # Not the samples' own ids, which are others in every process.
    tick(event_id=_UUID, session_id=_UUID),
    rating(event_id=_UUID, session_id=_UUID),
    {"type": "click", **_ENVELOPE, "element": "play", "path": "/films"},
    {"type": "page_view", **_ENVELOPE, "path": "/", "dwell_ms": 3, "content_id": str(FILM)},
    {"type": "search", **_ENVELOPE, "filters": {"genre": "drama", "year": "1999"}},
    {
        "type": "quality_change",
        **_ENVELOPE,
        "content_id": str(FILM),
        "from_quality": "sd",
        "to_quality": "hd",
    },
    {"type": "view_completed", **_ENVELOPE, "content_id": str(FILM), "duration_ms": 7_200_000},
    {"type": "bookmark", **_ENVELOPE, "content_id": str(FILM), "bookmarked": True},
    {"type": "review", **_ENVELOPE, "content_id": str(FILM), "text": "Гарний фільм 🎬"},
]
_ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 1e308, 2**31, 2**32, 2**53 + 1, 2**63, 2**64,
    -(2**63) - 1, 10**400, "", " ", "0", "null", "\x00", "\ud800", "\udfff\ud800", "\u202e",
    "é" * 300, "x" * 70_000, [], {}, [[]], {"": None}, "2026-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2026-01-01T00:00:00", "9999-12-31T23:59:60+23:59", "0000-00-00T00:00:00Z", "1e3", _UUID,
    _UUID.upper(), _UUID.replace("-", ""), "{" + _UUID + "}", "urn:uuid:" + _UUID, "view_progress",
    {"type": "view_progress"}, 1_767_225_600_000, 4_102_444_799_999, 1_577_836_800_000 - 1,
]  # fmt: skip
_ODD_BODIES = [
    b"", b" ", b"\n\n", b"null", b"[]", b"{}", b"[[]]", b"[{}]", b"0", b'"', b"\xff\xfe", b"\x00",
    b"\xef\xbb\xbf{}", b"[" * 100_000, b'{"a":' * 50_000, b"[" + b"1," * 5_000 + b"1]",
    b"9" * 5_000,
    b'{"type":"rating","type":"click"}', b"NaN", b"[Infinity]", b"{}{}", b"[],[]", b"[1 2]",
    b'{"type":"view_progress","occurred_at":' + b"1" * 10_000 + b"}",
]  # fmt: skip
_TYPES = [
    "application/json", "application/json; charset=utf-8", "application/json;charset=utf-16",
    "application/x-ndjson", "text/plain", "application/json, text/html", "APPLICATION/JSON", "",
    "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", ";;;", "a/b" * 500,
    'application/json; charset="', "application/problem+json",
]  # fmt: skip
_ENCODINGS = ["identity", "gzip", "zstd", "deflate", "br", "gzip, gzip", "x-gzip", "", "*", "GZIP"]
_BLANKS = [
    compress(b" " * size)
    for size in (1000, 30_000_000)
    for compress in (gzip.compress, zstd.compress)
]
"""Next to nothing, of which the second becomes more than any limit."""
_PATHS = [
    "/v1/events", "/v1/events/", "//v1/events", "/v1/%65vents", "/v1/events/1", "/", "/healthz",
    "/readyz", "/metrics", "/openapi.json", "/docs", "/docs/", "/docs/../etc/passwd",
    "/docs/%2e%2e/x", "/static/x", "/v1/films", "/\x00", "/é", "/" + "a" * 9_000, "*", "",
    *(f"/v1/films/{film}/{what}"
      for film in (FILM, "x", "%00", str(FILM).upper(), "..")
      for what in ("rating", "bookmark", "review", "x", "")),
]  # fmt: skip
_METHODS = ["POST", "GET", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE", "BREW", "post", ""]
_HEADERS: dict[str, list[str]] = {
    "HTTP_TRACEPARENT": ["00-" + "1" * 32 + "-" + "2" * 16 + "-01", "00-zz", "", "\x00", "f" * 999],
    "HTTP_X_REQUEST_ID": ["a-1", "", "\r\nX: y", "é", "x" * 5_000],
    "HTTP_ORIGIN": ["https://ugc.example", "null", "", "https://évil", "x" * 5_000],
    "HTTP_ACCESS_CONTROL_REQUEST_METHOD": ["POST", "", "x"],
    "HTTP_ACCESS_CONTROL_REQUEST_HEADERS": ["authorization, content-type", "é", ",,,"],
    "HTTP_IDEMPOTENCY_KEY": [_UUID, "", "x" * 500, '"' + _UUID + '"', "\x00"],
    "HTTP_ACCEPT": ["*/*", "text/html;q=é", ""],
    "HTTP_X_FORWARDED_FOR": ["1.2.3.4", "é", "x," * 500],
    "HTTP_TRANSFER_ENCODING": ["chunked", "gzip"],
    "HTTP_EXPECT": ["100-continue"],
    "HTTP_HOST": ["", "é", "a:b:c", "x" * 900],
    "QUERY_STRING": ["a=b", "%", "é", "x" * 9_000],
    "CONTENT_LENGTH": ["", "-1", "abc", "0", "1", "99999999999999999999", "1e3"],
}


@dataclass(frozen=True)
class RandomRequest:
    """One request.

    Attributes:
        environ: of WSGI, less the body's stream.
        body: its bytes.
    """

    environ: dict[str, str]
    body: bytes


def random_request(chance: Random, tokens: list[str]) -> RandomRequest:
    """A request drawn by `chance` alone; `tokens` are valid ones."""
    odd = chance.random()
    body = _body(chance)
    content_type = chance.choice(_TYPES) if odd < 0.1 else "application/json"
    encoding = ""
    if chance.random() < 0.15:
        encoding, body = _encoded(chance, body)
    environ = {
        "REQUEST_METHOD": "POST" if chance.random() < 0.9 else chance.choice(_METHODS),
        "PATH_INFO": "/v1/events" if chance.random() < 0.85 else chance.choice(_PATHS),
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_AUTHORIZATION": _authorization(chance, tokens),
    }
    if encoding or chance.random() < 0.02:
        environ["HTTP_CONTENT_ENCODING"] = encoding
    for name, values in _HEADERS.items():
        if chance.random() < 0.02:
            environ[name] = chance.choice(values)
    # As a server passes them on: bytes as Latin-1.
    return RandomRequest(
        {k: v.encode("utf-8", "replace").decode("latin-1") for k, v in environ.items()}, body
    )


def _authorization(chance: Random, tokens: list[str]) -> str:
    token = chance.choice(tokens)
    if chance.random() < 0.9:
        return f"Bearer {token}"
    head, payload, signature = token.split(".")
    return chance.choice(
        [
            "", "Bearer", "Bearer ", f"bearer {token}", f"Basic {token}", "Bearer x", "Bearer ...",
            "Bearer " + "a" * 20_000, f"Bearer {head}.{payload}.", f"Bearer {head}..{signature}",
            f"Bearer eyJhbGciOiJub25lIn0.{payload}.", f"Bearer {head}.{payload}.{signature[:-1]}é",
            f"Bearer {token}, Bearer {token}", f"Bearer {signature}.{payload}.{head}", "\x00",
            f"Bearer {'.' * 3000}", f"Bearer {head}.{payload}{payload}.{signature}",
        ]
    )  # fmt: skip


def random_body(chance: Random) -> bytes:
    """A body, not compressed."""
    return _body(chance)


def _body(chance: Random) -> bytes:
    draw = chance.random()
    if draw < 0.05:
        return chance.choice(_ODD_BODIES)
    events = [copy.deepcopy(chance.choice(_EVENTS)) for _ in range(_size(chance))]
    for event in events:
        if chance.random() < 0.25:
            _bend(chance, event)
    body: Any = events[0] if len(events) == 1 and chance.random() < 0.7 else events
    data = b"\n".join(map(_json, events)) if draw < 0.12 else _json(body)
    if chance.random() < 0.2:
        data = _bytes_changed(chance, data)
    return data


def _size(chance: Random) -> int:
    if chance.random() < 0.003:
        return 1001
    return 1 if chance.random() < 0.6 else chance.randint(1, 12)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _bend(chance: Random, event: dict[str, Any]) -> None:
    """Break, or only change, a field or two."""
    for _ in range(chance.randint(1, 2)):
        name = chance.choice(list(event) or ["type"])
        chance.choice(_BENDS)(chance, event, name)


def _replace(chance: Random, event: dict[str, Any], name: str) -> None:
    event[name] = chance.choice(_ODD_VALUES)


def _drop(_chance: Random, event: dict[str, Any], name: str) -> None:
    event.pop(name, None)


def _rename(chance: Random, event: dict[str, Any], name: str) -> None:
    event[chance.choice([name.upper(), name + " ", "", "user_id", "received_at"])] = event.pop(
        name, None
    )


def _add(chance: Random, event: dict[str, Any], _name: str) -> None:
    field = chance.choice(
        ["event_id", "schema_version", "user_id", "x" * 300, "\ud800", "content_id"]
    )
    event[field] = chance.choice(_ODD_VALUES)


def _nest(chance: Random, event: dict[str, Any], name: str) -> None:
    value: Any = event.get(name)
    for _ in range(chance.choice([1, 3, 200])):
        value = chance.choice([[value], {"a": value}])
    event[name] = value


_BENDS: list[Callable[[Random, dict[str, Any], str], None]] = [
    _replace, _replace, _replace, _drop, _rename, _add, _nest,
]  # fmt: skip


def _bytes_changed(chance: Random, data: bytes) -> bytes:
    changed = bytearray(data)
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(changed) + 1)
        match chance.randrange(6):
            case 0 if changed:
                changed[at % len(changed)] ^= 1 << chance.randrange(8)
            case 1:
                changed[at:at] = chance.randbytes(chance.randint(1, 8))
            case 2:
                del changed[at : at + chance.randint(1, 20)]
            case 3:
                del changed[at:]
            case 4:
                changed[at:at] = changed[chance.randrange(len(changed) + 1) :][:200]
            case _:
                changed[at:at] = chance.choice(
                    [b"\\u0000", b"\\ud800", b"\n", b",", b"]", b"{", b'"']
                )
    return bytes(changed)


def _encoded(chance: Random, data: bytes) -> tuple[str, bytes]:
    """A Content-Encoding, which may be the right one, and the body."""
    encoding = chance.choice(_ENCODINGS)
    name, compress = chance.choice(_CODINGS)
    match chance.randrange(7):
        case 0:
            return encoding, chance.choice(_BLANKS)
        case 1:
            return name, chance.choice(_BLANKS)
        case 2:
            return encoding, zlib.compress(data)
        case 3:
            return name, _bytes_changed(chance, compress(data))
        case 4:
            return name, compress(compress(data)) + compress(data)
        case 5:
            return encoding, data
        case _:
            return name, compress(data)


_CODINGS: list[tuple[str, Callable[[bytes], bytes]]] = [
    ("gzip", gzip.compress),
    ("zstd", zstd.compress),
]
