"""Which hosts a request may name: the server's own, so that nobody else's name can stand for it.

The owner of ``evil.example`` can make that name point to 127.0.0.1 (DNS rebinding). Then a page of
it has the same origin as a server there, for the browser and for the server. ``allowed_hosts``
refuses it. Without that option requests to a loopback address are marked as `Request.local`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from ipaddress import ip_address
from typing import Any

from wsext.errors import HandshakeRejected, OptionError
from wsext.protocol.handshake import host_name
from wsext.protocol.http import Request
from wsext.server.proxies import Proxies

__all__ = ["Hosts"]

_PATTERN = re.compile(r"\*|(\*\.)?[\w-]+(\.[\w-]+)*\.?", re.ASCII)


class Hosts:
    """The names that may be asked for.

    Args:
        allowed: Names and addresses without ports; ``*.example.com`` stands for all names below
            example.com, ``*`` for any; ``None`` for any, too, but then pages are looked at.
        proxies: Who is believed that its clients asked for a name.

    Raises:
        OptionError: If one of the names is none.
    """

    def __init__(self, allowed: Sequence[str] | None, proxies: Proxies) -> None:
        self._proxies = proxies
        self._marks_local = allowed is None
        self._is_open = "*" in (allowed or ())
        self._names: set[str] = set()
        self._ends: tuple[str, ...] = ()
        for item in allowed or ():
            if item.startswith("*."):
                self._ends += (_checked(item)[1:],)
            else:
                self._names.add(_checked(item))

    def check(self, request: Request) -> None:
        """Refuse a request for another host, in every version of HTTP.

        Raises:
            HandshakeRejected: 421 (RFC 9110 §15.5.20).
        """
        own = request.get_extra_info("sockname")
        if self._marks_local:
            request.local = self._is_local(request, own)
        elif not self._is_open and own is not None:  # tests in memory have no names
            name = host_name(request.host)
            if name not in self._names and not name.endswith(self._ends):
                raise HandshakeRejected(421, "this host is not served here (see allowed_hosts)")

    def _is_local(self, request: Request, own: Any) -> bool:
        if not isinstance(own, tuple) or not _is_loopback(own[0]):
            return False
        if self._proxies.trusts_nobody:
            return True
        peer = request.get_extra_info("peername")
        return not self._proxies.speaks(request, peer[0] if peer else None)


@lru_cache(maxsize=64)
def _is_loopback(address: str) -> bool:
    return ip_address(address.partition("%")[0]).is_loopback


def _checked(item: str) -> str:
    """A name or address of the option, as `host_name` gives it."""
    address = item.strip("[]")
    with suppress(ValueError):
        return str(ip_address(address))
    if not _PATTERN.fullmatch(item):
        problem = f"{item!r} is no name such as example.com, *.example.com or *"
        raise OptionError("server", "allowed_hosts", problem)
    return host_name(item)
