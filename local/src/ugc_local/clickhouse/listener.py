"""A TCP listener with a thread a connection, which can be ended with all its connections."""

import contextlib
import logging
import socket
import threading
from abc import ABC, abstractmethod
from collections.abc import Mapping

logger = logging.getLogger(__name__)

_JOIN_S = 10.0
# macOS does not wake accept() when another thread closes the socket.
_LOOK_S = 0.25


class Listener(ABC):
    """Listens from construction on, accepts from `start` on. Subclasses serve connections."""

    def __init__(self, address: tuple[str, int]) -> None:
        """Bind; OSError if the port is taken."""
        family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self._listening = socket.create_server(address, family=family, backlog=128)
        self._listening.settimeout(_LOOK_S)
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = False
        self._acceptor = threading.Thread(target=self._accept, name="acceptor", daemon=True)

    @abstractmethod
    def serve(self, connection: socket.socket) -> None:
        """Serve one client to the end; the socket is closed afterwards."""

    def start(self) -> None:
        """Accept connections, in a thread."""
        self._acceptor.start()

    def stop_accepting(self) -> None:
        """Refuse new connections; those that are open go on."""
        self._stopping = True
        if self._acceptor.is_alive():
            self._acceptor.join(_JOIN_S)
        self._listening.close()

    def hang_up(self) -> None:
        """Hang up on every client."""
        for connection in self._open():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait for the threads of the connections."""
        for thread in self._open().values():
            thread.join(_JOIN_S)

    def _open(self) -> dict[socket.socket, threading.Thread]:
        with self._lock:
            return dict(self._connections)

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listening.accept()
            except TimeoutError:
                continue
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            self.serve(connection)
        except (EOFError, ConnectionError, TimeoutError) as error:
            logger.info("a client is gone: %s", error)
        finally:
            with self._lock:
                self._connections.pop(connection, None)
            connection.close()


def seconds(setting: tuple[str, float], settings: Mapping[str, str]) -> float:
    """Return a time-out: the setting's value, else the default that comes with its name."""
    name, default_s = setting
    try:
        return max(float(settings.get(name, default_s)), 0.001)
    except ValueError:
        return default_s  # the engine refuses it with the query
