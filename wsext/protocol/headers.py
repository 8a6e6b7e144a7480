"""Header fields of HTTP: what several lines of one name mean, and which may stand only once.

A reader of requests calls `check_fields`. So whoever sees a request, a guard or a hook for example,
knows that a field which has one value has only one: no two of them can disagree about which counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from functools import lru_cache
from ipaddress import IPv6Address
from typing import Any

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


class Headers(MutableMapping[str, str]):
    """Header fields: a mapping whose keys are names, in any case of letters.

    ``headers[name]`` and ``get`` give the values of all lines of that name, joined with commas (RFC
    9110 §5.3). `get_all` gives them one by one, and ``raw_items`` every line as it was sent. To set
    a name adds a line.

    Args:
        fields: A mapping, names with values, or other headers.
        more: Names with values.

    Raises:
        ValueError: As when a name is set: if a value has a character that may not stand there (RFC
            9110 §5.5).
    """

    __slots__ = ("_lines", "_text", "_values")

    _text: str  # what the lines can be read from again; empty if there is none yet
    _lines: list[tuple[str, str]]  # not there while it is packed
    _values: dict[str, list[str]] | None  # by the name in small letters

    def __init__(
        self, fields: Mapping[str, str] | Iterable[tuple[str, str]] = (), /, **more: str
    ) -> None:
        self._read([], "")
        self.update(getattr(fields, "raw_items", lambda: fields)(), **more)

    @classmethod
    def of(cls, lines: list[tuple[str, str]], text: str = "") -> Headers:
        """The fields of lines whose grammar was checked; ``text`` is what they were read from."""
        headers = cls.__new__(cls)
        headers._read(lines, text)
        return headers

    def _read(self, lines: list[tuple[str, str]], text: str) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        self._text, self._lines, self._values = text, lines, found
        for name, value in lines:
            key = name.lower()
            if key in found:
                found[key].append(value)
            else:
                found[key] = [value]
        return found

    def pack(self) -> None:
        """Keep only the text until somebody asks for a field again: for as long as a session lasts,
        the fields would take more memory than the session."""
        if self._values is not None:
            self._text = self._text or str(self)
            self._values = None
            del self._lines

    def _unpack(self) -> dict[str, list[str]]:
        if self._values is not None:
            return self._values
        pairs = [line.partition(":") for line in self._text.split("\r\n") if line]
        return self._read([(name, value.strip(" \t")) for name, _, value in pairs], self._text)

    def _change(self) -> dict[str, list[str]]:
        values = self._unpack()
        self._text = ""
        return values

    def __getitem__(self, key: str) -> str:
        values = (self._values or self._unpack())[key.lower()]
        return values[0] if len(values) == 1 else ", ".join(values)

    def __setitem__(self, key: str, value: str) -> None:
        if not VALUE.fullmatch(str(value)):
            raise ValueError(
                f"the value of the header {key!r} has a character that may not stand there"
            )
        self._change().setdefault(key.lower(), []).append(value)
        self._lines.append((key, value))

    def __delitem__(self, key: str) -> None:
        name = key.lower()
        del self._change()[name]
        self._lines = [line for line in self._lines if line[0].lower() != name]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and key.lower() in (self._values or self._unpack())

    def __iter__(self) -> Iterator[str]:
        return iter(self._unpack())

    def __len__(self) -> int:
        return len(self._unpack())

    def __str__(self) -> str:
        return "".join([f"{name}: {value}\r\n" for name, value in self.raw_items()]) + "\r\n"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.raw_items())!r})"

    def get_all(self, key: str) -> list[str]:
        """The values of all lines of a name, in their order; empty without one."""
        return (self._values or self._unpack()).get(key.lower(), [])

    def raw_items(self) -> Iterator[tuple[str, str]]:
        """Name and value of every line."""
        self._unpack()
        return iter(self._lines)

    @property
    def has_repeats(self) -> bool:
        """Whether a name has more than one line."""
        values = self._unpack()
        return len(self._lines) > len(values)

    def copy(self) -> Headers:
        """The same lines again."""
        return self.of(list(self.raw_items()), self._text)

    def serialize(self) -> bytes:
        """The lines as bytes, with the empty one behind them."""
        return str(self).encode("latin-1")


def hide_values(headers: Headers, secrets: Iterable[str]) -> None:
    """Show ``...`` in place of these values of parameters of extensions, and pack the headers: the
    handshake is over."""
    lines = headers.get_all(_EXTENSIONS)
    if any(secret in line for secret in secrets for line in lines):
        del headers[_EXTENSIONS]
        for line in lines:
            for secret in secrets:
                line = line.replace(secret, "...")
            headers[_EXTENSIONS] = line
    headers.pack()


def check_fields(headers: Headers, *, needs_host: bool) -> None:
    """Check that what may stand once does, and that ``Host`` is one.

    Args:
        headers: The fields of a request.
        needs_host: Whether there has to be a ``Host`` (RFC 9112 §3.2).

    Raises:
        HandshakeRejected: 400.
    """
    if headers.has_repeats:
        for name in SINGLE:
            if len(headers.get_all(name)) > 1:
                raise HandshakeRejected(400, f"more than one {name} header")
    if "Host" not in headers:
        if needs_host:
            raise HandshakeRejected(400, "exactly one Host header is needed")
    elif not is_host(headers["Host"]):
        raise HandshakeRejected(400, "malformed Host header")


@lru_cache(maxsize=256)
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


def has_token(headers: Any, name: str, token: str, parse: Any) -> bool:
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
