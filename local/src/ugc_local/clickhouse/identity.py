"""Who asks, and under which query id: told to the engine, and made to show in its answers.

The engine runs every query as one user and lets nobody choose a query id. Both travel in the
query's `log_comment`, and what a statement asks about them is answered from there.
"""

from itertools import pairwise

from ugc_local.clickhouse.quoting import quote_identifier, quote_string, unquote_string
from ugc_local.clickhouse.statements import Statement, Token, tokens

_USER_FUNCTIONS = frozenset({"currentuser", "current_user", "user", "initialuser"})
_ID_FUNCTIONS = frozenset({"queryid", "query_id", "initialqueryid", "initial_query_id"})
_line = "splitByChar('\\n', Settings['log_comment'])"
_COLUMNS = {
    name: f"if(Settings['log_comment'] = '', {name}, {_line}[{number}])"
    for name, number in (
        ("query_id", 1),
        ("initial_query_id", 1),
        ("user", 2),
        ("initial_user", 2),
    )
}
_LOGS = ("processes", "query_log")


def label(query_id: str, user: str, comment: str = "") -> str:
    """Return the `log_comment` of a query: its id, its user, the client's own comment."""
    return f"{query_id}\n{user}\n{comment}"


def introduce(statement: Statement, query_id: str, user: str) -> str:
    """Return the text of a SELECT or a KILL QUERY in which the query's id and user are true.

    `currentUser()` and `queryID()` become their values, `system.processes` and `system.query_log`
    get the columns `query_id` and `user` from `log_comment`, and a `log_comment` that the
    statement sets keeps what stands before it.
    """
    text = statement.text
    found = list(tokens(text))
    changes: list[tuple[int, int, str]] = []
    if statement.first_word == "KILL":
        changes += [
            (token.start, token.end, _COLUMNS[token.text])
            for token in found
            if token.kind == "word" and token.text in _COLUMNS
        ]
    else:
        values = dict.fromkeys(_USER_FUNCTIONS, user) | dict.fromkeys(_ID_FUNCTIONS, query_id)
        for index, token in enumerate(found):
            after = [each.text for each in found[index + 1 : index + 3]]
            if after == ["(", ")"] and token.identifier.lower() in values:
                end = found[index + 2].end
                value = quote_string(values[token.identifier.lower()])
                name = quote_identifier(text[token.start : end])
                changes.append((token.start, end, f"({value} AS {name})"))
            elif _names_a_log(found, index):
                end = found[index + 2].end
                columns = ", ".join(f"{value} AS {name}" for name, value in _COLUMNS.items())
                changes.append(
                    (
                        token.start,
                        end,
                        f"(SELECT * REPLACE ({columns}) FROM {text[token.start : end]})",
                    )
                )
    changes += _labelled(found, label(query_id, user))
    for start, end, new in sorted(changes, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _names_a_log(found: list[Token], index: int) -> bool:
    """Whether `FROM system.processes` or the like begins here, and no column is named by it."""
    if not 0 < index < len(found) - 2 or found[index - 1].upper not in ("FROM", "JOIN"):
        return False
    database, dot, table = found[index : index + 3]
    if (database.identifier, dot.text) != ("system", ".") or table.identifier not in _LOGS:
        return False
    return not any(
        each.identifier == table.identifier and following.text == "."
        for each, following in pairwise(found)
    )


def _labelled(found: list[Token], before: str) -> list[tuple[int, int, str]]:
    return [
        (value.start, value.end, quote_string(before + unquote_string(value.text)))
        for name, equals, value in zip(found, found[1:], found[2:], strict=False)
        if name.identifier == "log_comment" and equals.text == "=" and value.kind == "string"
    ]
