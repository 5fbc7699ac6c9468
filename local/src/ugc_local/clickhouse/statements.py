"""Just enough of ClickHouse's SQL to tell statements apart: a tokenizer, and what it finds.

The engine parses; this looks for what must be known before the engine is asked: whether an
INSERT brings data, where that data begins, the output format, the names that are called.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from ugc_local.clickhouse.errors import QueryError

# As in ClickHouse's src/Parsers/Lexer.cpp: words may hold a dollar sign, a here-document counts
# only when it is closed, and typographic quotes are quotes. A difference here would hide a
# call from the check of what a read-only user may call.
_TOKEN = re.compile(
    r"""
    (?P<space>\s+ | --[^\n]* | \#[!\ ][^\n]* | /\*.*?(?:\*/|\Z))
  | (?P<string>'(?:[^'\\]|\\.|'')*'? | ‘[^’]*’?)
  | (?P<quoted>`(?:[^`\\]|\\.|``)*`? | "(?:[^"\\]|\\.|"")*"? | “[^”]*”?)
  | (?P<heredoc>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)
  | (?P<word>[^\W\d][\w$]* | \$[\w$]+)
  | (?P<number>\d[\w.]*)
  | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of a statement: text[start:end], and how many parentheses are open around it."""

    kind: str
    text: str
    start: int
    end: int
    depth: int

    @property
    def upper(self) -> str:
        """The keyword that this may be; "" for what cannot be one."""
        return self.text.upper() if self.kind in ("word", "other") else ""

    @property
    def identifier(self) -> str:
        """The name, unquoted; "" for what is none."""
        if self.kind == "word":
            return self.text
        if self.kind == "quoted":
            quote = self.text[0]
            inner = self.text[1:-1]
            if quote == "“":
                return inner
            inner = inner.replace(quote * 2, quote)
            return re.sub(r"\\(.)", r"\1", inner)
        return ""


def tokens(sql: str) -> Iterator[Token]:
    """Yield the tokens of `sql` one by one, without spaces and comments.

    It is lazy: the data behind an INSERT is not looked at by a caller that stops there.
    """
    depth = 0
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or "other"
        if kind == "tag":
            kind = "heredoc"
        if kind == "space":
            continue
        text = match.group()
        if text in ")]}" and kind == "other":
            depth -= 1
        yield Token(kind, text, match.start(), match.end(), depth)
        if text in "([{" and kind == "other":
            depth += 1


class Action(Enum):
    """What the server does with a statement."""

    SELECT = "select"  # can be streamed and described
    INSERT_DATA = "insert data"  # the rows come with it, or after it
    SET = "set"
    USE = "use"
    OTHER = "other"


@dataclass(frozen=True)
class Statement:
    """One statement, taken apart.

    `text` is what the engine gets: without FORMAT clause, inline data and closing semicolon.
    `data_start` is where the inline data of an INSERT begins in the original text, and
    `source_at` where in `text` the source of its rows may be named. `temporary`: it makes a
    temporary table. `summarised`: totals or extremes may come with the result.
    """

    action: Action
    first_word: str
    text: str
    format: str = ""
    target: str = ""
    columns: tuple[str, ...] | None = None
    data_start: int = 0
    source_at: int = 0
    called: frozenset[str] = frozenset()
    temporary: bool = False
    summarised: bool = False

    def from_file(self, quoted_path: str, input_format: str) -> str:
        """Return the INSERT with its rows from a file."""
        before, after = self.text[: self.source_at], self.text[self.source_at :]
        return f"{before}\nFROM INFILE {quoted_path} {after}\nFORMAT {input_format}"


_SEVERAL = "Syntax error (Multi-statements are not allowed)"


def require_format(name: str) -> str:
    """Return the name of a format; `QueryError` 73 for what cannot be one.

    It is written into statements.
    """
    if re.fullmatch(r"\w+", name, re.ASCII) is None:
        raise QueryError(73, f"Unknown format {name}")
    return name


def parse(sql: str) -> Statement:
    """Take a statement apart; raises `QueryError` for what only a client program can do."""
    stream = tokens(sql)
    first = next(stream, None)
    if first is None:
        raise QueryError(62, "Syntax error: Empty query")
    if first.upper == "INSERT":
        found = _parse_insert(sql, stream)
        if found is not None:
            return found
    everything = list(tokens(sql))
    while everything and everything[-1].text == ";":
        everything.pop()
    if not everything:
        raise QueryError(62, "Syntax error: Empty query")
    # Found here, not by the engine: it would run those before the one that it cannot parse.
    if any(token.kind == "other" and token.text == ";" for token in everything):
        raise QueryError(62, _SEVERAL)
    words = [token.upper for token in everything[:4]]
    action = {
        "SELECT": Action.SELECT,
        "WITH": Action.SELECT,
        "FROM": Action.SELECT,
        "(": Action.SELECT,
        "SET": Action.SET,
        "USE": Action.USE,
    }.get(words[0], Action.OTHER)
    if action is Action.SELECT and any(
        token.depth == 0 and token.upper in ("INSERT", "OUTFILE") for token in everything
    ):
        action = Action.OTHER
    text, output = _take_format(sql, everything)
    return Statement(
        action,
        words[0],
        text,
        format=output,
        called=_called(everything),
        temporary=words[0] == "CREATE" and "TEMPORARY" in words[1:2] + words[3:4],
        summarised=any(token.upper in ("TOTALS", "EXTREMES") for token in everything),
    )


def _take_format(sql: str, found: list[Token]) -> tuple[str, str]:
    """Split the FORMAT clause off; it stands last, or before the SETTINGS of the query."""
    end = found[-1].end
    for index in range(len(found) - 2, -1, -1):
        token, name = found[index], found[index + 1]
        if token.depth or token.upper != "FORMAT" or not name.identifier:
            continue
        after = found[index + 2] if index + 2 < len(found) else None
        if (after is None or after.upper == "SETTINGS") and index > 0:
            text = sql[: token.start] + sql[name.end : end]
            return text, require_format(name.identifier)
    return sql[:end], ""


def _called(found: list[Token]) -> frozenset[str]:
    return frozenset(
        name.identifier.lower()
        for name, bracket in pairwise(found)
        if bracket.text == "(" and name.identifier
    )


def _parse_insert(sql: str, stream: Iterator[Token]) -> Statement | None:
    """Take INSERT … VALUES and INSERT … FORMAT apart; None when the rows come from a query."""
    token = next(stream, None)
    while token is not None and token.upper in ("INTO", "TABLE"):
        token = next(stream, None)
    if token is None:
        raise QueryError(62, f"Syntax error: an INSERT without a table: {sql[:100]}")
    if token.upper == "FUNCTION":
        return None
    target_start = target_end = token.start
    while token is not None and token.depth == 0 and (token.identifier or token.text == "."):
        if target_end != target_start and token.text != "." and sql[target_end - 1] != ".":
            break
        target_end = token.end
        token = next(stream, None)
    columns: list[str] | None = None
    if token is not None and token.text == "(":
        columns, token = _column_list(stream)
        if columns is None:
            return None
    source_at = None
    head_end = len(sql.rstrip().rstrip(";"))
    output, data_start = "Values", len(sql)
    while token is not None:
        if token.depth == 0 and token.upper in ("SELECT", "WITH", "WATCH", "("):
            return None
        if token.kind == "other" and token.text == ";":
            if any(after.text != ";" for after in stream):
                raise QueryError(62, _SEVERAL)
            break
        if token.depth == 0 and token.upper == "SETTINGS" and source_at is None:
            source_at = token.start
        if token.depth == 0 and token.upper == "FROM":
            raise QueryError(48, "FROM INFILE is for a client program, not for the server")
        if token.depth == 0 and token.upper == "VALUES":
            head_end, data_start = token.start, token.end
            break
        if token.depth == 0 and token.upper == "FORMAT":
            name = next(stream, None)
            if name is None or not name.identifier:
                raise QueryError(62, "Syntax error: FORMAT without a name")
            head_end, output = token.start, require_format(name.identifier)
            data_start = _after_format(sql, name.end)
            break
        token = next(stream, None)
    text = sql[:head_end].rstrip()
    return Statement(
        Action.INSERT_DATA,
        "INSERT",
        text,
        format=output,
        target=sql[target_start:target_end],
        columns=None if columns is None else tuple(columns),
        data_start=data_start,
        source_at=len(text) if source_at is None else source_at,
    )


def _column_list(stream: Iterator[Token]) -> tuple[list[str] | None, Token | None]:
    """Read names up to the closing bracket; None for a query in brackets."""
    columns: list[str] = []
    joined = False
    for token in stream:
        if token.text == ")" and token.depth == 0:
            return columns, next(stream, None)
        if not columns and token.upper in ("SELECT", "WITH"):
            return None, None
        if token.text == ".":
            joined = True
        elif token.identifier and joined:
            columns[-1] += "." + token.identifier
            joined = False
        elif token.identifier:
            columns.append(token.identifier)
        elif token.text != ",":
            raise QueryError(48, "The column list of an INSERT must be plain names")
    raise QueryError(62, "Syntax error: the column list does not end")


def _after_format(sql: str, position: int) -> int:
    """Skip the blanks and one line end behind the format's name, as the engine's parser does."""
    end = len(sql)
    while position < end and sql[position] in " \t\f;":
        position += 1
    if position < end and sql[position] == "\r":
        position += 1
    if position < end and sql[position] == "\n":
        position += 1
    return position
