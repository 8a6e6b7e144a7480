"""The place of one connection: among all of the server's, and among those of its address."""

from __future__ import annotations

import math
from typing import Any

from websockets.headers import build_host

from wsext.errors import HandshakeRejected
from wsext.protocol.http import Request
from wsext.server.addresses import Addresses, limited_address
from wsext.server.proxies import Proxies

__all__ = ["Admission"]

_LATER = {"Retry-After": "5"}


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

    def __init__(
        self, addresses: Addresses, proxies: Proxies, peername: Any, limit: str = ""
    ) -> None:
        self.limit = limit
        self._addresses = addresses
        self._proxies = proxies
        self._peername = peername if isinstance(peername, tuple) else None
        self._peer: str | None = peername[0] if self._peername else None
        self._address: str | None = None  # what the connection is counted under
        self._rate_checked = False
        if not proxies.trusts(self._peer):
            self._enter(self._peer)

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
        """Fill in where a request comes from, which a trusted proxy may know better."""
        if self._peername is not None:
            host, port = self._peername[:2]
            request.remote = build_host(host, port, secure=False, always_include_port=True)
        if self._proxies.trusts(self._peer):
            self._enter(self._proxies.apply(request, self._peer))

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
