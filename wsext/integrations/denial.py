"""An application's HTTP response to a handshake that it denies, as bytes on the wire."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any, TypeAlias

__all__ = ["Denial", "RawHeaders", "check_line", "read_headers", "response_head"]

RawHeaders: TypeAlias = "list[tuple[bytes, bytes]]"
"""Headers as ASGI has them."""


class Denial:
    """A response instead of a session; its head leaves with the first part of its body."""

    def __init__(self, status: int, headers: RawHeaders) -> None:
        self.started = False
        self._status = status
        self._headers = headers
        self._chunked = False

    def encode(self, body: bytes, more: bool) -> bytes:
        """A part of the body as bytes on the wire."""
        head = b"" if self.started else self._head(len(body), more)
        self.started = True
        if not self._chunked:
            return head + body
        chunk = b"%x\r\n%b\r\n" % (len(body), body) if body else b""
        return head + chunk + (b"" if more else b"0\r\n\r\n")

    def _head(self, size: int, more: bool) -> bytes:
        names = {name.lower() for name, _ in self._headers}
        headers = list(self._headers)
        has_body = self._status not in (204, 304)
        if has_body and not names & {b"content-length", b"transfer-encoding"}:
            self._chunked = more  # only now is it known that the size is not
            size_header = (b"content-length", b"%d" % size)
            headers.append((b"transfer-encoding", b"chunked") if more else size_header)
        if has_body and b"content-type" not in names:
            headers.append((b"content-type", b"text/plain; charset=utf-8"))
        if b"connection" not in names:
            headers.append((b"connection", b"close"))
        return response_head(self._status, headers)


def read_headers(message: Mapping[str, Any]) -> RawHeaders:
    """The headers of an application's message.

    Raises:
        ValueError: For one that cannot be sent.
    """
    headers = [(bytes(name), bytes(value)) for name, value in message.get("headers") or ()]
    for name, value in headers:
        check_line(name, value)
    return headers


def check_line(name: bytes, value: bytes) -> None:
    """Refuse what would be more than one line (RFC 9110 §5.5).

    Raises:
        ValueError: For a line break or a NUL.
    """
    if any(byte in name + value for byte in (b"\r", b"\n", b"\0")):
        raise ValueError(f"the header {name!r} has a line break or a NUL in it")


def response_head(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Status line and headers of a response, as bytes."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    lines = [b"HTTP/1.1 %d %b" % (status, phrase.encode())]
    lines += [b"%b: %b" % header for header in headers]
    return b"\r\n".join([*lines, b"", b""])
