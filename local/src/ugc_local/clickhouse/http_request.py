"""What an HTTP request to ClickHouse asks for, taken out of its URL and headers."""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from email.message import Message
from urllib.parse import parse_qsl, urlsplit

from ugc_local.clickhouse.errors import QueryError

# Parameters of the interface; every other one is a setting. The sessions of the HTTP interface
# and the native compression of bodies are not kept here.
_INTERFACE = frozenset(
    {
        *("query", "user", "password", "database", "default_format", "query_id", "quota_key"),
        *("wait_end_of_query", "buffer_size", "enable_http_compression", "stacktrace", "role"),
        *("session_id", "session_timeout", "session_check", "compress", "decompress"),
        *("client_protocol_version", "close_session"),
    }
)
_UNSUPPORTED = ("compress", "decompress")


@dataclass(frozen=True)
class HttpQuery:
    """A query over HTTP, apart from its body."""

    path: str
    query: str
    user: str
    password: str
    database: str
    default_format: str
    query_id: str
    settings: Mapping[str, str]
    params: Mapping[str, str]
    buffered: bool
    gzip: bool

    def __repr__(self) -> str:
        """Leave the password out."""
        return f"HttpQuery({self.path!r}, {self.query!r}, user={self.user!r})"


def read_request(target: str, headers: Message) -> HttpQuery:
    """Read the request line's target and the headers; raises `QueryError`."""
    url = urlsplit(target)
    given = dict(
        parse_qsl(url.query, keep_blank_values=True, encoding="utf-8", errors="surrogateescape")
    )
    for name in _UNSUPPORTED:
        if given.get(name, "0") not in ("", "0"):
            raise QueryError(48, f"The embedded server does not know the parameter {name}")
    user, password = _credentials(given, headers)
    accepts_gzip = "gzip" in headers.get("Accept-Encoding", "")
    return HttpQuery(
        path=url.path,
        query=given.get("query", ""),
        user=user,
        password=password,
        database=given.get("database") or str(headers.get("X-ClickHouse-Database", "")),
        default_format=given.get("default_format")
        or headers.get("X-ClickHouse-Format")
        or "TabSeparated",
        query_id=given.get("query_id", ""),
        settings={
            name: value
            for name, value in given.items()
            if name not in _INTERFACE and not name.startswith("param_")
        },
        params={
            name.removeprefix("param_"): value
            for name, value in given.items()
            if name.startswith("param_")
        },
        buffered=given.get("wait_end_of_query") == "1",
        gzip=accepts_gzip and given.get("enable_http_compression") == "1",
    )


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


# Formats whose pieces can follow one another: a streamed piece begins with no header of its own.
STREAMED_FORMATS = frozenset(
    {
        *("TabSeparated", "TSV", "TabSeparatedRaw", "TSVRaw", "CSV", "RowBinary", "Native"),
        *("JSONEachRow", "JSONLines", "NDJSON", "JSONCompactEachRow", "JSONStringsEachRow"),
        *("JSONCompactStringsEachRow", "TSKV"),
    }
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
