"""When a connection reads, and when it decodes what it has read: while there is room for it."""

from __future__ import annotations

import asyncio
from typing import Any

from wsext.errors import LocalProtocolError, ProtocolError
from wsext.escape import get_logger
from wsext.protocol.connection import Connection
from wsext.protocol.states import State
from wsext.runtime.loop import start
from wsext.runtime.pacing import Pace
from wsext.runtime.read_path import ReadPath
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.runtime.turns import Timed

__all__ = ["Reading"]

logger = get_logger("wsext.session")

#: Bytes that wait undecoded for an asynchronous codec before reading pauses.
_UNDECODED = 1 << 16


class Reading(ReadPath):
    """The reading part of a link.

    Args:
        connection: The engine.
        options: Timeouts and bounds.
        timers: What runs timeouts; by default the event loop.
    """

    __slots__ = ("_decoding", "_held_until", "_hold", "_pace", "_reading", "_turning", "timers")

    def __init__(
        self, connection: Connection, options: WebSocketOptions, timers: Timers | None = None
    ) -> None:
        ReadPath.__init__(self, connection, options)
        self.timers: Timers = timers or self._loop
        self._reading = True  # whether the transport reads
        self._held_until: float | None = None
        self._hold: Any = None
        self._decoding: asyncio.Task[None] | None = None  # for an asynchronous codec
        self._turning = False  # whether other connections have their turn
        self._pace: Pace | None = None

    def fail(self, error: ProtocolError) -> None:
        """Fail the connection with the error's code."""
        raise NotImplementedError

    @property
    def is_reading(self) -> bool:
        """Whether the peer may be heard."""
        return self._reading

    @property
    def is_hearing(self) -> bool:
        """Whether a pong that comes is found soon, and not behind what nobody takes yet."""
        return self._reading and (not self._stalled or self._turning)

    def has_heard(self) -> bool:
        """Whether anything has come since this was asked last."""
        heard, self._heard = self._heard, False
        return heard

    def _update_reading(self) -> None:
        """Let the transport read as long as something can be done with what comes."""
        held = self._held_until is not None and self.connection.is_open
        connection = self.connection
        waits = self._stalled
        if self.is_async:
            waits = connection.has_more and connection.undecoded_bytes > _UNDECODED
        wanted = not (held or waits)
        if wanted == self._reading or self.is_lost or not self._transport:
            return
        if self._transport.is_closing():
            return
        self._reading = wanted
        if wanted:
            self._transport.resume_reading()
        else:
            self._transport.pause_reading()
            self.note()
            if self._pace is not None:
                self._pace.go_on()

    def stall(self) -> None:
        """Deliver no more, and decode no more: the application has enough for now."""
        self._stalled = True
        self._update_reading()
        if self._pace is not None:
            self._pace.go_on()

    def go_on(self) -> None:
        """Deliver what has come and was not delivered yet, until the application has enough."""
        self._turning = False
        if self._has_to_wait():
            self.wait_for_room()
            return
        self._stop_waiting()
        if self.is_async:
            self._stalled = False
            self._decode_on()
        else:
            super().go_on()
        self._update_reading()

    def go_on_soon(self) -> None:
        """`go_on`, in a later pass of the event loop: never from within the application's code."""
        self._turns.queue(self)

    def take_turns(self) -> None:
        """Let other connections have their turn, then go on."""
        self._turning = True
        self.stall()
        self.go_on_soon()

    def wait_for_room(self) -> None:
        """Go on when less waits in all sessions, or nothing in this one."""
        if self._session is not None:
            self._session._inbox.is_held = True
        self._turns.wait_for_room(self)
        self.stall()

    def _stop_waiting(self) -> None:
        """Wait for no room any more."""
        self._turns.leave(self)
        if self._session is not None:
            self._session._inbox.is_held = False

    def store(self, data: bytes | bytearray | None, size: int) -> None:
        """Keep what has come until it can be decoded."""
        self.connection.store(data, size)
        self._count()
        if self.is_async:
            self._decode_on()
        elif not self._stalled and not self._pulling:  # this pass has no time left
            self.take_turns()
        self._update_reading()

    def hold_reading(self, seconds: float) -> None:
        """Read nothing for some time, whoever asks to read again meanwhile."""
        until = self.timers.time() + seconds
        if self._held_until is None or until > self._held_until:
            if self._hold is not None:
                self._hold.cancel()
            self._held_until = until
            self._hold = self.timers.call_later(seconds, self._end_hold)
        self._update_reading()

    def _end_hold(self) -> None:
        self._held_until = None
        self._update_reading()

    @property
    def is_stalled(self) -> bool:
        """Whether nothing is decoded, because the application has enough for now."""
        return self._stalled

    # --- an asynchronous codec ----------------------------------------------------------------

    def _decode_on(self) -> None:
        if self._decoding is not None or self._stalled or not self.connection.has_more:
            return
        if self._turns.is_spent:
            self.take_turns()
            return
        if self._has_to_wait():
            self.wait_for_room()
            return
        self._decoding = start(self._loop, Timed(self._turns, self, self._decode))
        self._decoding.add_done_callback(self._decoded)

    async def _decode(self, step: Timed) -> None:
        """Decode and deliver message by message; their order is kept."""
        connection = self.connection
        connection.new_turn()
        while connection.has_more and not self._stalled:
            event = await connection.anext_event()
            if self.is_lost:  # a codec need not obey when it is cancelled
                return
            if event is not None:
                self.deliver(event)
            self._count()
            if connection.journal is not None:
                self.acknowledge()
            if connection.has_output:
                self.write_out()
            if connection.is_turn_over and not self._stalled:
                if self._turns.is_over(step.began):
                    self.take_turns()
                connection.new_turn()
            if self._has_to_wait():
                self.wait_for_room()
            self._update_reading()

    def _decoded(self, task: asyncio.Task[None]) -> None:
        self._decoding = None
        if self.is_lost:
            if not task.cancelled():
                task.exception()
            return
        error = asyncio.CancelledError() if task.cancelled() else task.exception()
        if error is not None:  # not of a codec, whose faults are the pipeline's
            logger.error("decoding failed", exc_info=error)
            self.fail(LocalProtocolError("decoding failed"))
        elif self.connection.state is not State.OPEN:
            self.progress_close()
        else:
            self._decode_on()
