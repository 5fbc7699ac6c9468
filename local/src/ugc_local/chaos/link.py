"""A TCP proxy between one client and one store, which can do what networks do.

Every public method may be called from any thread; the bytes pass in the network's own thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from types import TracebackType
from typing import Any, Self, TypeVar

from ugc_local.chaos.taps import Direction, Moment, Tap
from ugc_local.ports import LOOPBACK

T = TypeVar("T")

_READ_BYTES = 64 * 1024
_CALL_S = 10.0
# On close the kernel sends a reset, as a peer that is gone would.
_RESET = struct.pack("ii", 1, 0)


class After(Enum):
    """What becomes of a connection that was frozen at a moment."""

    GO_ON = "the piece and all behind it pass"
    CUT = "the connection is reset, the piece is lost"
    HALF = "half of the piece passes, then the connection ends"
    MUTE = "the piece is lost, and all behind it in its direction, without a word"


class Breakpoint:
    """Freezes the first connection of a link that comes to a moment, until it is released."""

    def __init__(self, link: Link, moment: Moment) -> None:
        self.moment = moment
        self._link = link
        self._hit = threading.Event()
        self._after: asyncio.Future[After] = link.loop.create_future()

    def is_hit(self) -> bool:
        """Whether a connection has come here."""
        return self._hit.is_set()

    def wait(self, timeout_s: float) -> bool:
        """The same, and wait for one."""
        return self._hit.wait(timeout_s)

    def release(self, after: After) -> None:
        """Let the connection go on like that; without one, wait for none any more."""
        self._link.loop.call_soon_threadsafe(self._release, after)

    def _release(self, after: After) -> None:
        self._link.forget(self)
        if not self._after.done():
            self._after.set_result(after)

    async def freeze(self) -> After:
        """Called by the link: the connection is here."""
        self._hit.set()
        return await self._after


@dataclass(slots=True)
class Pace:
    """How a direction passes bytes.

    Attributes:
        delay_s: before every piece.
        bytes_per_s: no faster than that.
        open: cleared, everything waits; nothing is lost.
    """

    delay_s: float = 0.0
    bytes_per_s: float = float("inf")
    open: asyncio.Event = field(default_factory=asyncio.Event)

    def wait_s(self, size_bytes: int) -> float:
        return self.delay_s + size_bytes / self.bytes_per_s


class Link:
    """One listening port, all of whose connections lead to one target.

    Attributes:
        port: where it listens on the loopback interface.
        passed: moments that came by.
        opened: connections that reached the target.
        refused: connections that were ended at once: the link was down, or the target.
        held_up_s: how long pieces waited because of delay, pace or a hold, together.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        listener: socket.socket,
        target: tuple[str, int],
        tap: Callable[[], Tap],
    ) -> None:
        self.loop = loop
        self.port: int = listener.getsockname()[1]
        self.passed: Counter[Moment] = Counter()
        self.opened = 0
        self.refused = 0
        self.held_up_s = 0.0
        self.pace = {direction: Pace() for direction in Direction}
        for pace in self.pace.values():
            pace.open.set()
        self._target = target
        self._tap = tap
        self._down = False
        self._breakpoints: list[Breakpoint] = []
        self._connections: set[_Connection] = set()
        self._listener = listener
        self._server: asyncio.Server | None = None

    @property
    def connections(self) -> int:
        """How many there are now."""
        return len(self._connections)

    def break_at(self, moment: Moment) -> Breakpoint:
        """Freeze the next connection that comes to `moment`."""

        async def add() -> Breakpoint:
            found = Breakpoint(self, moment)
            self._breakpoints.append(found)
            return found

        return self._call(add())

    def down(self) -> int:
        """Reset every connection, and every new one at once; how many there were."""

        async def cut() -> int:
            self._down = True
            count = len(self._connections)
            for connection in list(self._connections):
                connection.reset()
            return count

        return self._call(cut())

    def up(self) -> None:
        """Take connections again."""
        self._down = False

    def hold(self, *directions: Direction) -> None:
        """Pass nothing that way; what comes waits, as behind a broken cable."""
        for direction in directions:
            self.loop.call_soon_threadsafe(self.pace[direction].open.clear)

    def slow(
        self, direction: Direction, *, delay_s: float = 0.0, bytes_per_s: float = float("inf")
    ) -> None:
        """Pass pieces that way later and slower."""
        self.pace[direction].delay_s = delay_s
        self.pace[direction].bytes_per_s = bytes_per_s

    def mend(self) -> None:
        """Take back what down, hold and slow did; breakpoints stay."""
        self.up()
        for direction, pace in self.pace.items():
            self.slow(direction)
            self.loop.call_soon_threadsafe(pace.open.set)

    async def start(self) -> None:
        """Called by the network."""
        self._server = await asyncio.start_server(self._accept, sock=self._listener)

    async def stop(self) -> None:
        """Called by the network."""
        self._down = True
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.reset()
        for breakpoint_ in list(self._breakpoints):
            breakpoint_._release(After.CUT)

    def forget(self, breakpoint_: Breakpoint) -> None:
        """Called by the breakpoint, in the network's thread."""
        if breakpoint_ in self._breakpoints:
            self._breakpoints.remove(breakpoint_)

    def came_to(self, moment: Moment) -> Breakpoint | None:
        """Called by a connection: the breakpoint that takes it, if one waits for this moment."""
        self.passed[moment] += 1
        for found in self._breakpoints:
            if found.moment is moment:
                self._breakpoints.remove(found)
                return found
        return None

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not self._down:
            try:
                server = await asyncio.open_connection(*self._target)
            except OSError:
                pass  # the store is down: the client hears of it as it would without a proxy
            else:
                self.opened += 1
                connection = _Connection(self, (reader, writer), server, self._tap())
                self._connections.add(connection)
                try:
                    await connection.run()
                except asyncio.CancelledError:
                    connection.reset()  # the network stops
                finally:
                    self._connections.discard(connection)
                return
        self.refused += 1
        _reset(writer)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(_CALL_S)


