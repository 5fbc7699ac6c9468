"""The way in: connections to a socket of the machine's loopback go on to the node's API.

The socket was opened before the node got a network of its own, and still belongs to the machine's.
So the machine gets no interface, no address and no rule.
"""

from __future__ import annotations

import contextlib
import socket
import threading


def serve(listener: socket.socket, address: tuple[str, int]) -> None:
    """Relay every connection in threads of its own, for as long as the process lives."""
    threading.Thread(target=_accept, args=(listener, address), daemon=True).start()


def _accept(listener: socket.socket, address: tuple[str, int]) -> None:
    while True:
        client, _ = listener.accept()
        try:
            server = socket.create_connection(address, timeout=5)
        except OSError:
            client.close()  # not up yet: the client sees a reset and asks again
            continue
        server.settimeout(None)
        for source, target in ((client, server), (server, client)):
            threading.Thread(target=_copy, args=(source, target), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):  # reset by either side: the other end is told below
        while data := source.recv(1 << 16):
            target.sendall(data)
    with contextlib.suppress(OSError):
        target.shutdown(socket.SHUT_WR)
