"""What peers may take: how many connections an address, how many messages and pings a session.

Nothing here runs per message. Addresses are counted per connection; sessions are looked at once a
second, by what they have counted themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, Protocol

from wsext.app.settings import ServerOptions
from wsext.errors import OptionError, RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import Request
from wsext.runtime.life import Progress, life_of
from wsext.runtime.session import Session

__all__ = ["Addresses", "Proxies", "Sweep"]

#: Seconds between two looks at the sessions.
_EVERY = 1.0

#: Seconds' worth of messages or pings that may come at once.
_BURST = 2.0

#: Seconds' worth of handshakes that may come at once.
_HANDSHAKE_BURST = 10.0

#: Addresses whose handshakes are remembered before those that are quiet again are forgotten.
_REMEMBERED = 10_000


class Bucket:
    """A token bucket: ``rate`` tokens a second, at most ``rate * burst`` of them."""

    __slots__ = ("_at", "_full", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._full = max(rate * burst, 1.0)
        self._tokens = self._full
        self._at = now

    def take(self, amount: float, now: float) -> float:
        """Take tokens; the seconds until none are owed, 0.0 if there were enough."""
        self._refill(now)
        self._tokens -= amount
        return max(0.0, -self._tokens / self._rate)

    def give_back(self, amount: float) -> None:
        """Undo a `take`."""
        self._tokens += amount

    def is_full(self, now: float) -> bool:
        """Whether nothing was taken for long."""
        self._refill(now)
        return self._tokens >= self._full

    def _refill(self, now: float) -> None:
        self._tokens = min(self._full, self._tokens + (now - self._at) * self._rate)
        self._at = now


class Addresses:
    """The connections and the handshakes of each address.

    An IPv6 address stands for its /64, which one customer has. Loopback and Unix sockets are not
    limited: behind them is this machine, or a proxy on it that is not trusted to name its clients.
    """

    def __init__(self, options: ServerOptions, clock: Callable[[], float]) -> None:
        self._most = options.max_connections_per_address
        self._rate = options.handshake_rate
        self._clock = clock
        self._connections: dict[str, int] = {}
        self._handshakes: dict[str, Bucket] = {}

    def enter(self, address: str) -> bool:
        """Count a connection of an address; ``False`` if it has too many by now."""
        count = self._connections[address] = self._connections.get(address, 0) + 1
        return self._most is None or count <= self._most

    def is_flooding(self, address: str) -> bool:
        """Whether it has so many that not even a refusal is due."""
        return self._most is not None and self._connections.get(address, 0) > 2 * self._most

    def leave(self, address: str) -> None:
        """A connection that was counted is gone."""
        count = self._connections.get(address, 0) - 1
        if count > 0:
            self._connections[address] = count
        else:
            self._connections.pop(address, None)

    def shake(self, address: str) -> float:
        """Count a handshake of an address; the seconds to wait for if it has made too many."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        bucket = self._handshakes.get(address)
        if bucket is None:
            if len(self._handshakes) >= _REMEMBERED:
                self._handshakes = {
                    key: item for key, item in self._handshakes.items() if not item.is_full(now)
                }
            bucket = self._handshakes[address] = Bucket(self._rate, _HANDSHAKE_BURST, now)
        wait = bucket.take(1, now)
        if wait > 0:
            bucket.give_back(1)  # a refused handshake does not make the next one later
        return wait


