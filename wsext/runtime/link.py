"""One connection on one asyncio transport: reading, flow control, and what happens when.

The engine (`Connection`) decides what is said, the link decides when. Output is gathered: what is
sent while one read is handled, or before the event loop gets its turn again, leaves in one write.
Input is decoded only while the application has room for it.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

from wsext.errors import ProtocolError
from wsext.escape import get_logger
from wsext.protocol.closing import build_close
from wsext.protocol.connection import Connection
from wsext.protocol.states import State
from wsext.runtime.closing import Closing
from wsext.runtime.deadline import Deadline
from wsext.runtime.keepalive import Keepalive, PongWaiter
from wsext.runtime.net import abort_if_reset
from wsext.runtime.pacing import Pace
from wsext.runtime.ports import Owner
from wsext.runtime.reading import Reading
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers

__all__ = ["Link"]

logger = get_logger("wsext.session")

_OPEN, _CLOSE_SENT = State.OPEN, State.CLOSE_SENT

#: What a connection counts, and the next one goes on counting.
_TOTALS = (
    *("messages_in", "messages_out", "app_bytes_in", "app_bytes_out"),
    *("wire_bytes_in", "wire_bytes_out", "frames_in", "pings_in"),
)

#: Seconds between two looks at what was taken. It is acknowledged at the second one at the latest;
#: at the first one if no acknowledgement was sent since it was decided to look.
_ACKNOWLEDGE = 0.5

#: The level of unsent data in the system at which a socket takes no more, for sessions that have to
#: get fresh data: what waits in the system can be neither dropped nor replaced.
_FRESH = 1 << 12


class Link(Reading, asyncio.BufferedProtocol):
    """Runs a `Connection` on a transport.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
        owner: The life of the session whose connection it is.
        timers: What runs pings and timeouts; by default the event loop.
    """

    __slots__ = (
        "_acks",
        "_close_after",
        "_closing",
        "_deadline",
        "_keepalive",
        "_owner",
        "is_final",
        "is_fresh",
    )

    def __init__(
        self,
        connection: Connection,
        options: WebSocketOptions,
        owner: Owner,
        timers: Timers | None = None,
    ) -> None:
        Reading.__init__(self, connection, options, timers)
        self._owner: Owner | None = owner
        self._keepalive = Keepalive(self)
        self._closing: Closing | None = None  # made when the end begins
        self._close_after: tuple[int, str] | None = None
        self._acks: Any = None  # the timer of `acknowledge_later`
        self.is_final = False  # whether the session ends with this connection
        self.is_fresh = False  # see `keep_fresh`
        self._deadline: Deadline | None = None
        if self.is_async:
            self._deadline = Deadline(self.timers, options.codec_timeout, self.fail)
            connection.pipeline.wait = self._deadline.wait

    # --- the transport ------------------------------------------------------------------------

    def attach(self, transport: asyncio.Transport) -> None:
        """Take over a transport after the opening handshake: from now on can be written to it.

        Nothing is received until `begin`.
        """
        self.bind(transport)
        transport.set_write_buffer_limits(high=self.options.outgoing_bytes)
        transport.set_protocol(self)

    def begin(self, rest: bytes = b"") -> None:
        """Receive, beginning with the bytes that came with the opening handshake."""
        if self.is_lost:
            return
        transport = self._transport
        if not transport.is_reading():  # much came while the handshake was being decided
            transport.resume_reading()
        if not self.connection.raw and self.connection.is_open:
            self._keepalive.start()
        if rest:
            self.connection.store(rest, len(rest))
        if self._session is not None and self._session._inbox.full:
            self._session._overflow()  # the application has enough from the last connection
        if rest and not self._stalled:
            # In the loop's next turn: then the handler waits for it, and can answer what comes
            # before a fault.
            self.take_turns()
        self._update_reading()

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows: ``peername``, ``ssl_object`` and so on."""
        return self._transport.get_extra_info(name) if self._transport else None

    def look(self) -> bool:
        """Notice a connection that was reset where the transport does not.

        uvloop tells a reader once of an error and then no more; a reader that finds data there and
        leaves the error for the next time, as those of aiofastnet do, is never called again. And
        while reading is paused nobody is told of a reset at all.

        Returns:
            Whether it has to be looked at again although nothing comes; see `watch`.
        """
        has_read, self._has_read = self._has_read, False
        if not self.is_lost and (not self._reading or (has_read and self._descriptor < 0)):
            abort_if_reset(self._transport)
        return self._paused or not self._reading

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        if self.is_lost:
            return
        self.is_lost = True
        connection = self.connection
        if connection.journal is not None:  # what was decoded has been counted
            while (event := connection.ready_event()) is not None:
                self.deliver(event)
        owner, self._owner = self._owner, None
        assert owner is not None
        if not owner.keeps(self):
            self.is_final = True
        elif connection.state is _CLOSE_SENT:
            self._close_after = connection.local_close
        connection.lose(exc, unsent=self._paused)
        self._paused = False
        self._stop_waiting()
        if self._decoding is not None:
            self._decoding.cancel()
        self._keepalive.stop()
        for timer in (self._hold, self._acks):
            if timer is not None:
                timer.cancel()
        if self._pace is not None:
            self._pace.end()
        if self._closing is not None:
            self._closing.stop()
        owner.lost(self)
        self._transport = self._write = None  # a session may wait for another one for long

    def cut_off(self) -> None:
        """Freeze the connection and drop it: nothing that it reads or writes counts any more."""
        if not self.is_lost:
            transport = self._transport
            self.connection_lost(None)
            transport.abort()

    @property
    def close_after(self) -> tuple[int, str] | None:
        """What the session is being closed with, if this side has begun to."""
        return self._close_after

    def follow(self, before: Link) -> None:
        """Take over from the session's last connection what concerns the session, and release
        that."""
        connection, last = self.connection, before.connection
        for total in _TOTALS:
            setattr(connection, total, getattr(last, total))
        connection.streaming = last.streaming
        self.begin_turn()
        self.watch(before._active)
        self._keepalive.go_on(before._keepalive)
        before.release()

    def release(self, error: Callable[[], BaseException] | None = None) -> None:
        """Let go of everything: the link is of no more use.

        Args:
            error: What whoever still waits for a pong gets.
        """
        if error is not None:
            self._keepalive.end(error)
        self._session = self._owner = None
        self._transport = self._write = None
        self._closing = self._hold = self._acks = self._pace = self._deadline = None
        self._keepalive.release()

    # --- acknowledgements ---------------------------------------------------------------------

    def acknowledge_later(self) -> None:
        if not self.is_lost:
            self.acks_later, self.has_acked = True, False
            self._acks = self.timers.call_later(_ACKNOWLEDGE, self._acknowledge_now)

    def _acknowledge_now(self) -> None:
        self.acks_later = False
        journal = self.connection.journal
        if journal is None:
            return
        if journal.has_news() and not self.has_acked:
            self.connection.send_ack()
            self.soon()
        if journal.is_untold():
            self.acknowledge_later()

    def fill(self) -> None:
        if not self.queueing:
            self.queueing = True
            if self._owner is not None:
                self._owner.filled()

    # --- writing ------------------------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """Whether what is sent has to wait until the peer has read more."""
        return self._paused or self._is_ahead()

    def _is_ahead(self) -> bool:
        if self.connection.wire_bytes_out <= self.free_until or self._pace is None:
            return False
        return self._pace.is_ahead()

    @property
    def unwritten(self) -> int:
        """Bytes that were handed over and that the operating system has not taken yet."""
        transport = self._transport
        waiting = transport.get_write_buffer_size() if transport and not self.is_lost else 0
        return int(waiting) + self.connection.pending_bytes

    @property
    def stuck_bytes(self) -> int:
        """Bytes that wait for the peer to read while nothing more is written; else 0."""
        if not self._paused or self._transport is None:
            return 0
        return int(self._transport.get_write_buffer_size())

    def pause_writing(self) -> None:
        self._paused = True
        self.note()
        self.connection.hold_pongs(True)

    def resume_writing(self) -> None:
        self._paused = False
        self.resumed += 1
        self.connection.hold_pongs(False)
        self.soon()
        self.write_on()

    def write_on(self) -> None:
        """There may be room: send what waits, and tell who waits to send."""
        if self._owner is not None:
            self._owner.wake_writers()

    def keep_fresh(self) -> None:
        """Let messages wait in the outbox, where a policy can still drop or replace them.

        No more is sent than the peer reads in a short time (`Pace`). For peers that answer no
        pings, the transport asks for a pause as soon as the system takes no more, and the system is
        told to take little (``TCP_NOTSENT_LOWAT``; where that is missing, a small send buffer).
        """
        if self.is_fresh or self._transport is None:
            return
        self.is_fresh = True
        self._transport.set_write_buffer_limits(high=0)
        if self.is_open and not self.connection.raw:  # a raw session's pongs are the application's
            self._pace = Pace(self)
        sock = self.get_extra_info("socket")
        if sock is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
            return
        option = getattr(socket, "TCP_NOTSENT_LOWAT", None)
        try:
            if option is not None:
                sock.setsockopt(socket.IPPROTO_TCP, option, _FRESH)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _FRESH)
        except OSError as error:  # it works without, only with older data
            logger.debug("no low watermark for unsent data: %s", error)

    async def flush(self, wait_writable: Callable[[], Any]) -> None:
        """Wait until everything handed over so far is with the operating system."""
        self.write_out()
        transport = self._transport
        try:
            while not self.is_lost and transport and transport.get_write_buffer_size():
                transport.set_write_buffer_limits(high=0)
                if self._paused:
                    await wait_writable()
                else:  # the transport counts what it is just writing
                    await asyncio.sleep(0)
        finally:
            if not self.is_lost and transport and not self.is_fresh:
                transport.set_write_buffer_limits(high=self.options.outgoing_bytes)

    # --- pings --------------------------------------------------------------------------------

    def send_marker(self, waiter: PongWaiter) -> None:
        """Send a ping of the pace."""
        self._keepalive.mark(waiter)

    def ping(self, payload: bytes | None, waiter: PongWaiter) -> None:
        """Send a ping; see `Keepalive.ping`."""
        self._keepalive.ping(payload, waiter)

    def take_pong(self, payload: bytes) -> None:
        self._keepalive.take_pong(payload)

    @property
    def latency(self) -> float | None:
        """Seconds between the last answered ping and its pong."""
        return self._keepalive.latency

    # --- the end ------------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages may still be accepted."""
        return self.connection.is_open and self._close_after is None

    def give_up(self, error: ProtocolError) -> None:
        """The peer is not there any more: fail the connection, or drop it if the session is kept
        for another one."""
        if self._owner is not None and self._owner.keeps(self):
            self._transport.abort()
        else:
            self.fail(error)

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection with the error's code."""
        self.connection.fail(error)
        self.write_out()
        self.progress_close()

    def send_close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, if it has not begun; the peer has ``close_timeout`` for it.

        What was accepted before goes before the Close frame. With an asynchronous codec that takes
        a little, at most ``close_timeout``.
        """
        build_close(code, reason)
        if self._close_after is not None:
            return
        if self.connection.is_open and self._owner is not None:
            self._close_after = (code, reason)
            if self._pace is not None:
                self._pace.end()
            if not self._owner.finish_writing():
                self._end().arm()
                return
        self._close_now(code, reason)

    def close_if_due(self) -> None:
        """Send a Close frame that had to wait for what was said before it."""
        if self._close_after is not None and self.connection.is_open:
            self._close_now(*self._close_after)

    def _close_now(self, code: int, reason: str) -> None:
        if self.connection.send_close(code, reason):
            self.progress_close()

    def progress_close(self) -> None:
        """Do what the connection's state asks of the transport."""
        if self.is_lost or self._transport is None or self.connection.state is _OPEN:
            return
        self.write_out()  # a Close frame may stand there
        self._keepalive.stop()
        if self._pace is not None:
            self._pace.end()
        more = self.connection.state is _CLOSE_SENT
        if not more and not self.is_async:
            self.connection.pipeline.close()  # it may be a while until the transport is gone
        if self._owner is not None:
            self._owner.closing(more=more)
        if self._stalled and not self._turning:
            self.go_on()  # the peer's Close may stand behind data that nobody wants any more
        self._update_reading()
        if not self.is_lost:
            self._end().progress()

    def _end(self) -> Closing:
        if self._closing is None:
            timeout = self.options.close_timeout
            self._closing = Closing(
                self.connection, self._transport, self.timers, timeout, self._expire
            )
        return self._closing

    def _expire(self) -> None:
        """The peer, or a codec, has taken too long to close."""
        if not self.fail_codec():
            self.is_final = self.is_final or self.connection.remote_close is None
            self.abort()

    def fail_codec(self) -> bool:
        """Close without what a codec still works on; ``False`` if no Close frame waits for one."""
        deadline = self._deadline
        if deadline is None or not deadline.is_waiting("encode"):
            return False  # it is the peer that does not read
        if self._close_after is None or not self.connection.is_open:
            return False
        deadline.give_up("encode", "did not end in the time that was left for closing")
        return True

    def close_transport(self) -> None:
        """Close the transport after what is written; raw sessions end like this."""
        self.write_out()
        if self._transport is not None and not self.is_lost:
            self._end().close()

    def end(self) -> None:
        """Drop the transport at once, and with it the session."""
        self.is_final = True
        self.abort()

    def abort(self) -> None:
        """Drop the transport at once."""
        if self._transport is not None and not self.is_lost:
            self._transport.abort()
