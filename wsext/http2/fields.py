"""Requests and responses as the header fields of HTTP/2 (RFC 9113 §8.3, RFC 8441 §4)."""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Iterable

from wsext.errors import HandshakeRejected, InvalidHandshake
from wsext.escape import escape
from wsext.protocol.headers import NAME, VALUE, Headers, check_fields
from wsext.protocol.http import HTTPResponse, Request

__all__ = [
    "as_connect",
    "as_upgrade",
    "check_request",
    "read_request",
    "read_response",
    "request_fields",
    "response_fields",
]

_STATUS = re.compile("[1-9][0-9][0-9]")

#: A path and query: visible characters without a fragment (RFC 9113 §8.3.1).
_PATH = re.compile(r"/[\x21\x22\x24-\x7e]*")

Fields = list[tuple[str, str]]

#: Headers that speak of one HTTP/1.1 connection; HTTP/2 has no place for them (RFC 9113 §8.2.2).
_PER_CONNECTION = frozenset(
    (
        *("connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding", "host"),
        "sec-websocket-accept",
    )
)


def _split(fields: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], Headers]:
    """Pseudo-headers, and headers.

    Raises:
        ValueError: For a malformed name or value.
    """
    pseudo: dict[str, str] = {}
    lines: list[tuple[str, str]] = []
    for raw_name, raw_value in fields:
        name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")  # as in HTTP/1.1
        is_name = NAME.fullmatch(name.removeprefix(":")) and name == name.lower()
        if not (is_name and VALUE.fullmatch(value)):  # h2 lets more pass
            raise ValueError("malformed header")
        if name.startswith(":"):
            pseudo[name] = value
        else:
            lines.append((name, value))
    return pseudo, Headers.of(lines)


# --- server -----------------------------------------------------------------------------------


def read_request(fields: list[tuple[bytes, bytes]]) -> Request:
    """The request that a client's fields make; ``:authority`` is its ``Host`` header.

    Raises:
        HandshakeRejected: 400 for a malformed field.
    """
    try:
        pseudo, headers = _split(fields)
    except ValueError as error:
        raise HandshakeRejected(400, str(error)) from error
    if pseudo.get(":scheme", "https") not in ("http", "https"):
        raise HandshakeRejected(400, "malformed :scheme")
    authority = pseudo.get(":authority")
    if authority is not None and "Host" not in headers:
        headers["Host"] = authority
    return Request(
        pseudo.get(":method", ""),
        pseudo.get(":path", ""),
        headers,
        version="HTTP/2",
        protocol=pseudo.get(":protocol"),
    )


def check_request(request: Request, max_size: int, max_count: int) -> None:
    """Hold a request to the server's limits, and to what a request line of HTTP/1.1 could say.

    Raises:
        HandshakeRejected: 431 for too many or too large headers, 400 for a malformed method or
            path, 405 for a CONNECT that asks for a TCP connection (RFC 9113 §8.5).
    """
    if request.method == "CONNECT" and request.protocol is None:
        raise HandshakeRejected(405, "no proxy", {"Allow": "GET, HEAD"})
    headers = list(request.headers.raw_items())
    if len(headers) > max_count:
        raise HandshakeRejected(431, f"request headers too large: more than {max_count} headers")
    size = sum(len(name) + len(value) for name, value in headers)
    if size + len(request.target) > max_size:
        raise HandshakeRejected(431, f"request headers too large: more than {max_size} bytes")
    if not _PATH.fullmatch(request.target):
        raise HandshakeRejected(400, "malformed :path")
    if not (request.method.isascii() and request.method.isalpha()):
        raise HandshakeRejected(400, "malformed :method")
    check_fields(request.headers, needs_host=False)


def as_upgrade(request: Request) -> Request:
    """An extended CONNECT as the request of an HTTP/1.1 handshake, for who has to answer it."""
    headers = Headers(request.headers.raw_items())
    headers["Upgrade"] = "websocket"
    headers["Connection"] = "Upgrade"
    headers["Sec-WebSocket-Key"] = base64.b64encode(secrets.token_bytes(16)).decode()
    return Request("GET", request.target, headers)


def response_fields(status: int, headers: Iterable[tuple[str, str]]) -> Fields:
    """A response's status and headers, without those of one HTTP/1.1 connection."""
    kept = [(name.lower(), value) for name, value in headers if name.lower() not in _PER_CONNECTION]
    return [(":status", str(status)), *kept]


# --- client -----------------------------------------------------------------------------------


def as_connect(request: Request) -> None:
    """Turn the request of an HTTP/1.1 handshake into an extended CONNECT."""
    request.method = "CONNECT"
    request.version = "HTTP/2"
    request.protocol = "websocket"
    for name in ("Upgrade", "Connection", "Sec-WebSocket-Key"):
        del request.headers[name]


def request_fields(request: Request) -> Fields:
    """The fields of an extended CONNECT."""
    return [
        (":method", request.method),
        (":protocol", request.protocol or ""),
        (":scheme", "https" if request.secure else "http"),
        (":authority", request.host),
        (":path", request.target),
        *(
            (name.lower(), value)
            for name, value in request.headers.raw_items()
            if name.lower() not in _PER_CONNECTION
        ),
    ]


def read_response(fields: list[tuple[bytes, bytes]]) -> HTTPResponse:
    """A response without its body.

    Raises:
        InvalidHandshake: For a malformed field.
    """
    try:
        pseudo, headers = _split(fields)
    except ValueError as error:
        raise InvalidHandshake(f"the server's response has a {error}") from error
    status = pseudo.get(":status", "")
    if not _STATUS.fullmatch(status):
        raise InvalidHandshake(f"the server's response has the status {escape(status)!r}")
    return HTTPResponse(int(status), headers, version="HTTP/2")
