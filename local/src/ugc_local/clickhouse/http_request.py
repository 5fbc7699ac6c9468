"""What an HTTP request to ClickHouse asks for, taken out of its URL, headers and form."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

from ugc_local.clickhouse.client_session import DEFAULT_TIMEOUT_S
from ugc_local.clickhouse.compression import choose_coding
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.statements import require_format

# Parameters of the interface; every other one is a setting.
_INTERFACE = frozenset(
    {
        *("query", "user", "password", "database", "default_format", "query_id", "quota_key"),
        *("wait_end_of_query", "buffer_size", "enable_http_compression", "stacktrace", "role"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress"),
        *("client_protocol_version", "close_session", "http_response_buffer_size"),
    }
)
# How a file of a form is read: `<its name>_format` and so on.
TABLE_SUFFIXES = ("_format", "_structure", "_types")


@dataclass(frozen=True)
class HttpQuery:
    """A query over HTTP, apart from its body.

    `coding` is the content coding of the reply ("" for none), `frames` whether it comes in
    ClickHouse's own frames instead. `session_id` is "" for a query on its own.
    """

    query: str
    user: str
    password: str
    database: str
    default_format: str
    query_id: str
    settings: Mapping[str, str]
    params: Mapping[str, str]
    buffered: bool
    coding: str
    frames: bool
    protocol_version: int
    session_id: str
    session_timeout_s: int
    session_must_exist: bool
    ends_session: bool

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"HttpQuery({self.query!r}, user={self.user!r})"


def split_target(target: str) -> tuple[str, dict[str, str]]:
    """Split the request line's target into path and parameters."""
    url = urlsplit(target)
    return url.path, dict(
        parse_qsl(url.query, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    )


def read_query(given: Mapping[str, str], headers: Message, *, is_form: bool) -> HttpQuery:
    """Read parameters and headers; raises `QueryError`. A form may describe its files."""
    if given.get("role"):
        raise QueryError(48, "The embedded server has no roles")
    user, password = _credentials(given, headers)
    compresses = _is_on(given, "enable_http_compression", default="1")  # the engine's own default
    settings = {
        name: value
        for name, value in given.items()
        if name not in _INTERFACE
        and not name.startswith("param_")
        and not (is_form and name.endswith(TABLE_SUFFIXES))
    }
    return HttpQuery(
        query=given.get("query", ""),
        user=user,
        password=password,
        database=given.get("database") or str(headers.get("X-ClickHouse-Database", "")),
        default_format=require_format(
            given.get("default_format") or headers.get("X-ClickHouse-Format") or "TabSeparated"
        ),
        query_id=given.get("query_id", ""),
        settings=settings,
        params={
            name.removeprefix("param_"): value
            for name, value in given.items()
            if name.startswith("param_")
        },
        buffered=_is_on(given, "wait_end_of_query") or _is_on(given, "http_wait_end_of_query"),
        coding=choose_coding(headers.get("Accept-Encoding", "")) if compresses else "",
        frames=_is_on(given, "compress"),
        protocol_version=_number(given, "client_protocol_version", 0),
        session_id=given.get("session_id", ""),
        session_timeout_s=_number(given, "session_timeout", DEFAULT_TIMEOUT_S),
        session_must_exist=_is_on(given, "session_check"),
        ends_session=_is_on(given, "close_session"),
    )


def _is_on(given: Mapping[str, str], name: str, default: str = "0") -> bool:
    return given.get(name, default).lower() in ("1", "true")


def _number(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name, "") or str(default)
    if not text.isdecimal():
        raise QueryError(36, f"The parameter {name} is not a number: {text}")
    return int(text)


def _credentials(given: Mapping[str, str], headers: Message) -> tuple[str, str]:
    """ClickHouse's own headers, else Basic authentication, else parameters, else `default`."""
    if "X-ClickHouse-User" in headers or "X-ClickHouse-Key" in headers:
        return headers.get("X-ClickHouse-User", "default"), headers.get("X-ClickHouse-Key", "")
    scheme, _, encoded = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "basic":
        try:
            name, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError) as error:
            raise QueryError(516, "The Authorization header is not Basic") from error
        return name, password
    if scheme:
        raise QueryError(516, f"Authentication by {scheme} is not known here")
    return given.get("user", "default"), given.get("password", "")


# Formats whose pieces can follow one another: a streamed piece begins with no header of its own,
STREAMED_FORMATS = frozenset(
    {
        *("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "Native"),
        *("JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow"),
        *("JSONCompactStringsEachRow", "TSKV"),
    }
)
# or with one that is the same in every piece.
HEADED_FORMATS = frozenset(
    f"{name}{head}"
    for name in (
        *("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary"),
        *("JSONCompactEachRow", "JSONCompactStringsEachRow"),
    )
    for head in ("WithNames", "WithNamesAndTypes")
)

_BINARY_FORMATS = ("Native", "RowBinary", "Parquet", "Arrow", "ORC", "Avro", "MsgPack", "BSON")


def content_type(output_format: str) -> str:
    """Return the media type that ClickHouse gives a format."""
    name = output_format.lower()
    if name.startswith(tuple(binary.lower() for binary in _BINARY_FORMATS)):
        return "application/octet-stream"
    if name.startswith(("tabseparated", "tsv")):
        kind = "text/tab-separated-values"
    elif name.startswith("csv"):
        kind = "text/csv"
    elif name.endswith(("eachrow", "jsonlines", "ndjson")) and "json" in name:
        kind = "application/x-ndjson"
    elif name.startswith("json"):
        kind = "application/json"
    elif name == "xml":
        kind = "application/xml"
    else:
        kind = "text/plain"
    return f"{kind}; charset=UTF-8"