_Side = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class _Connection:
    def __init__(self, link: Link, client: _Side, server: _Side, tap: Tap) -> None:
        self._link = link
        self._client = client
        self._server = server
        self._tap = tap
        self._muted: set[Direction] = set()

    async def run(self) -> None:
        await asyncio.gather(
            self._pump(Direction.REQUESTS, self._client[0], self._server[1]),
            self._pump(Direction.REPLIES, self._server[0], self._client[1]),
        )
        for _, writer in (self._client, self._server):
            writer.close()

    def reset(self) -> None:
        for _, writer in (self._client, self._server):
            _reset(writer)

    async def _pump(
        self, direction: Direction, source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        # A side that is gone reads as an end: what the other side still has may pass.
        with contextlib.suppress(OSError):
            while data := await source.read(_READ_BYTES):
                for piece, moment in self._tap.see(direction, data):
                    await self._pass(direction, piece, moment, sink)
            sink.write(self._tap.rest(direction))
        with contextlib.suppress(OSError, RuntimeError):
            sink.write_eof()

    async def _pass(
        self, direction: Direction, piece: bytes, moment: Moment | None, sink: asyncio.StreamWriter
    ) -> None:
        if moment is not None and (at := self._link.came_to(moment)) is not None:
            match await at.freeze():
                case After.CUT:
                    self.reset()
                    return
                case After.HALF:
                    # A reset would overtake its bytes.
                    sink.write(piece[: len(piece) // 2])
                    for _, writer in (self._client, self._server):
                        writer.close()
                    return
                case After.MUTE:
                    self._muted.add(direction)
                case After.GO_ON:
                    pass
        if direction in self._muted:
            return
        pace = self._link.pace[direction]
        if (wait_s := pace.wait_s(len(piece))) or not pace.open.is_set():
            since_s = self._link.loop.time()
            await asyncio.sleep(wait_s)
            await pace.open.wait()
            self._link.held_up_s += self._link.loop.time() - since_s
        sink.write(piece)
        await sink.drain()


def _reset(writer: asyncio.StreamWriter) -> None:
    found = writer.get_extra_info("socket")
    if found is not None and not writer.is_closing():
        found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()


class Network:
    """The thread that passes the bytes of every link; a context manager."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)
        self._links: list[Link] = []

    def link(self, target: tuple[str, int], tap: Callable[[], Tap]) -> Link:
        """Listen on a free port for connections to `target`."""
        made = Link(self._loop, socket.create_server((LOOPBACK, 0)), target, tap)
        asyncio.run_coroutine_threadsafe(made.start(), self._loop).result(_CALL_S)
        self._links.append(made)
        return made

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(_CALL_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CALL_S)
        self._loop.close()

    async def _stop(self) -> None:
        for link in self._links:
            await link.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