@lru_cache(maxsize=1024)
def limited_address(address: str | None) -> str | None:
    """What an address is counted under; ``None`` for what is not limited."""
    if address is None:
        return None
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return None
    if isinstance(ip, IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif not ip.is_loopback:
            return str(ip_network((ip, 64), strict=False))
    return None if ip.is_loopback else str(ip)


class Proxies:
    """Who is believed what it says about its clients in ``X-Forwarded-For``, ``-Proto``, ``-Host``.

    Args:
        trusted: Addresses and networks; ``unix`` for whoever comes by a Unix socket.

    Raises:
        OptionError: If one of them is neither.
    """

    def __init__(self, trusted: Iterable[str]) -> None:
        self._unix = False
        self._networks: list[IPv4Network | IPv6Network] = []
        for item in trusted:
            if item == "unix":
                self._unix = True
                continue
            try:
                self._networks.append(ip_network(item, strict=False))
            except ValueError:
                problem = f"{item!r} is no address, no network, and not 'unix'"
                raise OptionError("server", "trusted_proxies", problem) from None

    def trusts(self, address: str | None) -> bool:
        """Whether the peer at an address is a trusted proxy; ``None`` is a Unix socket's."""
        if address is None:
            return self._unix
        if not self._networks:
            return False
        try:
            ip = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def apply(self, request: Request, address: str | None) -> str | None:
        """Take over what a trusted proxy says of a request; the client's address.

        The list is read from its end, where the nearest proxy writes: the first address that is no
        trusted proxy's is the client's, for whatever stands before it the client may have made up.
        """
        if not self.trusts(address):
            return address
        headers = request.headers
        for hop in reversed(_items(headers.get_all("X-Forwarded-For"))):
            found = _host_of(hop)
            if found is None:
                break
            address = found
            if not self.trusts(found):
                break
        protocol = _items(headers.get_all("X-Forwarded-Proto"))
        if protocol:
            request.secure = protocol[-1].lower() in ("https", "wss")
        host = _items(headers.get_all("X-Forwarded-Host"))
        if host:
            request.forwarded_host = host[-1]
        request.remote = address
        return address


def _items(values: Sequence[str]) -> list[str]:
    return [item for value in values for part in value.split(",") if (item := part.strip())]


def _host_of(text: str) -> str | None:
    """The address in ``1.2.3.4``, ``1.2.3.4:5``, ``::1`` or ``[::1]:5``; ``None`` if it is none."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        return str(ip_address(text))
    except ValueError:
        return None


class Timers(Protocol):
    """What runs the sweep."""

    def time(self) -> float:
        """Seconds."""

    def call_later(self, delay: float, callback: Callable[[], None], /) -> Any:
        """Call once after some seconds."""


class _Seen:
    """What a session had done when it was last looked at."""

    __slots__ = ("messages", "pings", "progress", "since")

    def __init__(self, session: Session, now: float) -> None:
        rate, pings = session.options.message_rate, session.options.ping_rate
        self.messages = None if rate is None else Bucket(rate, _BURST, now)
        self.pings = None if pings is None else Bucket(pings, _BURST, now)
        self.progress = Progress(0, 0, 0, 0)
        self.since = now  # since when the peer has taken nothing


class Sweep:
    """Looks at every session once a second: who sends too much, who takes nothing, who is gone.

    Args:
        timers: What runs it.
        limited: Called with the name of the option and the session that reached it.
    """

    def __init__(self, timers: Timers, limited: Callable[[str, Session], None]) -> None:
        self._timers = timers
        self._limited = limited
        self._seen: dict[Session, _Seen | None] = {}
        self._timer: Any = None

    def add(self, session: Session) -> None:
        """Look at a session from now on."""
        self._seen[session] = None
        if self._timer is None:
            self._timer = self._timers.call_later(_EVERY, self._look)

    def remove(self, session: Session) -> None:
        """Look at it no more."""
        self._seen.pop(session, None)

    def stop(self) -> None:
        """Look at nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        now = self._timers.time()
        for session, seen in list(self._seen.items()):
            life = life_of(session)
            life.link.find_reset()
            progress = life.progress
            if seen is None:
                if progress == _NOTHING:
                    continue  # most sessions are idle, and are to cost nothing
                seen = self._seen[session] = _Seen(session, now - _EVERY)
            if session.is_open:
                self._judge(session, seen, progress, now)
            seen.progress = progress
        self._timer = self._timers.call_later(_EVERY, self._look) if self._seen else None

    def _judge(self, session: Session, seen: _Seen, progress: Progress, now: float) -> None:
        last = seen.progress
        if seen.messages is not None:
            wait = seen.messages.take(progress.messages - last.messages, now)
            if wait > 0:
                session.hold_reading(wait)
                self._limited("message_rate", session)
        if seen.pings is not None and seen.pings.take(progress.pings - last.pings, now) > 0:
            life_of(session).link.fail(
                RemoteProtocolError(CloseCode.POLICY_VIOLATION, "too many pings")
            )
            self._limited("ping_rate", session)
            return
        stuck = progress.resumed == last.resumed and 0 < last.waiting <= progress.waiting
        if not stuck:
            seen.since = now
            return
        timeout = session.options.write_timeout
        if timeout is not None and now - seen.since >= timeout:
            life_of(session).link.fail(
                RemoteProtocolError(CloseCode.TRY_AGAIN_LATER, "peer reads nothing")
            )
            self._limited("write_timeout", session)


_NOTHING = Progress(0, 0, 0, 0)
