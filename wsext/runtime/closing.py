"""The end of a connection on its transport: who closes it, when, and how long that may take."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from wsext.protocol.connection import Connection
from wsext.protocol.states import State
from wsext.runtime.net import close_in_time, half_close
from wsext.runtime.timers import Timers

__all__ = ["Closing"]

_CLOSED, _FAILED = State.CLOSED, State.FAILED

#: Seconds that a failed connection is kept readable, so that the peer can still read our Close
#: frame: closing a socket with unread data in it makes TCP throw away what was sent.
_LINGER = 2.0


class Closing:
    """Closes a transport as the closing handshake goes on (RFC 6455 §7).

    Args:
        connection: The engine.
        transport: What it runs on.
        timers: What runs the deadline.
        timeout: Seconds until the transport is dropped, whatever the peer does.
        expired: Called when the time is over.
    """

    __slots__ = (
        "_connection",
        "_deadline",
        "_expired",
        "_finishing",
        "_timeout",
        "_timers",
        "_transport",
    )

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        timers: Timers,
        timeout: float,
        expired: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._transport = transport
        self._timers = timers
        self._timeout = timeout
        self._expired = expired
        self._deadline: Any = None
        self._finishing = False  # nothing more will be written

    def progress(self) -> None:
        """Do what the connection's state asks of the transport."""
        state = self._connection.state
        if state is _CLOSED and self._connection.role == "server":
            self.close(self._timeout)
        elif state is _FAILED and not self._finishing:
            self._fail()
        elif not self._finishing:
            self.arm()

    def _fail(self) -> None:
        transport = self._transport
        patience = min(_LINGER, self._timeout)
        if transport.can_write_eof() and not transport.is_closing():
            self._finishing = True
            half_close(transport)
            self._restart(patience)
        else:
            self.close(patience)

    def close(self, within: float | None = None) -> None:
        """Close the transport once what is written has left; drop it if that takes too long."""
        if self._finishing and self._connection.state is _CLOSED:
            return
        self._finishing = True
        close_in_time(self._transport)
        self._restart(self._timeout if within is None else within)

    def arm(self) -> None:
        """Start the deadline, unless it runs."""
        if self._deadline is None:
            self._restart(self._timeout)

    def _restart(self, seconds: float) -> None:
        self.stop()
        self._deadline = self._timers.call_later(seconds, self._expired)

    def stop(self) -> None:
        """The transport is gone."""
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
