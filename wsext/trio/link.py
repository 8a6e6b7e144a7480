"""One connection on one stream: reading, writing, pings, and its end.

The engine (`Connection`) decides what is said, the link decides when. One task reads, and decodes
while the program has room for it. Another one writes: only it touches the stream that way, so
whoever sends can be cancelled and never leaves half a frame. For asynchronous codecs there is a
third one, so that nothing interrupts them, and they do not keep pongs from leaving.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import trio

from wsext.errors import ProtocolError
from wsext.escape import get_logger
from wsext.protocol.closing import build_close
from wsext.protocol.connection import Connection
from wsext.protocol.states import State
from wsext.runtime.keepalive import Keepalive, PongWaiter
from wsext.runtime.net import abort_if_reset
from wsext.runtime.settings import WebSocketOptions
from wsext.trio.ports import LinkOwner
from wsext.trio.streams import StreamInfo
from wsext.trio.waiting import TrioTimers, close_rest, codec_deadline

__all__ = ["TrioLink"]

logger = get_logger("wsext.session")

#: Bytes that are read at once, at most, and that the stream is given at once: between two pieces
#: can be seen whether the peer reads.
_PIECE = 1 << 16

#: Seconds that a failed connection is kept readable, so that the peer can still read our Close
#: frame: closing a socket with unread data in it makes TCP throw away what was sent.
_LINGER = 2.0


class TrioLink:
    """Runs a `Connection` on a stream.

    Args:
        connection: The engine.
        stream: The stream, after the opening handshake.
        options: Timeouts and bounds.
        owner: The life of the session.

    Attributes:
        timers: What runs pings and timeouts.
        resumed: How often the peer has taken something.
    """

    def __init__(
        self,
        connection: Connection,
        stream: trio.abc.Stream,
        options: WebSocketOptions,
        owner: LinkOwner,
    ) -> None:
        self.connection = connection
        self.options = options
        self.timers = TrioTimers()
        self.resumed = 0
        self._stream = stream
        self._info = StreamInfo(stream)
        self._owner = owner
        self._scope = trio.CancelScope(shield=True)
        self._reading = trio.CancelScope()
        self._keepalive = Keepalive(self)
        self._idle = trio.lowlevel.ParkingLot()  # who has nothing to write or to encode
        self._stopped = trio.lowlevel.ParkingLot()  # the reader, while it may not read
        self._is_stalled = False
        self._held_until = 0.0
        self._heard = False  # since the last ping
        self._on_its_way = 0  # bytes that the stream was given and has not taken
        self._is_read = False  # nothing more comes
        self._has_sent_eof = False
        self._is_aborted = False
        self._close_after: tuple[int, str] | None = None
        self._deadline: trio.CancelScope | None = None
        self._lingers = False
        self._error: BaseException | None = None
        self._is_async = connection.pipeline.is_async
        if self._is_async:
            connection.pipeline.wait = codec_deadline(options.codec_timeout)

    async def run(self, rest: bytes = b"") -> None:
        """Run the connection until it is gone; only `abort` interrupts that.

        Args:
            rest: The bytes that came with the opening handshake.
        """
        with self._scope:
            async with trio.open_nursery() as nursery:
                self.timers.start(nursery)
                if not self.connection.raw and self.connection.is_open:
                    self._keepalive.start()
                nursery.start_soon(self._work, self._read, rest)
                if self._is_async:
                    nursery.start_soon(self._work, self._encode)
                await self._work(self._write)
                nursery.cancel_scope.cancel()
        self.timers.stop()
        self._keepalive.stop()
        self.connection.lose(self._error, unsent=self._on_its_way > 0)
        self._on_its_way = 0
        with trio.CancelScope(shield=True):
            await self._close_stream()
            await close_rest(self.connection.pipeline.close(), self.options)
        self._owner.lost()  # the task ends with it: whoever waits goes on after that

    async def _work(self, work: Callable[..., Any], *arguments: Any) -> None:
        """Do the work of a task; if it fails, the connection is gone."""
        try:
            await work(*arguments)
        except (trio.BrokenResourceError, trio.ClosedResourceError) as error:
            self._error = self._error or error.__cause__
            self._scope.cancel()
        except Exception as error:
            logger.exception("a connection failed")
            self._error = self._error or error
            self.abort()

    async def _close_stream(self) -> None:
        if self._is_aborted:
            await trio.aclose_forcefully(self._stream)
            return
        with trio.move_on_after(_LINGER), suppress(trio.BrokenResourceError):
            await self._stream.aclose()  # TLS says that it ends

    # --- reading ------------------------------------------------------------------------------

    async def _read(self, rest: bytes) -> None:
        connection = self.connection
        with self._reading:
            data: bytes | bytearray = rest
            while True:
                if data:
                    await self._take(data)
                if connection.state is State.CLOSED and connection.role == "server":
                    break  # the server closes the stream (RFC 6455 §7.1.1)
                data = await self._stream.receive_some(_PIECE)
                if not data:
                    break
                while not self.is_reading:
                    await self._stopped.park()
        self._is_read = True
        self._arm()
        self.write_soon()

    async def _take(self, data: bytes | bytearray) -> None:
        """Decode what has come, and deliver it while the program has room.

        Others have their turn when this one is over, and before a Close frame or a fault takes
        effect: so they can still answer what came before it.
        """
        connection = self.connection
        self._heard = True
        event = connection.receive(data)
        if self._is_async:
            event = await connection.anext_event()
        while event is not None or connection.has_more:
            if event is not None:
                self._hand_over(event)
                while self._is_stalled:
                    self.write_soon()
                    await self._stopped.park()
            else:
                self.write_soon()
                await self._owner.let_read()
                await trio.lowlevel.checkpoint()
                connection.new_turn()
            event = await connection.anext_event() if self._is_async else connection.next_event()
        self.write_soon()
        self.progress_close()

    def _hand_over(self, event: Any) -> None:
        if getattr(event, "opcode", 0) == 10:
            self._keepalive.take_pong(bytes(event.payload))
        self._owner.deliver(event)

    @property
    def is_reading(self) -> bool:
        """Whether the peer may be heard."""
        is_held = self.timers.time() < self._held_until and self.connection.is_open
        return not (self._is_stalled or is_held)

    def has_heard(self) -> bool:
        """Whether anything has come since this was asked last."""
        heard, self._heard = self._heard, False
        return heard

    def stall(self) -> None:
        """Decode no more: the program has enough for now."""
        self._is_stalled = True

    def go_on(self) -> None:
        """The program has room again."""
        self._is_stalled = False
        self._read_on()

    def _read_on(self) -> None:
        self._stopped.unpark_all()

    def hold_reading(self, seconds: float) -> None:
        """Read nothing for some time, whoever asks to read again meanwhile."""
        self._held_until = max(self._held_until, self.timers.time() + seconds)
        self.timers.call_later(seconds, self._read_on)

    def check_thread(self, call: str) -> None:
        """Refuse a call that would race with trio's own, because it comes from another thread.

        Raises:
            RuntimeError: If it does; it says what to call.
        """
        if not trio.lowlevel.in_trio_run():
            raise RuntimeError(
                f"{call} was called outside of trio, with which it would race:"
                f" call trio.from_thread.run_sync({call}, ...)"
            )

    def watch(self, active: dict[Any, None] | None) -> None:
        """Nothing has to be noted: `look` always asks for another one."""

    def look(self) -> bool:
        """Notice that the peer has reset the connection, also while nothing is read.

        Returns:
            ``True``: it has to be looked at again.
        """
        with suppress(OSError):  # it may be closed already
            abort_if_reset(self)
        return True

    def get_extra_info(self, name: str) -> Any:
        """As of asyncio's transports; see `StreamInfo`."""
        return self._info.get_extra_info(name)

    # --- writing ------------------------------------------------------------------------------

    async def _write(self) -> None:
        connection, outgoing = self.connection, self._owner.writer
        while True:
            self._close_if_due()
            may_take = outgoing.has_next and not (self._is_async or self._is_read)
            if may_take and connection.pending_bytes < _PIECE:
                await outgoing.take_out()
                self.progress_close()
            elif connection.has_output:
                await self._write_out()
            elif self._is_read:
                return
            elif connection.state is State.FAILED and not self._has_sent_eof:
                await self._end_output()
            else:
                await self._idle.park()

    async def _write_out(self) -> None:
        """Hand everything that is ready to the stream."""
        chunks = self.connection.data_to_send()
        data = memoryview(chunks[0] if len(chunks) == 1 else b"".join(chunks))
        self._on_its_way = len(data)
        for at in range(0, len(data), _PIECE):
            piece = data[at : at + _PIECE]
            await self._stream.send_all(piece)
            self._on_its_way -= len(piece)
            self.resumed += 1
            if not self.is_paused:
                self.connection.hold_pongs(False)
                self._owner.writer.wake()
                self._idle.unpark_all()

    async def _end_output(self) -> None:
        """The connection has failed, and our Close frame has left: nothing follows it."""
        self._has_sent_eof = True
        if isinstance(self._stream, trio.abc.HalfCloseableStream):
            await self._stream.send_eof()
        else:
            self.finish()

    async def _encode(self) -> None:
        """Give asynchronous codecs one message after the other, while the peer reads."""
        outgoing = self._owner.writer
        while True:
            if outgoing.has_next and not self.is_paused:
                await outgoing.take_out()
                self.write_soon()
                self.progress_close()
            else:
                await self._idle.park()

    def write_soon(self) -> None:
        """There may be something to write."""
        self._idle.unpark_all()
        if self.is_paused:
            self.connection.hold_pongs(True)

    def soon(self) -> None:
        """`write_soon`, as `Keepalive` calls it."""
        self.write_soon()

    @property
    def is_paused(self) -> bool:
        """Whether what is sent has to wait until the peer has read more."""
        return self.unwritten > self.options.outgoing_bytes

    @property
    def unwritten(self) -> int:
        """Bytes that were handed over and that the stream has not taken yet."""
        return self._on_its_way + self.connection.pending_bytes

    @property
    def stuck_bytes(self) -> int:
        """Bytes that wait for the peer to read while nothing more is written; else 0."""
        return self.unwritten if self.is_paused else 0

    # --- pings --------------------------------------------------------------------------------

    def ping(self, payload: bytes | None, waiter: PongWaiter) -> None:
        """Send a ping; see `Keepalive.ping`."""
        self._keepalive.ping(payload, waiter)

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong."""
        return self._keepalive.latency

    # --- the end ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages may still be accepted."""
        return self.connection.is_open and self._close_after is None and not self._is_read

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection with the error's code."""
        self.connection.fail(error)
        self.write_soon()
        self.progress_close()

    def give_up(self, error: ProtocolError) -> None:
        """The peer is not there any more."""
        self.fail(error)

    def send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, if it has not begun; the peer has ``close_timeout`` for it.

        What was accepted before leaves before the Close frame.
        """
        build_close(code, reason)
        if self._close_after is None:
            self._close_after = (code, reason)
            self._arm()
            self._close_if_due()
            self.write_soon()

    def _close_if_due(self) -> None:
        """Send a Close frame, once everything was sent that has to leave before it."""
        if self._close_after is None or not self.connection.is_open:
            return
        if self._owner.writer.finish():
            self.connection.send_close(*self._close_after)
            self.progress_close()

    def progress_close(self) -> None:
        """Do what the connection's state asks for."""
        state = self.connection.state
        if state is State.OPEN:
            return
        self._keepalive.stop()
        more = state is State.CLOSE_SENT
        if not more and not self._is_async:
            self.connection.pipeline.close()  # it may be a while until the stream is gone
        self._owner.closing(more=more)
        self.go_on()  # the peer's Close may stand behind data that nobody wants any more
        self.write_soon()
        if state is State.FAILED and not self._lingers:
            self._lingers = True
            self._disarm()
            self._arm(min(_LINGER, self.options.close_timeout))
        self._arm()

    def _arm(self, seconds: float | None = None) -> None:
        """Start the deadline, unless it runs."""
        if self._deadline is None:
            timeout = self.options.close_timeout if seconds is None else seconds
            self._deadline = self.timers.call_later(timeout, self.abort)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def finish(self) -> None:
        """Read no more, and close the stream after what is written."""
        self._reading.cancel()

    def abort(self) -> None:
        """Drop the stream at once."""
        self._is_aborted = True
        self._scope.cancel()

    def release(self, error: Callable[[], BaseException]) -> None:
        """The link is of no more use: whoever still waits for a pong gets an error."""
        self._keepalive.end(error)
        self._keepalive.release()
        self._owner = cast("Any", None)
