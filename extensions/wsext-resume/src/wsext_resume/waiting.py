"""How many sessions without a connection are kept, and which of them has to go?"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Hashable
from functools import lru_cache
from ipaddress import ip_address, ip_network

from wsext import Session
from wsext_resume.store import Kept

__all__ = ["Waiting"]

#: Seconds between two looks at how much they keep, for they are still sent to.
_LOOK_EVERY = 1.0


class Waiting:
    """The sessions without a connection, within bounds.

    Args:
        most: How many there are, at most.
        most_of_one: Of them, those of one identity, or of one address without an identity.
        most_bytes: Bytes that all of them keep.
        evicted: Told the name of the bound for each session that has to go.
    """

    def __init__(
        self, most: int, most_of_one: int, most_bytes: int, evicted: Callable[[str], None]
    ) -> None:
        self._most = most
        self._most_of_one = most_of_one
        self._most_bytes = most_bytes
        self._evicted = evicted
        # Who has waited longest is the first. Strangers go before users, or a flood of them would
        # drive the users out.
        self._strangers: OrderedDict[Kept, None] = OrderedDict()
        self._users: OrderedDict[Kept, None] = OrderedDict()
        self._peers: dict[Hashable, OrderedDict[Kept, None]] = {}
        self._size = 0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._strangers) + len(self._users)

    def add(self, kept: Kept, session: Session) -> None:
        """A session has lost its connection. Others may have to go because of it, or it itself."""
        (self._strangers if session.identity is None else self._users)[kept] = None
        kept.peer = _peer_of(session)
        kept.size = _size_of(kept)
        self._size += kept.size
        if kept.peer is not None:
            others = self._peers.setdefault(kept.peer, OrderedDict())
            others[kept] = None
            if len(others) > self._most_of_one:
                self._evict(next(iter(others)), "max_per_peer")
        if len(self) > self._most:
            self._evict(self._first, "max_detached")
        self._make_room()
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)

    def remove(self, kept: Kept) -> None:
        """It has a connection again, or has ended."""
        if kept not in self._strangers and kept not in self._users:
            return
        self._strangers.pop(kept, None)
        self._users.pop(kept, None)
        self._size -= kept.size
        others = self._peers.get(kept.peer)
        if others is not None:
            others.pop(kept, None)
            if not others:
                del self._peers[kept.peer]
        if not len(self) and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    @property
    def _first(self) -> Kept:
        return next(iter(self._strangers or self._users))

    def _evict(self, kept: Kept, bound: str) -> None:
        self.remove(kept)
        self._evicted(bound)
        if kept.session is not None:
            kept.session.abort()

    def _make_room(self) -> None:
        while self._size > self._most_bytes and len(self):
            self._evict(self._first, "max_detached_bytes")

    def _look(self) -> None:
        """Count again what they keep."""
        self._timer = asyncio.get_running_loop().call_later(_LOOK_EVERY, self._look)
        self._size = 0
        for kept in (*self._strangers, *self._users):
            kept.size = _size_of(kept)
            self._size += kept.size
        self._make_room()


def _size_of(kept: Kept) -> int:
    waiting = 0 if kept.session is None else kept.session.buffered_amount
    return kept.journal.kept_bytes + waiting


def _peer_of(session: Session) -> Hashable:
    """Who a session counts for: its identity, or else its address. ``None`` is nobody."""
    identity = session.identity
    if identity is None:
        return _place_of(_host_in(session.request.remote or ""))
    try:
        hash(identity)
    except TypeError:
        identity = repr(identity)
    return "identity", identity


def _host_in(remote: str) -> str:
    """The host of ``192.0.2.1:5000``, ``[2001:db8::1]:5000`` or what a proxy says, which has no
    port."""
    host, colon, _ = remote.rpartition(":")
    return host.strip("[]") if colon and (":" not in host or host[-1] == "]") else remote


@lru_cache(maxsize=1024)
def _place_of(host: str) -> str | None:
    """What an address counts as: itself, or of IPv6 the /64, which one customer has. ``None`` is
    nobody: behind a loopback address or a Unix socket may be many."""
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    address = getattr(address, "ipv4_mapped", None) or address
    if address.is_loopback:
        return None
    return str(ip_network((address, 64), strict=False) if address.version == 6 else address)
