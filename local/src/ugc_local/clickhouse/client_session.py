"""What lasts from one query of a client to the next, on a native connection or by `session_id`."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ugc_local.clickhouse.engine_session import KeptConnection
from ugc_local.clickhouse.errors import QueryError

DEFAULT_TIMEOUT_S = 60
MAX_TIMEOUT_S = 3600


@dataclass
class ClientSession:
    """The current database, the SET statements in their order, and temporary tables.

    Temporary tables live in an engine connection, kept from the first of them on.
    """

    database: str = ""
    chosen: list[str] = field(default_factory=list)
    kept: KeptConnection | None = None

    def close(self) -> None:
        """Forget the temporary tables."""
        if self.kept is not None:
            self.kept.close()
            self.kept = None


@dataclass
class _Named:
    session: ClientSession
    ends_at: float
    busy: bool = True


class NamedSessions:
    """The sessions of the HTTP interface, each of one user. Safe for threads."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` counts seconds and never goes back."""
        self._clock = clock
        self._lock = threading.Lock()
        self._named: dict[tuple[str, str], _Named] = {}

    @contextmanager
    def use(
        self, user: str, session_id: str, *, timeout_s: int, must_exist: bool
    ) -> Iterator[ClientSession]:
        """Lend the session, a new one if there is none; it ends `timeout_s` after its last query.

        Raises `QueryError`: 372 if it must exist and does not, 373 while another query has it,
        374 for a time-out over an hour.
        """
        if timeout_s > MAX_TIMEOUT_S:
            raise QueryError(374, f"Session timeout '{timeout_s}' is larger than {MAX_TIMEOUT_S}")
        with self._lock:
            named = self._named.get((user, session_id))
            if named is None:
                if must_exist:
                    raise QueryError(372, f"Session {session_id} not found")
                named = self._named[user, session_id] = _Named(ClientSession(), 0)
            elif named.busy:
                raise QueryError(373, f"Session {session_id} is locked by a concurrent client")
            named.busy = True
        try:
            yield named.session
        finally:
            with self._lock:
                named.busy = False
                named.ends_at = self._clock() + timeout_s

    def end_idle(self) -> None:
        """End the sessions whose time is over; to be called now and then."""
        now = self._clock()
        self._end(lambda named: not named.busy and named.ends_at <= now)

    def close(self) -> None:
        """End all sessions; none may be in use."""
        self._end(lambda _: True)

    def _end(self, which: Callable[[_Named], bool]) -> None:
        with self._lock:
            over = [name for name, named in self._named.items() if which(named)]
            ended = [self._named.pop(name) for name in over]
        for named in ended:
            named.session.close()
