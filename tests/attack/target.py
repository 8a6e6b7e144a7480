"""What an attack may do to a server: connections, floods, a hostile server for its client."""

from __future__ import annotations

import asyncio
import json
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from websockets.utils import accept_key

from tests.attack.peers import H2WebSocket, Peer, Spent, counting, dial, reset
from tests.http2.peer import H2Peer
from tests.raw import REQUEST

if TYPE_CHECKING:
    from tests.attack.fronts import Serving

__all__ = ["DROPPED", "Target", "WebSocket", "upgrade"]

#: What a peer may see when it is thrown out.
DROPPED = (OSError, EOFError, ssl.SSLError)

WebSocket = Peer | H2WebSocket
Handle = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Target:
    """A server under one attack.

    Args:
        server: The server.
        front: Its name in `tests.attack.fronts.FRONTS`.
        http2: Whether WebSockets are opened over HTTP/2.
        seconds: How long the attack goes on.
        said: Gives what the server has logged since the attack began.

    Attributes:
        spent: What the attack has cost its attacker so far.
    """

    def __init__(
        self,
        server: Serving,
        front: str,
        http2: bool,
        seconds: float,
        said: Callable[[], bytes],
    ) -> None:
        self.server = server
        self.front = front
        self.seconds = seconds
        self.said = said
        self.spent = Spent()
        self._http2 = http2
        self._until = time.monotonic() + seconds
        self._opened: list[WebSocket | asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[Any]] = set()

    # --- time -----------------------------------------------------------------------------------

    @property
    def time_is_left(self) -> bool:
        return time.monotonic() < self._until

    async def rest(self) -> None:
        """Hold everything as it is until the attack's time is over."""
        await asyncio.sleep(max(0.0, self._until - time.monotonic()))

    def start(self, work: Any) -> asyncio.Task[Any]:
        """Run a coroutine until the attack is over."""
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        return task

    # --- connections; all are dropped when the attack is over -----------------------------------

    async def tcp(self, tls: bool | None = None) -> Peer:
        """A connection on which nothing has been sent.

        Args:
            tls: Whether a TLS handshake is done; by default where the server has TLS.
        """
        context = None if tls is False else self.server.context
        peer = Peer(*await dial(("127.0.0.1", self.server.port), context, self.spent))
        self._opened.append(peer)
        return peer

    async def websocket(self, path: str = "/", more: str = "") -> WebSocket:
        """A WebSocket over what the front speaks.

        Args:
            path: A route of ``victim.py``.
            more: More lines of the request's head, each with its end.

        Raises:
            ConnectionRefusedError: If the answer is not 101.
        """
        reader, writer = await dial(
            ("127.0.0.1", self.server.port), self.server.context, self.spent
        )
        peer = H2WebSocket(reader, writer) if self._http2 else Peer(reader, writer)
        self._opened.append(peer)
        head = await peer.shake(path, more)
        if not head.startswith("HTTP/1.1 101"):
            peer.close()
            raise ConnectionRefusedError(head.partition("\r\n")[0])
        return peer

    async def http2(self) -> H2Peer:
        """A connection of HTTP/2, for what no WebSocket does; its settings have been exchanged."""
        reader, writer = await dial(("127.0.0.1", self.server.port), None, self.spent)
        self._opened.append(writer)
        peer = H2Peer(reader, writer, {})
        peer.h2.initiate_connection()
        peer.flush()
        return peer

    async def ask(self, request: bytes) -> bytes:
        """Send bytes on a connection of their own; everything that comes."""
        peer = await self.tcp()
        try:
            await peer.push(request)
            return await peer.reader.read()
        finally:
            peer.close()

    async def get(self, path: str, more: str = "") -> tuple[int, bytes]:
        """An HTTP request; the status and the body."""
        text = f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{more}\r\n"
        head, _, body = (await self.ask(text.encode())).partition(b"\r\n\r\n")
        if not head:
            raise ConnectionResetError("no answer")
        return int(head.split()[1]), body

    # --- attacks of which there are many --------------------------------------------------------

    async def flood(
        self,
        data: bytes,
        *,
        sessions: int = 1,
        path: str = "/",
        more: str = "",
        again: bool = True,
    ) -> list[int | None]:
        """Have sessions send the same again and again until the time is over.

        Args:
            data: What is sent; at least some KiB, so that it costs the attacker little.
            sessions: How many at a time.
            path, more: As for `websocket`.
            again: Whether a session that is thrown out is opened again.

        Returns:
            The codes with which the server has closed sessions; ``None`` where there was no code.
        """
        codes: list[int | None] = []

        async def one() -> None:
            while self.time_is_left:
                with suppress(ConnectionRefusedError):
                    peer = await self.websocket(path, more)
                    reading = self.start(peer.close_code())
                    with suppress(*DROPPED):
                        while self.time_is_left and not reading.done():
                            await self._at_most(peer.push(data))
                    if self.time_is_left:
                        with suppress(*DROPPED, TimeoutError):
                            codes.append(await asyncio.wait_for(reading, 5))
                        peer.close()
                    else:
                        reading.cancel()
                        return
                if not again:
                    return

        await asyncio.gather(*(one() for _ in range(sessions)))
        return codes

    async def _at_most(self, work: Any) -> None:
        """Wait for something at most until the time is over."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.01, self._until - time.monotonic())):
                await work

    async def each(self, count: int, work: Callable[[int], Any], at_once: int = 50) -> list[Any]:
        """Do something so often, some at a time; what each gave, or its error if it was dropped."""
        turn = asyncio.Semaphore(at_once)

        async def one(number: int) -> Any:
            async with turn:
                try:
                    return await work(number)
                except DROPPED as error:
                    return error

        return await asyncio.gather(*(one(number) for number in range(count)))

    # --- the server's client --------------------------------------------------------------------

    @asynccontextmanager
    async def hostile(self, handle: Handle) -> AsyncIterator[int]:
        """Be a server to which the attacked process connects; the port.

        Args:
            handle: Called for every connection, with what the client sends and a writer.
        """
        loop = asyncio.get_running_loop()

        def build() -> asyncio.StreamReaderProtocol:
            reader = asyncio.StreamReader()

            def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                counted = counting(writer.transport, reader, self.spent)
                # From Python 3.13 on a writer that is freed closes its connection.
                self._opened += [writer, counted]
                self.start(self._handled(handle, reader, counted))

            return asyncio.StreamReaderProtocol(reader, connected)

        server = await loop.create_server(build, "127.0.0.1", 0)
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()

    @staticmethod
    async def _handled(
        handle: Handle, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        with suppress(*DROPPED):
            await handle(reader, writer)

    async def dial(self, port: int, count: int = 1, kind: str = "reads") -> None:
        """Have the attacked process connect to a port; ``kind`` is one of ``victim.KINDS``."""
        await self.get(f"/dial/{port}/{count}/{kind}")

    # --- what the runner does -------------------------------------------------------------------

    async def state(self, processes: Iterable[int] = ()) -> dict[str, int]:
        """How many sessions and tasks the server has, summed over its worker processes.

        Raises:
            TimeoutError: If it does not answer.
        """
        found: dict[int, dict[str, int]] = {}
        wanted = set(processes)
        async with asyncio.timeout(5):
            while not found or not wanted <= set(found):
                _, body = await self.get("/state")
                state = json.loads(body)
                found[state["pid"]] = state
        return {name: sum(one[name] for one in found.values()) for name in ("sessions", "tasks")}

    async def close(self) -> None:
        """Drop everything that the attack has opened."""
        if self.front == "client":
            with suppress(*DROPPED):
                await self.get("/hang-up")
        for one in self._opened:
            if isinstance(one, asyncio.StreamWriter):
                reset(one)
            else:
                one.close()
        self._opened.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


async def upgrade(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, more: str = ""
) -> None:
    """Answer a client's handshake with 101, and with more lines."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    key = next(x[19:] for x in head.split("\r\n") if x.lower().startswith("sec-websocket-key: "))
    writer.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept_key(key)}\r\n{more}\r\n".encode()
    )


#: The head of a good handshake, for attacks that send it themselves.
HANDSHAKE = REQUEST.format(path="/", more="").encode()
