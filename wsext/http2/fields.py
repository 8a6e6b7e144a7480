"""Requests and responses as the header fields of HTTP/2 (RFC 9113 §8.3, RFC 8441 §4)."""

from __future__ import annotations

from collections.abc import Iterable

from wsext.errors import HandshakeRejected
from wsext.protocol.http import Headers, HTTPResponse, Request

__all__ = [
    "as_connect",
    "check_request",
    "read_request",
    "read_response",
    "request_fields",
    "response_fields",
]

Fields = list[tuple[str, str]]

#: Headers that speak of one HTTP/1.1 connection; HTTP/2 has no place for them (RFC 9113 §8.2.2).
_PER_CONNECTION = frozenset(
    {"connection", "upgrade", "keep-alive", "proxy-connection", "transfer-encoding", "host"}
)


def _text(data: bytes) -> str:
    return data.decode("ascii", "surrogateescape")


def _split(fields: Iterable[tuple[bytes, bytes]]) -> tuple[dict[str, str], Headers]:
    pseudo: dict[str, str] = {}
    headers = Headers()
    for name, value in fields:
        if name[:1] == b":":
            pseudo[_text(name)] = _text(value)
        else:
            headers[_text(name)] = _text(value)
    return pseudo, headers


# --- server -----------------------------------------------------------------------------------


def read_request(fields: list[tuple[bytes, bytes]]) -> Request:
    """The request that a client's fields make; ``:authority`` is its ``Host`` header."""
    pseudo, headers = _split(fields)
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
            path.
    """
    headers = list(request.headers.raw_items())
    if len(headers) > max_count:
        raise HandshakeRejected(431, f"request headers too large: more than {max_count} headers")
    size = sum(len(name) + len(value) for name, value in headers)
    if size + len(request.target) > max_size:
        raise HandshakeRejected(431, f"request headers too large: more than {max_size} bytes")
    target = request.target
    if not (target.startswith("/") and target.isascii() and target.isprintable()):
        raise HandshakeRejected(400, "malformed :path")
    if not (request.method.isascii() and request.method.isalpha()):
        raise HandshakeRejected(400, "malformed :method")


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
    """A response without its body."""
    pseudo, headers = _split(fields)
    status = pseudo.get(":status", "")
    is_status = len(status) == 3 and status.isdecimal()
    return HTTPResponse(int(status) if is_status else 0, "", headers)
