"""Trusted proxies: who is believed what it says about its clients."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from wsext.errors import OptionError
from wsext.protocol.headers import is_host
from wsext.protocol.http import Request

__all__ = ["Proxies"]


_HEADERS = ("X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")


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

    @property
    def trusts_nobody(self) -> bool:
        """Whether there is no trusted proxy at all."""
        return not self._unix and not self._networks

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

    def speaks(self, request: Request, address: str | None) -> bool:
        """Whether a trusted proxy says something of its client; no page of a browser can."""
        return self.trusts(address) and any(name in request.headers for name in _HEADERS)

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
        if host and is_host(host[-1]):  # a proxy may pass on what its client has made up
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
