"""What both protocols do before a statement runs: log in, open a session, admit the statement."""

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ugc_local.clickhouse import access
from ugc_local.clickhouse.client_session import ClientSession
from ugc_local.clickhouse.configuration import Account
from ugc_local.clickhouse.engine import Engine
from ugc_local.clickhouse.engine_session import Answer, Session
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.external_tables import ExternalTable, structure_of
from ugc_local.clickhouse.identity import introduce, label
from ugc_local.clickhouse.native_block import Columns
from ugc_local.clickhouse.quoting import quote_string
from ugc_local.clickhouse.statements import Action, Statement, parse

# How `result_columns` needs DESCRIBE to answer; they mean nothing to the SELECT itself.
_HEADER_SETTINGS = {"print_pretty_type_names": "0", "describe_compact_output": "1"}
# How `summary_blocks` finds the end of the rows: line ends are then never alone between them.
_SUMMARY_SETTINGS = {"output_format_tsv_crlf_end_of_line": "1"}


@dataclass(frozen=True)
class Request:
    """A statement as a client sent it, with all that bears on how it runs.

    `database` is for this query alone. `tables` came along with it. `summary_apart`: totals and
    extremes are wanted apart from the rows, as the native protocol has them.
    """

    account: Account
    sql: str
    query_id: str = ""
    database: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    client: ClientSession = field(default_factory=ClientSession)
    tables: Sequence[ExternalTable] = ()
    must_read: bool = False  # HTTP GET
    summary_apart: bool = False


class Gateway:
    """The engine with its accounts."""

    def __init__(self, engine: Engine, accounts: Mapping[str, Account]) -> None:
        """Learn from the engine what a read-only user may not call."""
        self.engine = engine
        self._accounts = accounts
        with engine.open(str(uuid.uuid4()), "") as session:
            answer = session.run(access.TABLE_FUNCTIONS_QUERY, "TabSeparated")
        self._outside = access.outside_functions(answer.data.decode())

    def login(self, name: str, password: str) -> Account:
        """Return the account, or raise `QueryError` 516."""
        return access.authenticate(self._accounts, name, password)

    def open(self, request: Request) -> tuple[Session, Statement]:
        """Open a session in which the request's statement may run, and take the statement apart.

        The session is the caller's to close. Raises `QueryError` for what is not allowed, for
        unknown settings (115) and databases (81).
        """
        statement = parse(request.sql)
        if not statement.text.isascii() and _has_surrogates(statement.text):
            raise QueryError(62, "Syntax error: the statement is not UTF-8")
        query_id, user = request.query_id or str(uuid.uuid4()), request.account.name
        settings = dict(request.settings)
        comment = label(query_id, user, settings.pop("log_comment", ""))
        session = self.engine.open(query_id, comment, request.client.kept)
        try:
            for table in request.tables:  # before readonly forbids it
                session.add(table, _structure(session, table))
            if statement.action is Action.SELECT:
                session.set(_HEADER_SETTINGS)
                if request.summary_apart and may_be_summarised(request, statement):
                    session.set(_SUMMARY_SETTINGS)
            self._prepare(session, request, settings)
            self._admit(session, request, statement)
            if statement.temporary:
                request.client.kept = session.keep()
        except BaseException:
            session.close()
            raise
        if statement.action is Action.SELECT or statement.first_word == "KILL":
            statement = replace(statement, text=introduce(statement, query_id, user))
        return session, statement

    def remember(self, request: Request, session: Session, statement: Statement) -> None:
        """Keep for the client's next queries what a SET or USE, run in `session`, chose."""
        client = request.client
        if statement.action is Action.SET:
            if statement.text in client.chosen:
                client.chosen.remove(statement.text)
            client.chosen.append(statement.text)
        elif statement.action is Action.USE:
            chosen = session.run("SELECT currentDatabase()", "TabSeparatedRaw")
            client.database = chosen.data.decode().removesuffix("\n")

    def _prepare(self, session: Session, request: Request, settings: dict[str, str]) -> None:
        client = request.client
        database = request.database or client.database
        if database or client.kept is not None:
            session.use(database or "default")
        profile = dict(request.account.settings)
        readonly = int(profile.pop("readonly", "0"))
        session.set(profile)
        if request.must_read and readonly == 0:
            readonly = 2
        # It cannot be taken back from a connection that is kept; `_admit` forbids there.
        if readonly and client.kept is None:
            session.set({"readonly": str(readonly)})
        for earlier in client.chosen:
            session.run(earlier, "Null")
        session.restore_comment(client.chosen)
        session.set(settings)

    def _admit(self, session: Session, request: Request, statement: Statement) -> None:
        own = int(request.account.settings.get("readonly", "0"))
        text = statement.text
        if statement.action is Action.INSERT_DATA:
            text += " VALUES"
        access.authorise(
            statement,
            session.classify(text),
            user=request.account.name,
            readonly=own or (2 if request.must_read else 0),
            denied_functions=self._outside if own else frozenset(),
        )


def may_be_summarised(request: Request, statement: Statement) -> bool:
    """Tell whether totals or extremes may come with a result."""
    return statement.summarised or any(
        "extremes" in text
        for text in (*request.settings, *request.account.settings, *request.client.chosen)
    )


def result_columns(
    session: Session, statement: Statement, params: Mapping[str, str] | None = None
) -> Columns:
    """Return the columns that a SELECT gives."""
    answer = session.run(f"DESCRIBE (\n{statement.text}\n)", "RowBinary", params)
    return tuple((row[0], row[1]) for row in _rows(answer, 2))


def insert_columns(session: Session, statement: Statement) -> Columns:
    """Return the columns that an INSERT expects, in its order."""
    answer = session.run(
        f"DESCRIBE TABLE {statement.target} SETTINGS print_pretty_type_names = 0", "RowBinary"
    )
    described = {row[0]: (row[1], row[2]) for row in _rows(answer, 7)}
    if statement.columns is None:
        return tuple(
            (name, type_name)
            for name, (type_name, kind) in described.items()
            if kind in ("", "DEFAULT")
        )
    for name in statement.columns:
        if name not in described:
            raise QueryError(16, f"No such column {name} in table {statement.target}", _NO_COLUMN)
    return tuple((name, described[name][0]) for name in statement.columns)


def _structure(session: Session, table: ExternalTable) -> str:
    """Return the columns of a table that came with a query, without defaults and the like."""
    source = f"format(TabSeparated, {quote_string(table.structure)}, '')"
    answer = session.run(
        f"DESCRIBE TABLE {source} SETTINGS print_pretty_type_names = 0", "RowBinary"
    )
    return structure_of(tuple((row[0], row[1]) for row in _rows(answer, 7)))


def _has_surrogates(text: str) -> bool:
    return any("\udc80" <= char <= "\udcff" for char in text)


_NO_COLUMN = "NO_SUCH_COLUMN_IN_TABLE"


def _rows(answer: Answer, width: int) -> list[list[str]]:
    """Take rows of strings apart (RowBinary: each with its length in front)."""
    data, position, cells = answer.data, 0, []
    while position < len(data):
        size = shift = 0
        while True:
            byte = data[position]
            position += 1
            size |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        cells.append(data[position : position + size].decode("utf-8", "surrogateescape"))
        position += size
    return [cells[start : start + width] for start in range(0, len(cells), width)]
