"""The rules of the opening handshake, both roles (RFC 6455 §4; over HTTP/2, RFC 8441 §5).

Pure functions over the requests and responses of `wsext.protocol.http`.
"""

from __future__ import annotations

import base64
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence

from websockets.exceptions import InvalidHeader
from websockets.headers import parse_connection, parse_upgrade
from websockets.utils import accept_key

from wsext.errors import HandshakeRejected, InvalidHandshake, InvalidStatus, nearest
from wsext.protocol.headers import (
    NAME,
    SINGLE,
    VALUE,
    Headers,
    has_token,
    is_host,
    parse_subprotocols,
)
from wsext.protocol.http import HTTPResponse, Request

__all__ = [
    "accept_headers",
    "accept_response",
    "build_request",
    "check_response",
    "check_upgrade",
    "host_name",
    "offered_subprotocols",
    "select_subprotocol",
]

# --- server -----------------------------------------------------------------------------------


def check_upgrade(request: Request) -> None:
    """Check what RFC 6455 §4.2.1 asks of a client's request, over HTTP/2 RFC 8441 §5.

    Raises:
        HandshakeRejected: 405 for another method than GET (HTTP/2: than an extended CONNECT), 426
            for a missing upgrade or an unsupported version, 501 for another ``:protocol``, 400 for
            everything else.
    """
    over_http2 = request.version == "HTTP/2"
    if over_http2:
        _check_connect(request)
    else:
        _check_get(request)
    _only(request, "Host")
    if _only(request, "Sec-WebSocket-Version") != "13":
        raise HandshakeRejected(426, "the supported version is 13", {"Sec-WebSocket-Version": "13"})
    if not over_http2:  # there, :protocol says what the key and its answer prove here
        _check_key(request)


def _check_connect(request: Request) -> None:
    if request.protocol is None:
        raise HandshakeRejected(
            405, "this address speaks WebSocket: use an extended CONNECT", {"Allow": "CONNECT"}
        )
    if request.protocol.lower() != "websocket":
        raise HandshakeRejected(501, "the supported :protocol is websocket")


def _check_get(request: Request) -> None:
    if request.method != "GET":
        raise HandshakeRejected(405, "a WebSocket handshake is a GET request", {"Allow": "GET"})
    if request.version != "HTTP/1.1":
        raise HandshakeRejected(400, "a WebSocket handshake needs HTTP/1.1")
    if not request.is_upgrade:
        raise HandshakeRejected(
            426,
            "this address speaks WebSocket: send Upgrade: websocket and Connection: Upgrade",
            {"Upgrade": "websocket", "Connection": "Upgrade, close"},
        )


#: 16 bytes in base64 (RFC 4648 §4).
_KEY = re.compile(r"[A-Za-z0-9+/]{22}==")


def _check_key(request: Request) -> None:
    key = _only(request, "Sec-WebSocket-Key")
    if not _KEY.fullmatch(key):
        raise HandshakeRejected(400, "Sec-WebSocket-Key is not 16 bytes in base64")


def _only(request: Request, name: str) -> str:
    values = request.headers.get_all(name)
    if len(values) != 1:
        raise HandshakeRejected(400, f"exactly one {name} header is needed")
    return values[0]


def host_name(host: str) -> str:
    """The name or address in ``Host``: small letters, no port, no brackets, no dot at its end."""
    name = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return name.lower().removesuffix(".")


def offered_subprotocols(request: Request) -> list[str]:
    """The subprotocols that the client offers, in its order.

    Raises:
        HandshakeRejected: 400 for a malformed header.
    """
    try:
        return parse_subprotocols(request.headers)
    except InvalidHeader:
        raise HandshakeRejected(400, "malformed Sec-WebSocket-Protocol header") from None


def select_subprotocol(offered: Sequence[str], supported: Sequence[str]) -> str | None:
    """The first of the server's subprotocols that the client offers (the server's preference).

    Raises:
        HandshakeRejected: 400 when the client offers some, the route has some, and none is common.
    """
    for name in supported:
        if name in offered:
            return name
    if offered and supported:
        raise HandshakeRejected(
            400, f"no common subprotocol; this address speaks: {', '.join(supported)}"
        )
    return None


def accept_headers(
    request: Request, *, subprotocol: str | None = None, extensions: str | None = None
) -> dict[str, str]:
    """The headers that an accepting response must have (RFC 6455 §4.2.2, RFC 8441 §5)."""
    answer = {}
    if request.version != "HTTP/2":
        answer["Upgrade"] = "websocket"
        answer["Connection"] = "Upgrade"
        answer["Sec-WebSocket-Accept"] = accept_key(request.headers["Sec-WebSocket-Key"])
    if subprotocol is not None:
        answer["Sec-WebSocket-Protocol"] = subprotocol
    if extensions is not None:
        answer["Sec-WebSocket-Extensions"] = extensions
    return answer


def accept_response(
    request: Request, *, subprotocol: str | None = None, extensions: str | None = None
) -> bytes:
    """The 101 response to a request that `check_upgrade` has let pass.

    Raises:
        ValueError: If a header's value has a character that may not stand there.
    """
    for value in (subprotocol, extensions):
        if value is not None and not VALUE.fullmatch(value):
            raise ValueError("a header of the answer has a character that may not stand there")
    answer = accept_headers(request, subprotocol=subprotocol, extensions=extensions)
    lines = [f"{name}: {value}\r\n" for name, value in answer.items()]
    return f"HTTP/1.1 101 Switching Protocols\r\n{''.join(lines)}\r\n".encode("latin-1")


