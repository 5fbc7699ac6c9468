"""The error that a client is shown (ClickHouse's code, name, message), and that of the start."""

from http import HTTPStatus

# The codes that the server raises by itself; all others come from the engine. From ClickHouse's
# src/Common/ErrorCodes.cpp.
_NAMES = {
    24: "CANNOT_WRITE_TO_OSTREAM",
    33: "CANNOT_READ_ALL_DATA",
    36: "BAD_ARGUMENTS",
    40: "CHECKSUM_DOESNT_MATCH",
    48: "NOT_IMPLEMENTED",
    50: "UNKNOWN_TYPE",
    62: "SYNTAX_ERROR",
    73: "UNKNOWN_FORMAT",
    81: "UNKNOWN_DATABASE",
    89: "UNKNOWN_COMPRESSION_METHOD",
    101: "UNEXPECTED_PACKET_FROM_CLIENT",
    117: "INCORRECT_DATA",
    164: "READONLY",
    209: "SOCKET_TIMEOUT",
    216: "QUERY_WITH_SAME_ID_IS_ALREADY_RUNNING",
    236: "ABORTED",
    271: "CANNOT_DECOMPRESS",
    354: "ZLIB_INFLATE_FAILED",
    372: "SESSION_NOT_FOUND",
    373: "SESSION_IS_LOCKED",
    374: "INVALID_SESSION_TIMEOUT",
    381: "HTTP_LENGTH_REQUIRED",
    394: "QUERY_WAS_CANCELLED",
    497: "ACCESS_DENIED",
    516: "AUTHENTICATION_FAILED",
    554: "LZMA_STREAM_DECODER_FAILED",
    561: "ZSTD_DECODER_FAILED",
    594: "BZIP2_STREAM_DECODER_FAILED",
    618: "LZ4_DECODER_FAILED",
}

# ClickHouse's src/Server/HTTP/exceptionCodeToHTTPStatus.cpp; everything else is a 500.
_STATUSES = {
    HTTPStatus.UNAUTHORIZED: (194,),
    HTTPStatus.FORBIDDEN: (192, 193, 497, 512, 516),
    HTTPStatus.BAD_REQUEST: (
        *(6, 8, 15, 25, 26, 27, 36, 37, 38, 41, 44, 53, 62, 69, 72, 117),
        *(126, 167, 168, 223, 376, 415, 427, 440, 441),
    ),
    HTTPStatus.NOT_FOUND: (46, 47, 50, 56, 60, 63, 73, 78, 81, 99, 115, 336, 511),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: (229,),
    HTTPStatus.NOT_IMPLEMENTED: (48,),
    HTTPStatus.SERVICE_UNAVAILABLE: (76, 209, 439),
    HTTPStatus.LENGTH_REQUIRED: (381,),
    HTTPStatus.REQUEST_TIMEOUT: (159,),
}
_STATUS_BY_CODE = {code: status for status, codes in _STATUSES.items() for code in codes}


class EngineStartError(RuntimeError):
    """The engine cannot work on its data path; the sentence says why."""


class QueryError(Exception):
    """A refusal or a failure to report to the client; the connection may go on.

    `message` is the sentence alone; `str()` is ClickHouse's full text, with code and name.
    """

    def __init__(self, code: int, message: str, name: str = "") -> None:
        """Name the code, for the codes that the server raises by itself."""
        self.code = code
        self.name = name or _NAMES[code]
        self.message = message
        super().__init__(code, message)

    def __str__(self) -> str:
        return f"Code: {self.code}. DB::Exception: {self.message} ({self.name})"


def http_status(code: int) -> HTTPStatus:
    """Map an error code to the status that ClickHouse's HTTP interface answers with."""
    return _STATUS_BY_CODE.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
