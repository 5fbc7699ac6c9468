"""Notice that a client gives up while its query runs: it hangs up, or sends Cancel.

The thread of the connection is inside the engine then, so one other thread watches the sockets
of all running queries.
"""

import contextlib
import selectors
import socket
import threading
from collections.abc import Callable, Iterator

_CANCEL = 3


class DepartureWatch:
    """Watches sockets without taking bytes from them. Call `close` at the end."""

    def __init__(self) -> None:
        """Start the thread."""
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._wake, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._wanted: dict[socket.socket, Callable[[], None]] = {}
        self._closing = False
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name="departures", daemon=True)
        self._thread.start()

    @contextlib.contextmanager
    def watching(
        self, connection: socket.socket, gone: Callable[[], None], *, cancellable: bool
    ) -> Iterator[None]:
        """Call `gone` once, from another thread, if the client hangs up meanwhile.

        With `cancellable`, also if the next byte that it sends is a Cancel packet. Any other byte
        is left for later and ends the watching. After the block `gone` is not called any more.
        """

        def look() -> None:
            # Under the lock, as is leaving the block: `gone` never hits a later query.
            try:
                byte = connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                byte = b""
            self._forget(connection)
            if not byte or (cancellable and byte[0] == _CANCEL):
                gone()

        with self._lock:
            self._wanted[connection] = look
            self._selector.register(connection, selectors.EVENT_READ)
        self._wake.send(b"\0")
        try:
            yield
        finally:
            with self._lock:
                self._forget(connection)

    def close(self) -> None:
        """Stop the thread."""
        self._closing = True
        self._wake.send(b"\0")
        self._thread.join()
        self._selector.close()
        self._wake.close()
        self._woken.close()

    def _forget(self, connection: socket.socket) -> None:
        if self._wanted.pop(connection, None) is not None:
            self._selector.unregister(connection)

    def _run(self) -> None:
        while not self._closing:
            ready = self._selector.select()
            with self._lock:
                for key, _ in ready:
                    if key.fileobj is self._woken:
                        with contextlib.suppress(BlockingIOError):
                            self._woken.recv(4096)
                        continue
                    look = self._wanted.get(key.fileobj)  # type: ignore[call-overload]
                    if look is not None:
                        look()
