"""Header fields of HTTP: what several lines of one name mean, and which may stand only once.

A reader of requests calls `check_fields`. So whoever sees a request, a guard or a hook for example,
knows that a field which has one value has only one: no two of them can disagree about which counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from ipaddress import IPv6Address
from typing import Any

from websockets.datastructures import Headers as _Headers
from websockets.exceptions import InvalidHeader
from websockets.headers import parse_subprotocol

from wsext.errors import HandshakeRejected

__all__ = [
    "NAME",
    "SINGLE",
    "VALUE",
    "Headers",
    "check_fields",
    "has_token",
    "hide_values",
    "is_host",
    "parse_subprotocols",
]

#: The fields of a request that have one value (RFC 9110, 9112, 6265 §5.4, 6454 §7.3, 6455 §11.3).
SINGLE = (
    "Authorization",
    "Content-Length",
    "Content-Type",
    "Cookie",  # HTTP/2 may split it, and its library joins the parts (RFC 9113 §8.2.3)
    "Date",
    "From",
    "Host",
    "If-Modified-Since",
    "If-Range",
    "If-Unmodified-Since",
    "Max-Forwards",
    "Origin",
    "Proxy-Authorization",
    "Range",
    "Referer",
    "Sec-WebSocket-Key",
    "Sec-WebSocket-Version",
    "User-Agent",
)

#: The name of a field, and its value (RFC 9110 §5.1 and §5.5; RFC 9113 §8.2.1 wants the same).
NAME = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")

_HOST = re.compile(
    r"(?:(?:[\w.~!$&'()*+,;=-]|%[0-9A-Fa-f]{2})*"
    r"|\[(?:v[0-9A-Fa-f]+\.[\w.~!$&'()*+,;=:-]+|(?P<ipv6>[0-9A-Fa-f:.]+)(?:%[\w.~%-]+)?)\])"
    r"(?::\d{0,5})?",
    re.ASCII,
)


_EXTENSIONS = "Sec-WebSocket-Extensions"


class Headers(_Headers):
    """Header fields: a mapping whose keys are names, in any case of letters.

    ``headers[name]`` and ``get`` give the values of all lines of that name, joined with commas (RFC
    9110 §5.3). `get_all` gives them one by one, and ``raw_items`` every line as it was sent. To set
    a name adds a line.
    """

    __slots__ = ()

    @classmethod
    def of(cls, lines: Iterable[tuple[str, str]]) -> Headers:
        """The fields of lines whose grammar was checked already."""
        headers = cls.__new__(cls)
        headers.clear()  # makes it empty, as the constructor does with more effort
        for name, value in lines:
            headers.set_insecure(name, value)
        return headers

    def __getitem__(self, key: str) -> str:
        values = self.get_all(key)
        if not values:
            raise KeyError(key)
        return ", ".join(values)


def hide_values(headers: _Headers, secrets: Iterable[str]) -> None:
    """Show ``...`` in place of these values of parameters of extensions."""
    lines = headers.get_all(_EXTENSIONS)
    headers.pop(_EXTENSIONS, None)
    for line in lines:
        for secret in secrets:
            line = line.replace(secret, "...")
        headers[_EXTENSIONS] = line


def check_fields(headers: Headers, *, needs_host: bool) -> None:
    """Check that what may stand once does, and that ``Host`` is one.

    Args:
        headers: The fields of a request.
        needs_host: Whether there has to be a ``Host`` (RFC 9112 §3.2).

    Raises:
        HandshakeRejected: 400.
    """
    if len(list(headers.raw_items())) > len(headers):  # a name has more than one line
        for name in SINGLE:
            if len(headers.get_all(name)) > 1:
                raise HandshakeRejected(400, f"more than one {name} header")
    host = headers.get("Host")
    if host is None:
        if needs_host:
            raise HandshakeRejected(400, "exactly one Host header is needed")
    elif not is_host(host):
        raise HandshakeRejected(400, "malformed Host header")


def is_host(text: str) -> bool:
    """Whether a text is a name or an address, and perhaps a port; also an empty name is one (RFC
    9112 §3.2, RFC 3986 §3.2.2, RFC 6874)."""
    found = _HOST.fullmatch(text)
    if found is None:
        return False
    address = found["ipv6"]
    return address is None or _is_ipv6(address)


def _is_ipv6(address: str) -> bool:
    try:
        IPv6Address(address)
    except ValueError:
        return False
    return True


def has_token(headers: _Headers, name: str, token: str, parse: Any) -> bool:
    """Whether a list header has a token, in any case of letters."""
    values = headers.get_all(name)
    if len(values) == 1 and values[0].lower() == token:  # as of most peers
        return True
    try:
        return token in [item.lower() for value in values for item in parse(value)]
    except InvalidHeader:
        return False


def parse_subprotocols(headers: Headers) -> list[str]:
    """The subprotocols that a client offers, in its order.

    Raises:
        InvalidHeader: For a malformed header.
    """
    values = headers.get_all("Sec-WebSocket-Protocol")
    return [str(name) for value in values for name in parse_subprotocol(value)]
