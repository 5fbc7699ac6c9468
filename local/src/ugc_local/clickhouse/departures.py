"""Notice that a client gives up while its query runs: it hangs up, or sends Cancel.

The thread of the connection is inside the engine then, so one other thread watches the sockets
of all running queries.
"""

import contextlib
import logging
import selectors
import socket
import threading
from collections.abc import Callable, Iterator

from ugc_local.clickhouse.errors import QueryError

logger = logging.getLogger(__name__)

_CANCEL = 3
_AGAIN_S = 0.05


class DepartureWatch:
    """Watches sockets without taking bytes from them. Call `close` at the end."""

    def __init__(self) -> None:
        """Start the thread."""
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._woken.setblocking(False)
        self._wanted: dict[socket.socket, Callable[[], None]] = {}
        self._departed: dict[socket.socket, Callable[[], None]] = {}
        self._closing = False
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="departures", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watching(
        self, connection: socket.socket, gone: Callable[[], None], *, cancellable: bool
    ) -> Iterator[None]:
        """Call `gone` from another thread, once and again, if the client hangs up meanwhile.

        With `cancellable`, also if the next byte that it sends is a Cancel packet. Any other byte
        is left for later and ends the watching. It is called again until the block is left,
        because a request may run several statements, and a kill between two of them hits none.
        """

        def look() -> None:
            try:
                byte = connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                byte = b""
            self._forget(connection)
            if not byte or (cancellable and byte[0] == _CANCEL):
                self._departed[connection] = gone

        with self._lock:
            self._wanted[connection] = look
            self._selector.register(connection, selectors.EVENT_READ)
        self._wake_up()
        try:
            yield
        finally:
            # `gone` is called under the lock too: never after the block.
            with self._lock:
                self._forget(connection)
                self._departed.pop(connection, None)

    def close(self) -> None:
        """Stop the thread."""
        self._closing = True
        self._wake_up()
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _wake_up(self) -> None:
        with contextlib.suppress(BlockingIOError):  # full of wakes: it will wake
            self._wake.send(b"\0")

    def _forget(self, connection: socket.socket) -> None:
        if self._wanted.pop(connection, None) is not None:
            self._selector.unregister(connection)

    def _run(self) -> None:
        while not self._closing:
            ready = self._selector.select(_AGAIN_S if self._departed else None)
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._woken:
                        with contextlib.suppress(BlockingIOError):
                            self._woken.recv(4096)
                        continue
                    look = self._wanted.get(key.fileobj)  # type: ignore[call-overload]
                    if look is not None:
                        look()
                for gone in self._departed.values():
                    try:
                        gone()
                    except QueryError as error:
                        logger.warning("a query could not be stopped yet: %s", error)
