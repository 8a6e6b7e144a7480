"""A recorded session once more: the client's part of it is played, and the answers are kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from wsext.cli.comparing import Answer, Pair, align
from wsext.errors import ConnectionClosed, ProtocolError
from wsext.protocol.closing import CloseCode, build_close, parse_close
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Frame
from wsext.runtime.session import Session

if TYPE_CHECKING:
    from wsext_capture import Recorded, Recording

__all__ = ["Played", "Timing", "play"]


@dataclass(frozen=True, slots=True)
class Timing:
    """When things are sent.

    Attributes:
        begin: The recorded time, in seconds since 1970, at which the replay
        start: has this time of the event loop.
        speed: How many recorded seconds pass in one; infinite: nothing waits for its time.
        wait: Seconds that an answer gets, at most, to come before what was sent after it.
    """

    begin: float
    start: float
    speed: float
    wait: float

    async def until(self, time: float) -> None:
        """Wait for a recorded time."""
        due = self.start + (time - self.begin) / self.speed
        left = due - asyncio.get_running_loop().time()
        if left > 0:
            await asyncio.sleep(left)


@dataclass(slots=True)
class Played:
    """What has become of one session.

    Attributes:
        sent: Frames that were sent as recorded.
        left: Frames that the connection sends by itself where they are due: pongs, and the answer
            to a Close frame.
        unsent: Frames that could not be sent, for the session had ended.
        recorded: The recorded messages of the server, in their order.
        came: Those that have come.
        controls: The pongs and the Close frame that were recorded, each with what has come.
    """

    sent: int = 0
    left: int = 0
    unsent: int = 0
    recorded: list[Answer] = field(default_factory=list)
    came: list[Answer] = field(default_factory=list)
    controls: list[Pair] = field(default_factory=list)

    def pairs(self) -> Iterator[Pair]:
        """Each answer beside the recorded one that it stands for."""
        yield from align(self.recorded, self.came)
        yield from self.controls


async def play(
    recording: Recording,
    opening: AbstractAsyncContextManager[Session],
    timing: Timing,
    step: Callable[[], None] = lambda: None,
) -> Played:
    """Be the client of a recorded session.

    A frame is sent at its time, and not before the answers have come that came before it then. An
    answer that does not come within `Timing.wait` is waited for no more.

    Args:
        recording: What was recorded.
        opening: Gives the session.
        timing: When to send.
        step: Called for each frame of the recording that was dealt with.

    Raises:
        OSError, HandshakeError, ValueError: If the session cannot be opened.
    """
    await timing.until(recording.time)
    async with opening as session:
        client = _Player(session, timing)
        try:
            for frame in recording.frames:
                if frame.by_client:
                    await client.send(frame)
                else:
                    client.expect(frame)
                step()
            await client.end(recording)
        finally:
            await client.leave(recording)
    return client.played


class _Player:
    """Sends what a client has sent.

    Args:
        session: The session.
        timing: When to send.
    """

    def __init__(self, session: Session, timing: Timing) -> None:
        self.played = Played()
        self._session = session
        self._timing = timing
        self._given_up = 0  # answers that are waited for no more
        self._parts: list[Recorded] = []  # of a recorded message that is not whole yet
        self._pinged: set[bytes] = set()  # by the server
        self._pings: dict[bytes, asyncio.Task[float]] = {}  # the last one of each payload
        self._pongs: list[tuple[bytes, asyncio.Task[float]]] = []  # that were recorded
        self._closing: bytes | None = None  # the server's recorded Close frame
        self._has_closed = False
        self._news = asyncio.Event()
        self._receiver = asyncio.create_task(self._receive())

    async def _receive(self) -> None:
        """Take what comes, until the session has ended."""
        try:
            while True:
                data = await self._session.receive()
                text = isinstance(data, str)
                payload = data.encode() if isinstance(data, str) else data
                self.played.came.append(Answer("text" if text else "binary", payload, len(payload)))
                self._news.set()
        except ConnectionClosed:
            pass
        finally:
            self._news.set()

    # --- what the server has sent then --------------------------------------------------------

    def expect(self, frame: Recorded) -> None:
        """Expect what the server has sent then."""
        if frame.opcode == Opcode.CLOSE:
            self._closing = frame.payload
        elif frame.opcode == Opcode.PING:
            self._pinged.add(frame.payload)
        elif frame.opcode == Opcode.PONG:
            if frame.payload in self._pings:
                self._pongs.append((frame.payload, self._pings[frame.payload]))
        else:
            self._parts.append(frame)
            if frame.fin:
                self.played.recorded.append(_joined(self._parts))
                self._parts = []

    async def _wait_for_answers(self) -> None:
        """Wait for what the server had sent by now."""
        came, recorded = self.played.came, self.played.recorded
        while len(came) < len(recorded) - self._given_up and not self._receiver.done():
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), self._timing.wait)
            except TimeoutError:
                self._given_up = len(recorded) - len(came)

    # --- what the client has sent then --------------------------------------------------------

    async def send(self, frame: Recorded) -> None:
        """Send what the client has sent then, unless the connection does that by itself."""
        await self._timing.until(frame.time)
        await self._wait_for_answers()
        is_answer = frame.opcode == Opcode.CLOSE and self._closing is not None
        if is_answer or (frame.opcode == Opcode.PONG and frame.payload in self._pinged):
            self.played.left += 1
            return
        try:
            if not self._session.is_open:
                raise ConnectionClosed(self._session.close_info)
            await self._send(frame)
        except (ConnectionClosed, ProtocolError):
            self.played.unsent += 1
        else:
            self.played.sent += 1

    async def _send(self, frame: Recorded) -> None:
        if frame.opcode == Opcode.CLOSE:
            self._has_closed = True
            self._session.close_nowait(*parse_close(frame.payload))
        elif frame.opcode == Opcode.PING and self._may_ping(frame.payload):
            ping = asyncio.create_task(self._session.ping(frame.payload))
            self._pings[frame.payload] = ping
            await asyncio.sleep(0)  # it is sent now
        else:
            opcode = Opcode(frame.opcode)
            await self._session.send_frame(Frame(opcode, frame.payload, frame.fin))

    def _may_ping(self, payload: bytes) -> bool:
        """Whether no ping with this payload is under way: its pong would be anybody's."""
        return payload not in self._pings or self._pings[payload].done()

    # --- the end ------------------------------------------------------------------------------

    async def end(self, recording: Recording) -> None:
        """End as it ended then: by the side that ended it, at that time."""
        await self._wait_for_answers()
        if self._has_closed:
            return
        if recording.end is not None:
            await self._timing.until(recording.end)
        if recording.code == CloseCode.ABNORMAL:
            self._session.abort()
        elif self._closing is not None or recording.code is not None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._session.wait_closed(), self._timing.wait)

    async def leave(self, recording: Recording) -> None:
        """Close the session if it is open, and see what has come of pongs and Close frames."""
        await self._session.close()
        await self._receiver
        await asyncio.gather(*self._pings.values(), return_exceptions=True)
        for payload, ping in self._pongs:
            pong = Answer("pong", payload, len(payload))
            has_come = ping.done() and ping.exception() is None
            self.played.controls.append((pong, pong if has_come else None))
        info = self._session.close_info
        came = None if info.remote is None else _closing(build_close(*info.remote))
        if self._closing is not None:
            self.played.controls.append((_closing(self._closing), came))
        elif came is not None and not info.local_first and info.code != recording.code:
            self.played.controls.append((None, came))


def _joined(parts: list[Recorded]) -> Answer:
    """The message that some frames are."""
    payload, size = b"", 0
    for part in parts:
        if len(payload) == size:  # else something of the last part was not recorded
            payload += part.payload
        size += part.size
    return Answer("text" if parts[0].opcode == Opcode.TEXT else "binary", payload, size)


def _closing(payload: bytes) -> Answer:
    return Answer("close", payload, len(payload))
