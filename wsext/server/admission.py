"""Who gets a place: among all of the server's connections, and among those of its address."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Collection
from functools import lru_cache
from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any, Generic, Protocol, TypeVar

from wsext.app.settings import ServerOptions
from wsext.errors import HandshakeRejected
from wsext.escape import get_logger
from wsext.protocol.http import Request
from wsext.runtime.rates import Bucket
from wsext.server.accepting import most_connections
from wsext.server.proxies import Proxies

__all__ = ["Addresses", "Admission", "Places", "limited_address"]

logger = get_logger("wsext.server")

#: Seconds' worth of handshakes that may come at once.
_BURST = 10.0

#: Addresses whose handshakes are remembered before those that are quiet again are forgotten.
_REMEMBERED = 10_000

#: The part of ``handshake_timeout`` for which a connection without a request keeps its place when
#: others want it. The slowest of those who mean it need less, also when many come at once.
_PATIENCE = 0.5

_LATER = {"Retry-After": "5"}


class Coming(Protocol):
    """A connection that was accepted.

    Attributes:
        made: When that was.
    """

    made: float


C = TypeVar("C", bound=Coming)


class Places(Generic[C]):
    """The places of a server for connections: most are served, and some more are only told that
    there are too many.

    When all are taken, one that has been silent for long gives its place up to the next that comes:
    whoever opens connections and sends nothing keeps nobody out.

    Args:
        options: How many there are, and for how long one may be silent.
        clock: The time, in seconds.
        drop: Drops a connection and gives its place back.

    Attributes:
        most: How many connections are served at once; ``None`` for any number.
    """

    def __init__(
        self, options: ServerOptions, clock: Callable[[], float], drop: Callable[[C], None]
    ) -> None:
        self.most, refused = most_connections(options.max_connections)
        self._wanted = options.max_connections
        self._rows: tuple[_Row[C], ...] = (_Row(self.most, ""), _Row(refused, "max_connections"))
        self._taken: dict[C, _Row[C]] = {}
        self._patience = options.handshake_timeout * _PATIENCE
        self._clock = clock
        self._drop = drop

    def warn_if_capped(self) -> None:
        """Log it if the system allows fewer connections than ``max_connections``."""
        if self.most != self._wanted:
            logger.warning(
                "at most %d connections at once: ulimit -n allows no more (max_connections is %s)",
                self.most,
                self._wanted,
            )

    @property
    def connections(self) -> Collection[C]:
        """Those that have places, in the order of their coming."""
        return self._taken.keys()

    def admit(self, connection: C) -> str | None:
        """Give a place to a connection; empty if it is served, the limit's name if it is only told
        that there is none, and ``None`` if it is not even told."""
        for row in self._rows:
            if row.is_full:
                silent = row.find_silent(self._clock() - self._patience)
                if silent is None:
                    continue
                self._drop(silent)
            row.taken += 1
            row.silent[connection] = None
            self._taken[connection] = row
            return row.limit
        return None

    def keep(self, connection: C) -> None:
        """Its request has come."""
        row = self._taken.get(connection)
        if row is not None:
            row.silent.pop(connection, None)

    def release(self, connection: C) -> bool:
        """It gives its place back; ``False`` if it has none."""
        row = self._taken.pop(connection, None)
        if row is None:
            return False
        row.taken -= 1
        row.silent.pop(connection, None)
        return True


class _Row(Generic[C]):
    """So many places; ``None`` for any number.

    Attributes:
        limit: What a connection is told that gets one of these; empty if it is served.
        taken: How many are taken.
        silent: Those that have sent no request yet; oldest first.
    """

    def __init__(self, count: int | None, limit: str) -> None:
        self.limit = limit
        self.taken = 0
        self.silent: OrderedDict[C, None] = OrderedDict()
        self._count = count

    @property
    def is_full(self) -> bool:
        """Whether all are taken."""
        return self._count is not None and self.taken >= self._count

    def find_silent(self, before: float) -> C | None:
        """A connection that was made before a time and has sent no request since."""
        oldest = next(iter(self.silent), None)
        return oldest if oldest is not None and oldest.made < before else None


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
        self._forget_at = _REMEMBERED

    @property
    def count(self) -> int:
        """The addresses that have connections now."""
        return len(self._connections)

    def enter(self, address: str) -> bool:
        """Count a connection of an address; ``False`` if it has too many by now."""
        count = self._connections[address] = self._connections.get(address, 0) + 1
        return self._most is None or count <= self._most

    def is_flooding(self, address: str) -> bool:
        """Whether it has so many connections that new ones are dropped without an answer."""
        return self._most is not None and self._connections.get(address, 0) > 2 * self._most

    def leave(self, address: str) -> None:
        """A connection that was counted is gone."""
        count = self._connections.get(address, 0) - 1
        if count > 0:
            self._connections[address] = count
        else:
            self._connections.pop(address, None)

    def shake(self, address: str) -> float:
        """Count a handshake of an address; the seconds until the next one if it made too many."""
        if self._rate is None:
            return 0.0
        now = self._clock()
        bucket = self._handshakes.get(address)
        if bucket is None:
            if len(self._handshakes) >= self._forget_at:
                self._forget(now)
            bucket = self._handshakes[address] = Bucket(self._rate, _BURST, now)
        wait = bucket.take(1, now)
        if wait > 0:
            bucket.give_back(1)  # a refused handshake does not make the next one later
        return wait

    def _forget(self, now: float) -> None:
        """Forget addresses that are quiet again; next time when twice as many are known."""
        busy = {key: item for key, item in self._handshakes.items() if not item.is_full(now)}
        self._handshakes = busy
        self._forget_at = max(_REMEMBERED, 2 * len(busy))


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


class Admission:
    """One connection, counted under its client's address as soon as that is known.

    Args:
        addresses: What each address takes.
        proxies: Who is believed what it says about its clients.
        peername: The peer's address, as the transport has it.
        limit: The limit of the server that the connection is beyond; empty if there is none.

    Attributes:
        limit: The name of the first limit that was reached; empty while the connection has a place.
    """

    __slots__ = ("_address", "_addresses", "_peername", "_proxies", "_rate_checked", "limit")

    def __init__(
        self, addresses: Addresses, proxies: Proxies, peername: Any, limit: str = ""
    ) -> None:
        self.limit = limit
        self._addresses = addresses
        self._proxies = proxies
        self._peername = peername if isinstance(peername, tuple) else None
        self._address: str | None = None  # what the connection is counted under
        self._rate_checked = False
        peer = self._peername[0] if self._peername else None
        if not proxies.trusts(peer):
            self._enter(peer)

    def _enter(self, address: str | None) -> None:
        self._address = limited_address(address)
        if self._address is not None and not self._addresses.enter(self._address):
            self.limit = self.limit or "max_connections_per_address"

    def leave(self) -> None:
        """The connection is gone; count it no more."""
        if self._address is not None:
            self._addresses.leave(self._address)
            self._address = None

    @property
    def is_flood(self) -> bool:
        """Whether its address has so many connections that this one gets no answer at all."""
        return self._address is not None and self._addresses.is_flooding(self._address)

    def complete(self, request: Request) -> None:
        """Fill in where the request comes from, which a trusted proxy may know better."""
        peer: str | None = None
        if self._peername is not None:
            peer, port = self._peername[:2]
            request.remote = f"[{peer}]:{port}" if ":" in peer else f"{peer}:{port}"
            self._peername = None  # most sessions are idle, and are to cost nothing
        if self._proxies.trusts(peer):
            self._enter(self._proxies.apply(request, peer))

    def check(self) -> None:
        """Refuse a handshake that has no place; the first call counts for ``handshake_rate``.

        Raises:
            HandshakeRejected: 503 if the server is full, 429 if the address takes too much.
        """
        if self.limit:
            status = 503 if self.limit == "max_connections" else 429
            raise HandshakeRejected(status, "too many connections", _LATER)
        if self._address is None or self._rate_checked:
            return
        self._rate_checked = True
        wait = self._addresses.shake(self._address)
        if wait > 0:
            self.limit = "handshake_rate"
            later = {"Retry-After": str(math.ceil(wait))}
            raise HandshakeRejected(429, "too many handshakes", later)
