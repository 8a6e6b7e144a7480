"""Pings: those of the application, and those that find out whether the peer is still there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol, cast

from wsext.errors import LocalProtocolError, ProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import Opcode
from wsext.protocol.connection import Connection
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers

__all__ = ["Keepalive", "PongWaiter"]

#: The longest payload of a control frame (RFC 6455 §5.5).
_LONGEST = 125


class Pinged(Protocol):
    """What the pings need of their link."""

    connection: Connection
    options: WebSocketOptions

    @property
    def timers(self) -> Timers: ...
    @property
    def is_reading(self) -> bool: ...
    def has_heard(self) -> bool: ...
    def soon(self) -> None: ...
    def fail(self, error: ProtocolError) -> None: ...
    def give_up(self, error: ProtocolError) -> None: ...


class PongWaiter(Protocol):
    """Who waits for a pong: a future, or what is used like one."""

    def done(self) -> bool: ...
    def set_result(self, result: float, /) -> None: ...
    def set_exception(self, exception: BaseException, /) -> None: ...


class Keepalive:
    """The pings of one connection.

    Args:
        link: The connection's link.

    Attributes:
        latency: Seconds between the last answered ping and its pong; ``None`` before the first.
    """

    __slots__ = ("_link", "_number", "_sent", "_timer", "latency")

    def __init__(self, link: Pinged) -> None:
        self._link = link
        self._number = 0
        self._timer: Any = None
        #: What was sent and not answered yet, in order: payload, time, who waits for the pong.
        self._sent: tuple[tuple[bytes, float, PongWaiter | None], ...] = ()
        self.latency: float | None = None

    def start(self) -> None:
        """Ping every ``ping_interval`` seconds from now on."""
        interval = self._link.options.ping_interval
        if interval is not None:
            self._timer = self._link.timers.call_later(interval, self._ping)

    def stop(self) -> None:
        """Ping no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def end(self, error: Callable[[], BaseException]) -> None:
        """The connection is gone: whoever waits for a pong gets an error."""
        self.stop()
        sent, self._sent = self._sent, ()
        for _, _, waiter in sent:
            if waiter is not None and not waiter.done():
                waiter.set_exception(error())

    def go_on(self, before: Keepalive) -> None:
        """Send the application's pings again that were under way on another connection."""
        pings, before._sent = before._sent, ()
        self._number = before._number
        self.latency = before.latency
        for payload, _, waiter in pings:
            if isinstance(waiter, asyncio.Future) and not waiter.done():  # not of a pace
                self._send(payload, waiter)

    def release(self) -> None:
        """The link is of no more use."""
        self._link = cast("Any", None)

    def ping(self, payload: bytes | None, waiter: PongWaiter) -> None:
        """Send a ping; the waiter gets the seconds until its pong.

        Raises:
            TypeError: If the payload is not bytes-like.
            ValueError: If it is longer than 125 bytes, or a ping with it is under way.
        """
        if payload is None:
            payload = self._fresh()
        elif not isinstance(payload, (bytes, bytearray, memoryview)):
            raise TypeError(f"a ping's payload is bytes-like, not {type(payload).__name__}")
        payload = bytes(payload)
        if len(payload) > _LONGEST:
            raise ValueError(f"a ping's payload has at most {_LONGEST} bytes, not {len(payload)}")
        if any(sent == payload and waits is not None for sent, _, waits in self._sent):
            raise ValueError("a ping with this payload is already under way")
        self._send(payload, waiter)

    def mark(self, waiter: PongWaiter) -> None:
        """Send a ping that is wsext's own; the waiter gets the seconds until its pong."""
        self._send(self._fresh(b"wsext"), waiter)

    def _fresh(self, prefix: bytes = b"") -> bytes:
        """A payload that no ping under way has."""
        while True:
            self._number = (self._number + 1) & 0xFFFFFFFF
            payload = prefix + self._number.to_bytes(4, "big")
            if all(sent != payload for sent, _, _ in self._sent):
                return payload

    def _send(self, payload: bytes, waiter: PongWaiter | None) -> None:
        link = self._link
        self._sent += ((payload, link.timers.time(), waiter),)
        link.connection.send_control(Opcode.PING, payload)
        link.soon()  # together with the messages that stand before and after it

    def take_pong(self, payload: bytes) -> None:
        """A pong has come; it answers a ping, and with it all earlier ones (RFC 6455 §5.5.3)."""
        at = next((i for i, (sent, _, _) in enumerate(self._sent) if sent == payload), None)
        if at is None:
            return  # unsolicited pongs are legal
        now = self._link.timers.time()
        answered, self._sent = self._sent[: at + 1], self._sent[at + 1 :]
        self.latency = now - answered[-1][1]
        for _, began, waiter in answered:
            if waiter is not None and not waiter.done():
                waiter.set_result(now - began)

    def _ping(self) -> None:
        link = self._link
        if not link.connection.is_open:
            return
        link.has_heard()  # from now on
        self._send(self._fresh(), None)
        timeout = link.options.ping_timeout
        if timeout is None:
            self._sent = self._sent[-100:]  # a peer that answers none must not make the list grow
            self.start()
        else:
            self._wait(timeout)

    def _wait(self, seconds: float) -> None:
        """Give the peer some time for a sign of life, but look no later than at the next ping."""
        step = min(seconds, self._link.options.ping_interval or seconds)
        check = self._check if step == seconds else partial(self._check, seconds - step)
        self._timer = self._link.timers.call_later(step, check)

    def _check(self, left: float = 0.0) -> None:
        """Fail the connection if nothing has come since the ping; if there is time left, ping it
        once more."""
        link = self._link
        # While the application is the slow one, a pong may wait unread behind its messages.
        if link.has_heard() or not link.is_reading:
            options = link.options
            rest = (options.ping_interval or 0) - (options.ping_timeout or 0)
            self._timer = link.timers.call_later(max(rest, 0), self._ping)
        elif left:
            self._send(self._fresh(), None)
            self._wait(left)
        else:
            link.give_up(LocalProtocolError("ping timeout", CloseCode.INTERNAL_ERROR))
