"""Who may do what: the engine runs everything as one user, so this server decides."""

import hashlib
import hmac
from collections.abc import Mapping

from ugc_local.clickhouse.configuration import Account
from ugc_local.clickhouse.engine_session import Classification, Effect
from ugc_local.clickhouse.errors import QueryError
from ugc_local.clickhouse.statements import Action, Statement

TABLE_FUNCTIONS_QUERY = "SELECT name FROM system.table_functions WHERE NOT allow_readonly"
"""The table functions that a read-only user of a ClickHouse server may not call."""

# Among those, what reaches nothing outside the server, or is also an ordinary function.
_HARMLESS = frozenset({"zeros", "zeros_mt", "viewexplain", "loop", "format", "dictionary"})
# file() is also an ordinary function, which no setting stops; eval() runs a computed query.
_OUTSIDE = frozenset({"file", "eval"})


def outside_functions(table_functions: str) -> frozenset[str]:
    """Return the functions denied to read-only users, from the answer (TSV) to the query."""
    return (frozenset(table_functions.lower().split()) - _HARMLESS) | _OUTSIDE


def authenticate(accounts: Mapping[str, Account], name: str, password: str) -> Account:
    """Return the account, or raise `QueryError` 516, the same for all causes."""
    account = accounts.get(name)
    if account is not None:
        if not account.password_sha256_hex and not password:
            return account
        given = hashlib.sha256(password.encode("utf-8", "surrogateescape")).hexdigest()
        if hmac.compare_digest(given, account.password_sha256_hex):
            return account
    raise QueryError(
        516,
        f"{name}: Authentication failed: password is incorrect,"
        " or there is no user with such name.",
    )


def authorise(
    statement: Statement,
    classification: Classification,
    *,
    user: str,
    readonly: int,
    denied_functions: frozenset[str],
) -> None:
    """Raise `QueryError` unless the statement may run.

    `readonly` is ClickHouse's setting: 0 all, 1 reads only, 2 reads and settings only.
    `denied_functions` are lower-case names that the user may not call.
    """
    if classification.statements > 1:
        raise QueryError(62, "Syntax error (Multi-statements are not allowed)")
    effect = classification.effect
    if effect is Effect.CONTROLS and statement.first_word in ("SELECT", "WITH", "FROM", "("):
        raise QueryError(48, "INTO OUTFILE is for a client program, not for the server")
    if readonly and effect is not Effect.UNKNOWN:  # what does not parse, the engine explains
        chooses = statement.action in (Action.SET, Action.USE)
        if effect is not Effect.READS and not chooses:
            raise QueryError(164, f"{user}: Cannot execute query in readonly mode.")
    if readonly and statement.text.upper().split()[:2] in (["SHOW", "GRANTS"], ["CHECK", "GRANT"]):
        raise QueryError(48, "The embedded server has no grants: the engine's are of another user")
    denied = sorted(statement.called & denied_functions)
    if denied:
        raise QueryError(
            497, f"{user}: Not enough privileges: a read-only user may not call {denied[0]}()."
        )
