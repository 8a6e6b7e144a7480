"""Which pages may connect: origins (RFC 6454), and the list of them that an operator writes.

A browser says in ``Origin`` which page asks, as RFC 6454 §6.2 writes it: small letters, no default
port, a name of other letters than ASCII as ``xn--…``, and nothing after the port. An operator may
write all that otherwise; `read_origins` brings it to the browsers' form once, when it is set.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from ipaddress import IPv6Address

import idna

from wsext.errors import HandshakeRejected, OptionError, nearest
from wsext.protocol.handshake import host_name
from wsext.protocol.http import Request

__all__ = ["check_origin", "read_origins"]

#: What may stand in the list besides origins. Browsers send ``null`` for a page in a sandbox, and
#: ``file://`` or ``null`` for a file.
_WORDS = ("same", "*", "null", "file://")
#: Scheme, host and port. The host has no character that a URL's may not have, and no ``*``.
_ORIGIN = re.compile(
    r"([a-z][a-z0-9+.-]*)://(\[[0-9a-f:.]+\]|(?!\.)[^\x00-\x20\x7f-\U0010ffff#%*/:<>?@\[\\\]^|]+?)\.?"
    r"(?::([0-9]{1,5}))?",
    re.ASCII | re.IGNORECASE,
)
_DEFAULT_PORTS = {"http": 80, "https": 443}
#: Hosts that no page can make point elsewhere: addresses, and localhost (RFC 6761 §6.3).
_FIXED = re.compile(r"(.+\.)?localhost|[\d.]+|.*:.*")

_FORM = (
    "is no origin: write scheme://host or scheme://host:port, https://*.example.com for all hosts"
    " below one, same for this host's own pages, or * for all pages"
)


def check_origin(request: Request, allowed: Sequence[str] | None) -> None:
    """Check the ``Origin`` header against a list that `read_origins` has made.

    ``None`` and ``"*"`` allow all requests. ``"same"`` allows those without the header, and the
    pages of the same origin: scheme, host and port (RFC 6454 §5). Only browsers send the header,
    and what may not connect is a page from elsewhere. A request that is `local` has to name
    localhost or an address: anybody can make another name point there (DNS rebinding).

    Raises:
        HandshakeRejected: 403 (RFC 6455 §10.2).
    """
    if allowed is None or "*" in allowed:
        return
    origin = request.origin
    if "same" in allowed and (origin is None or _is_own(origin, request)):
        return
    if origin is None or not _is_listed(origin, allowed):
        hint = "; for proxies and other names than localhost see allowed_hosts"
        raise HandshakeRejected(403, f"this origin is not allowed{hint if request.local else ''}")


def _is_own(origin: str, request: Request) -> bool:
    """Whether an origin is the one that the request asks for."""
    own = _as_sent(f"{'https' if request.secure else 'http'}://{request.host}")
    if own is None or own != _as_sent(origin):
        return False
    return not request.local or bool(_FIXED.fullmatch(host_name(request.host)))


def _is_listed(origin: str, allowed: Sequence[str]) -> bool:
    if origin in _WORDS:
        return origin != "same" and origin in allowed
    sent = _as_sent(origin)
    if sent is None:
        return False
    if sent in allowed:
        return True
    scheme, _, place = sent.partition("://")
    return any(
        place.endswith(item.removeprefix(f"{scheme}://*"))
        for item in allowed
        if item.startswith(f"{scheme}://*.")
    )


def _as_sent(origin: str) -> str | None:
    """An origin as browsers send it; ``None`` for what is none."""
    found = _ORIGIN.fullmatch(origin)
    if found is None:
        return None
    scheme, host, number = found[1].lower(), found[2].lower(), int(found[3] or -1)
    if host.startswith("["):
        try:
            host = f"[{IPv6Address(host[1:-1])}]"
        except ValueError:
            return None
    if number > 65535:
        return None
    is_default = number in (-1, _DEFAULT_PORTS.get(scheme))
    return f"{scheme}://{host}" if is_default else f"{scheme}://{host}:{number}"


# --- the list -------------------------------------------------------------------------------------


def read_origins(items: Iterable[str]) -> tuple[str, ...]:
    """A list of origins as browsers send them.

    Raises:
        OptionError: For what is no origin, with the one that is probably meant; for an empty list.
    """
    origins = tuple(map(_read, items))
    if not origins:
        problem = "is empty, so nobody could connect: write * for all pages, same for this host's"
        raise OptionError("websocket", "origins", problem)
    return origins


def _read(item: str) -> str:
    origin = _normalized(item)
    if origin is None:
        shown = re.sub("(?<=://).*@", "…@", item)  # a password
        raise OptionError("websocket", "origins", f"{shown!r} {_FORM}", _meant(item))
    return origin


def _normalized(item: str) -> str | None:
    if item in _WORDS:
        return item
    scheme, separator, place = item.partition("://")
    is_below = place.startswith("*.")
    if not place.isascii():
        host, colon, port = place.removeprefix("*.").partition(":")
        with suppress(idna.IDNAError):
            place = idna.encode(host, uts46=True).decode() + colon + port
    origin = _as_sent(f"{scheme}{separator}{place.removeprefix('*.')}")
    if origin is None or scheme.lower() in ("ws", "wss"):  # no page has one of these
        return None
    return origin.replace("://", "://*.", 1) if is_below else origin


def _meant(item: str) -> str | None:
    """What was probably meant by something that is no origin."""
    scheme, separator, place = item.partition("://")
    if not separator and not re.search(r"[.:]|^localhost", item):
        return nearest(item.lower(), _WORDS[:3])
    if not separator:
        is_near = re.match(r"localhost\b|\d+\.\d+\.|\[", item)
        scheme, place = "http" if is_near else "https", item
    authority = re.split(r"[/?#]", place)[0].rpartition("@")[2]
    scheme = re.sub("^ws", "http", scheme.lower())
    return _normalized(f"{scheme}://{authority}")