# --- client -----------------------------------------------------------------------------------

#: Headers that the handshake itself sets, and those of a body, which it does not have.
_OWN_HEADERS = frozenset(
    (
        *("host", "upgrade", "connection", "origin", "sec-websocket-key", "sec-websocket-version"),
        *("sec-websocket-extensions", "sec-websocket-protocol"),
        *("content-length", "transfer-encoding", "expect", "trailer"),
    )
)
_CONNECT_OPTIONS = ("extensions", "subprotocols", "origin")

#: Path and query (RFC 3986 §3.3): nothing that ends what it stands in.
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*")


def build_request(
    host: str,
    target: str,
    *,
    subprotocols: Sequence[str] = (),
    extensions: str | None = None,
    origin: str | None = None,
    headers: Iterable[tuple[str, str]] = (),
    user_agent: str | None = None,
) -> Request:
    """The client's request, with a fresh key (RFC 6455 §4.1).

    Every part of every request passes here, so this is where none gets in that would end its line.

    Raises:
        ValueError: If a part has a character that may not stand there, or an additional header is
            one that the handshake itself sets. It names the part and never shows its value.
    """
    if not host or not is_host(host):
        raise ValueError("the host's name has a character that may not stand there")
    if not _TARGET.fullmatch(target):
        raise ValueError(
            "path and query begin with '/' and have visible ASCII characters only,"
            " and no '#': percent-encode what is not"
        )
    fields = Headers()
    fields["Host"] = host
    fields["Upgrade"] = "websocket"
    fields["Connection"] = "Upgrade"
    fields["Sec-WebSocket-Key"] = base64.b64encode(secrets.token_bytes(16)).decode()
    fields["Sec-WebSocket-Version"] = "13"
    if origin is not None:
        _add(fields, "Origin", origin)
    if subprotocols:
        if len({*subprotocols}) < len(subprotocols) or not all(map(NAME.fullmatch, subprotocols)):
            raise ValueError(
                "each of the subprotocols is a token (RFC 9110 §5.6.2), and stands once"
            )
        _add(fields, "Sec-WebSocket-Protocol", ", ".join(subprotocols))
    if extensions is not None:
        _add(fields, "Sec-WebSocket-Extensions", extensions)
    for name, value in headers:
        if name.lower() in _OWN_HEADERS:
            own = nearest(name.lower().removeprefix("sec-websocket-"), _CONNECT_OPTIONS)
            hint = f"; use connect({own}=...)" if own else ""
            raise ValueError(f"the handshake sets the header {name!r} itself, or has none{hint}")
        _add(fields, name, value)
    if user_agent is not None and "User-Agent" not in fields:
        _add(fields, "User-Agent", user_agent)
    return Request("GET", target, fields)


def _add(fields: Headers, name: str, value: str) -> None:
    known = NAME.match(name)
    if known is None or known.end() < len(name):  # what follows may be a part of the value
        begins = f" that begins with {known[0]!r}" if known else ""
        raise ValueError(f"a header's name{begins} has a character that may not stand there")
    if not VALUE.fullmatch(value):
        raise ValueError(
            f"the value of the header {name!r} has a character that may not stand there"
        )
    if name.title() in SINGLE and name in fields:
        raise ValueError(
            f"the header {name!r} is given twice (a URL with a user name makes one, too)"
        )
    fields[name] = value.strip(" \t")


def check_response(
    request: Request, response: HTTPResponse, subprotocols: Sequence[str]
) -> tuple[str | None, list[str]]:
    """Check what RFC 6455 §4.1 asks of a server's response, over HTTP/2 RFC 8441 §5.

    Returns:
        The subprotocol in use, and the values of ``Sec-WebSocket-Extensions``.

    Raises:
        InvalidStatus: If the status is not 101 (HTTP/2: 2xx).
        InvalidHandshake: If a header is missing or wrong.
    """
    headers = response.headers
    over_http2 = request.version == "HTTP/2"
    if response.status_code not in (range(200, 300) if over_http2 else (101,)):
        raise InvalidStatus(response.status_code, dict(headers.raw_items()), bytes(response.body))
    if not over_http2:
        _check_switch(request, response)
    protocols = headers.get_all("Sec-WebSocket-Protocol")
    if len(protocols) > 1:
        raise InvalidHandshake("the server answered more than one subprotocol")
    if protocols and protocols[0] not in subprotocols:
        raise InvalidHandshake(
            f"the server answered the subprotocol {protocols[0][:100]!r}, which was not offered"
        )
    return (protocols[0] if protocols else None), headers.get_all("Sec-WebSocket-Extensions")


def _check_switch(request: Request, response: HTTPResponse) -> None:
    headers = response.headers
    if not has_token(headers, "Upgrade", "websocket", parse_upgrade):
        raise InvalidHandshake("the server's response has no Upgrade: websocket")
    if not has_token(headers, "Connection", "upgrade", parse_connection):
        raise InvalidHandshake("the server's response has no Connection: Upgrade")
    accepts = headers.get_all("Sec-WebSocket-Accept")
    expected = accept_key(request.headers["Sec-WebSocket-Key"])
    if len(accepts) != 1 or not hmac.compare_digest(accepts[0].encode(), expected.encode()):
        raise InvalidHandshake("the server's Sec-WebSocket-Accept does not match the key sent")
