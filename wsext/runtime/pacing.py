"""How far may a session that needs fresh data get ahead of what its peer has read?

TCP takes data as long as a buffer has room, here or at the peer. For a peer that reads slowly that
is seconds of data, and what is in there can be neither dropped nor replaced. A `Pace` lets only so
much be on its way as the peer reads in a few hundredths of a second. The rest waits in the outbox.

A pong tells what the peer has read: everything that was sent before its ping. So the pace sends
pings of its own, *markers*, between the messages. The bytes that were sent and are not confirmed
by a pong yet are at most its *window*. Its size follows from the time that a marker takes for its
round trip (as in LEDBAT, RFC 6817). The shortest of these times is the network's. What it takes
longer is the time that data waits in buffers. The window shrinks when that is too long. It grows
when it is short and the window has kept data back. So a peer that is far away and fast gets a
large window, and a slow one gets a small one.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import Any, Protocol

from wsext.protocol.connection import Connection
from wsext.runtime.keepalive import PongWaiter
from wsext.runtime.timers import Timers

__all__ = ["NEVER", "Pace"]

#: More bytes than a connection ever sends.
NEVER = 1 << 62

#: Bytes of the window: at first, at least, at most.
_FIRST = 1 << 13
_LEAST = 1 << 10
_MOST = 1 << 24

#: The fewest bytes between two markers.
_STEP = 1 << 8

#: Seconds that data may wait in buffers: below, the window may grow; above, it has to shrink.
_SHORT = 0.04
_LONG = 0.08

#: Seconds between markers in the long run, and how far ahead of that they may be.
_APART = 0.05
_AHEAD = 1.0

#: Seconds between markers that nobody waits for, while the peer is fast: each costs both sides.
_FAR_APART = 0.1

#: Seconds after which the network's own time is measured anew, unless it was seen meanwhile; and
#: what still counts as having seen it: the peer is fast.
_STALE = 10.0
_NEAR = 0.01

#: Seconds that a peer which has never answered a ping is waited for, and how often.
_PATIENCE = 0.25
_TRIES = 4


class Paced(Protocol):
    """What a pace needs of its link."""

    connection: Connection
    free_until: int  # so many bytes may be sent before the pace has to be asked

    @property
    def timers(self) -> Timers: ...
    @property
    def is_hearing(self) -> bool: ...
    def send_marker(self, waiter: PongWaiter) -> None: ...
    def write_on(self) -> None: ...


class _Marker:
    """A ping of the pace. It waits for its pong as the future of an application's ping does.

    Args:
        answered: Called with the marker and the seconds of its round trip.
        sent: Bytes that were sent before it.
    """

    __slots__ = ("_answered", "sent")

    def __init__(self, answered: Callable[[_Marker, float], None], sent: int) -> None:
        self._answered = answered
        self.sent = sent

    def done(self) -> bool:
        return False

    def set_result(self, result: float, /) -> None:
        self._answered(self, result)

    def set_exception(self, exception: BaseException, /) -> None:
        """The connection is gone."""


class Pace:
    """Keeps one connection from getting ahead of its peer.

    Args:
        link: The connection's link.

    Attributes:
        window: Bytes that may be sent and not confirmed.
    """

    __slots__ = (
        "_base",
        "_base_seen",
        "_confirmed",
        "_due",
        "_has_answered",
        "_is_draining",
        "_is_fast",
        "_is_limited",
        "_is_waiting",
        "_link",
        "_marked",
        "_marked_at",
        "_marker",
        "_round",
        "_timer",
        "_tries",
        "window",
    )

    def __init__(self, link: Paced) -> None:
        self._link: Paced | None = link
        self.window = _FIRST
        self._confirmed = self._marked = self._round = link.connection.wire_bytes_out
        self._marker: _Marker | None = None  # the newest one, until it is answered
        self._marked_at = -inf
        self._due = 0.0  # when the next marker is due at the long-run rate
        self._base = inf  # seconds of a round trip while nothing waits in buffers
        self._base_seen = link.timers.time()
        self._is_draining = False  # until everything is confirmed, to measure that anew
        self._is_waiting = False  # messages wait because of this
        self._is_limited = False  # the window has kept data back in this round trip
        self._is_fast = False  # hardly anything waits in buffers
        self._has_answered = False
        self._tries = 0
        self._timer: Any = None
        link.free_until = self._confirmed  # the first marker follows the first message

    def is_ahead(self) -> bool:
        """Whether messages have to wait until the peer has read more.

        To be asked when more than ``link.free_until`` bytes were sent. Sends a marker if one is
        due.
        """
        link = self._link
        if link is None:
            return False
        if not link.is_hearing:
            self._assume_read(link)  # for a pong could not be heard
        sent = link.connection.wire_bytes_out
        limit = self._confirmed + (0 if self._is_draining else self.window - 1)
        step = max(self.window // (2 if self._is_fast else 4), _STEP)
        self._is_waiting = sent > limit
        if self._is_waiting:
            self._is_limited = self._is_limited or not self._is_draining
            if self._marker is None:
                self._send_marker(link, sent)
            self._watch(link)
            link.free_until = -1
            return True
        is_due = sent >= self._marked + step or (self._base == inf and self._marker is None)
        apart = _FAR_APART if self._is_fast else _APART
        if is_due and link.timers.time() >= self._marked_at + apart:
            self._send_marker(link, sent)
        self._stop_timer()
        link.free_until = min(limit, sent + step - 1)
        return False

    def go_on(self) -> None:
        """Let messages that wait be sent if that is possible now: the link hears no more."""
        if self._is_waiting and self._link is not None and not self.is_ahead():
            self._link.write_on()

    def end(self) -> None:
        """Nothing has to wait any longer: the connection is closing, or gone."""
        link, self._link = self._link, None
        self._stop_timer()
        self._marker = None
        if link is not None:
            link.free_until = NEVER
            if self._is_waiting:
                link.write_on()

    # --- markers ------------------------------------------------------------------------------

    def _send_marker(self, link: Paced, sent: int) -> None:
        """Send a marker, unless there were too many lately."""
        now = link.timers.time()
        if now < self._due - _AHEAD or not link.is_hearing:
            return
        self._due = max(self._due, now) + _APART
        self._marked = sent
        self._marked_at = now
        self._marker = _Marker(self._take_answer, sent)
        link.send_marker(self._marker)

    def _take_answer(self, marker: _Marker, seconds: float) -> None:
        """The pong of a marker has come."""
        link = self._link
        if link is None:
            return
        self._has_answered = True
        if link.free_until == NEVER:  # it had been given up
            self._assume_read(link)
            link.free_until = self._confirmed
        self._confirmed = max(self._confirmed, marker.sent)
        if marker is self._marker:
            self._marker = None
        self._measure(link, marker, seconds)
        self.go_on()

    def _assume_read(self, link: Paced) -> None:
        """Count everything as read, for no marker tells about it."""
        self._confirmed = self._marked = self._round = link.connection.wire_bytes_out
        self._marker = None

    # --- where no pong may come ---------------------------------------------------------------

    def _watch(self, link: Paced) -> None:
        """Have a look later, if no pong will end the waiting."""
        if self._timer is not None:
            return
        if self._marker is None:  # there were too many lately
            wait = max(self._due - _AHEAD - link.timers.time(), 0.001)
        elif not self._has_answered:
            wait = _PATIENCE
        else:
            return  # whether the peer is still there is the keepalive's business
        self._timer = link.timers.call_later(wait, self._look)

    def _look(self) -> None:
        self._timer = None
        link = self._link
        if link is None:
            return
        if self._marker is not None and not self._has_answered:
            self._assume_read(link)
            self._tries += 1
        if self._tries < _TRIES:
            self.go_on()
        else:  # this peer answers no pings; should it do so later, `_take_answer` begins again
            self._is_waiting = False
            link.free_until = NEVER
            link.write_on()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    # --- the window ---------------------------------------------------------------------------

    def _measure(self, link: Paced, marker: _Marker, seconds: float) -> None:
        """Learn from a round trip."""
        now = link.timers.time()
        sent = link.connection.wire_bytes_out
        if self._is_draining and self._confirmed >= sent:
            self._is_draining = False
            self._base = inf
            self._base_seen = now
            self._send_marker(link, sent)  # which finds all buffers empty
            return
        self._base = min(self._base, seconds)
        self._is_fast = seconds < self._base + _NEAR
        if self._is_fast:
            self._base_seen = now
        elif now - self._base_seen > _STALE:
            self._is_draining = True
        if marker.sent > self._round:  # the window changes once in a round trip
            self._change(sent, seconds - self._base)

    def _change(self, sent: int, wait: float) -> None:
        """Change the window by how long data waits in buffers."""
        if wait > _LONG:
            self.window = max(int(self.window * max(_SHORT / wait, 0.125)), _LEAST)
        elif wait < _SHORT and self._is_limited:
            self.window = min(int(self.window * (2 - wait / _SHORT)), _MOST)
        else:
            return
        self._round = sent
        self._is_limited = False
