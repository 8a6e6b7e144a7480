"""The HTTP around a handshake: requests, responses, and the reader of responses.

The grammar of requests is in `wsext.protocol.heads`.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from http import HTTPStatus
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qs, unquote

from websockets.exceptions import InvalidHeader
from websockets.headers import parse_connection, parse_upgrade

from wsext.errors import HandshakeRejected, InvalidHandshake
from wsext.escape import escape
from wsext.protocol.bodies import parse_form
from wsext.protocol.headers import (
    NAME,
    VALUE,
    Headers,
    has_token,
    hide_values,
    parse_subprotocols,
)
from wsext.protocol.lines import LineReader, TooLarge

__all__ = [
    "HTTPResponse",
    "Headers",
    "Request",
    "Response",
    "ResponseReader",
    "rejection",
    "serialize_request",
]

#: Knows how the values of cookies are quoted.
_COOKIES: SimpleCookie = SimpleCookie()

#: A status line (RFC 9112 §4). Some proxies still answer with HTTP/1.0.
_STATUS_LINE = re.compile(rf"(HTTP/1\.[01]) ([1-5][0-9]{{2}}) {VALUE.pattern}")


@dataclass
class Request:
    """An HTTP request, usually an opening handshake.

    Attributes:
        method: The HTTP method.
        target: The path and query as they were sent.
        headers: The header fields, see `Headers`; of those that have one value there is one line.
        remote: The peer's address as text, or ``None`` when it has none (Unix sockets).
        secure: Whether the request came over TLS.
        version: ``HTTP/1.1`` or ``HTTP/2``.
        route: The rule of the route that answers, for example ``/chat/<room>``.
        identity: Who the peer is; for guards and `wsext_handshake` to set.
        draining: Whether the server that got it is shutting down.
        forwarded_host: The host that a trusted proxy was asked for.
        local: Whether it came to a loopback address and nobody vouches for the name of its host.
        protocol: What an extended CONNECT of HTTP/2 asks for, ``websocket`` (RFC 8441 §4); ``None``
            without one.
        transport: What carries it, while it lasts; see `get_extra_info`.
        app: The `App` that answers; ``None`` at a client, and under uvicorn.
        body: The body of a POST; there once the guards have let it pass.
        expires: When the identity expires, in Unix time: seconds, as of `time.time` and of ``exp``
            in a JSON Web Token. A session that still has it then is closed with 1008; ``None``:
            never. For guards and `wsext_handshake` to set.
    """

    method: str
    target: str
    headers: Headers
    remote: str | None = None
    secure: bool = False
    version: str = "HTTP/1.1"
    extra: dict[str, Any] = field(default_factory=dict)
    route: str | None = None
    identity: Any = None
    draining: bool = False
    forwarded_host: str | None = None
    local: bool = False
    protocol: str | None = None
    transport: Any = field(default=None, repr=False)
    app: Any = field(default=None, repr=False, compare=False)
    body: bytes = field(default=b"", repr=False)
    expires: float | None = None

    #: Why it was refused, if an operator has to know that; for the log, and never sent.
    refused = ""

    def get_extra_info(self, name: str) -> Any:
        """What the transport knows, for example ``peername`` or ``ssl_object`` (a guard may look at
        a client's certificate); ``None`` once the connection has ended."""
        return None if self.transport is None else self.transport.get_extra_info(name)

    def pack(self) -> None:
        """Keep the headers as they were sent until somebody asks for one again: for as long as a
        session lasts, they would take more memory than the session."""
        self.headers.pack()

    def hide(self, secrets: Iterable[str]) -> None:
        """Show ``...`` in place of these values of parameters of extensions, packed or not."""
        hide_values(self.headers, secrets)

    @property
    def http_version(self) -> str:
        """``1.1`` or ``2``."""
        return self.version.removeprefix("HTTP/")

    @cached_property
    def path(self) -> str:
        """The path, percent-decoded."""
        path = self.target.partition("?")[0].partition("#")[0]
        if self._is_absolute:
            path = "/" + path.partition("://")[2].partition("/")[2]
        return unquote(path) or "/"

    @property
    def _is_absolute(self) -> bool:
        """Whether the target is a whole URL (RFC 9112 §3.2.2)."""
        return "://" in self.target.partition("?")[0] and not self.target.startswith("/")

    @cached_property
    def query_string(self) -> str:
        """The query as it was sent, without the question mark."""
        return self.target.partition("?")[2].partition("#")[0]

    @cached_property
    def query(self) -> Mapping[str, str]:
        """Query parameters; the first value of each."""
        return {name: values[0] for name, values in self.query_lists.items()}

    @cached_property
    def query_lists(self) -> Mapping[str, list[str]]:
        """Query parameters with all their values."""
        return parse_qs(self.query_string, keep_blank_values=True)

    @cached_property
    def form(self) -> Mapping[str, str]:
        """The fields of the form in the body; the first value of each.

        Raises:
            HandshakeRejected: 415 if the body is another one than
                ``application/x-www-form-urlencoded``; 400 if it is malformed.
        """
        return {name: values[0] for name, values in self.form_lists.items()}

    @cached_property
    def form_lists(self) -> Mapping[str, list[str]]:
        """The fields of the form with all their values; see `form`."""
        return parse_form(self.headers.get("Content-Type", ""), self.body)

    @cached_property
    def cookies(self) -> Mapping[str, str]:
        """Cookies by name; of two with one name the first, which is the most specific one.

        What is no cookie is left out and hides no other: it may come from anybody who can set
        cookies for a part of the domain (RFC 6265 §5.4, §8.6).
        """
        found: dict[str, str] = {}
        for value in self.headers.get_all("Cookie"):
            for pair in value.split(";"):
                name, equals, text = pair.partition("=")
                if equals:
                    found.setdefault(name.strip(), _COOKIES.value_decode(text.strip())[0])
        return found

    @property
    def origin(self) -> str | None:
        """The ``Origin`` header, which browsers send (RFC 6454); ``None`` without one."""
        return next(iter(self.headers.get_all("Origin")), None)  # `get` raises an error inside

    @property
    def bearer_token(self) -> str:
        """The token of ``Authorization: Bearer`` (RFC 6750 §2.1); empty without one."""
        scheme, _, token = self.headers.get("Authorization", "").partition(" ")
        return token.strip() if scheme.lower() == "bearer" else ""

    @cached_property
    def subprotocols(self) -> tuple[str, ...]:
        """The subprotocols that the client offers, in its order; empty when they are malformed."""
        try:
            return tuple(parse_subprotocols(self.headers))
        except InvalidHeader:
            return ()

    @property
    def host(self) -> str:
        """Host and port that were asked for: as a trusted proxy says, or else by the target if it
        is a whole URL, or else by the ``Host`` header."""
        if self.forwarded_host is not None:
            return self.forwarded_host
        if self._is_absolute:
            return re.split("[/?#]", self.target.partition("://")[2], maxsplit=1)[0]
        return self.headers.get("Host", "")

    @property
    def is_upgrade(self) -> bool:
        """Whether the request asks for a WebSocket (RFC 6455 §4.2.1, RFC 8441 §5)."""
        if self.version == "HTTP/2":
            return self.protocol is not None
        return has_token(self.headers, "Upgrade", "websocket", parse_upgrade) and has_token(
            self.headers, "Connection", "upgrade", parse_connection
        )


@dataclass
class Response:
    """An HTTP response.

    Attributes:
        status: The HTTP status.
        body: Text is sent as UTF-8.
        headers: Additional headers; ``Content-Length`` and ``Connection`` are filled in.
        content_type: The type of the body.
    """

    status: int = 200
    body: str | bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "text/plain; charset=utf-8"

    @property
    def content(self) -> bytes:
        """The body as bytes."""
        return self.body.encode() if isinstance(self.body, str) else self.body

    def all_headers(self) -> Headers:
        """The headers with those that are filled in."""
        headers = Headers()
        if self.status != 101:
            headers["Connection"] = "close"
            headers["Content-Length"] = str(len(self.content))
            headers["Content-Type"] = self.content_type
        for name, value in self.headers.items():
            if name in headers:
                del headers[name]
            headers[name] = value
        return headers

    def serialize(self, *, head_only: bool = False) -> bytes:
        """The response as bytes; for HEAD without its body."""
        line = f"HTTP/1.1 {self.status} {_phrase(self.status)}\r\n".encode()
        return line + self.all_headers().serialize() + (b"" if head_only else self.content)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def rejection(error: HandshakeRejected) -> Response:
    """A refused handshake as a response with a short body."""
    body = error.reason or _phrase(error.status)
    return Response(error.status, body + "\n", error.headers)


def serialize_request(request: Request) -> bytes:
    """A request as bytes."""
    line = f"{request.method} {request.target} HTTP/1.1\r\n".encode("ascii")
    return line + request.headers.serialize()


# -- reading ----------------------------------------------------------------------------------


@dataclass
class HTTPResponse:
    """What a server has answered.

    Attributes:
        status_code: The HTTP status.
        headers: The header fields.
        body: What was read of the body.
        version: ``HTTP/1.0``, ``HTTP/1.1`` or ``HTTP/2``.
    """

    status_code: int
    headers: Headers
    body: bytes | bytearray = b""
    version: str = "HTTP/1.1"


class ResponseReader(LineReader):
    """Client: reads the response of a server, or of a proxy that was asked to CONNECT.

    Args:
        max_size: The most bytes of status line and headers, together with those of informational
            responses (1xx) that come before (RFC 9110 §15.2).
        max_count: The most header lines, counted in the same way.
        max_body: The most bytes of a refusal's body that are read.
        tunnel: Whether a response of 2xx opens a tunnel, so that no body follows.
    """

    def __init__(
        self,
        *,
        max_size: int = 65536,
        max_count: int = 128,
        max_body: int = 65536,
        tunnel: bool = False,
    ) -> None:
        super().__init__(max_size, max_count)
        self._room = max_body
        self._tunnel = tunnel
        self._parser = self._read_response()

    def _read_response(self) -> Generator[None, None, HTTPResponse]:
        response = yield from self._read_head()
        while 100 <= response.status_code < 200 and response.status_code != 101:
            response = yield from self._read_head()
        status = response.status_code
        if status == 101 and response.version != "HTTP/1.1":
            raise ValueError("101 needs HTTP/1.1")
        if status not in (101, 204, 304) and not (self._tunnel and 200 <= status < 300):
            # Whatever is wrong with its body, this is a refusal; what has come of it is kept.
            with suppress(TooLarge, ValueError, EOFError):
                yield from self._read_body(response)
        return response

    def _read_head(self) -> Generator[None, None, HTTPResponse]:
        line = yield from self._read_text()
        found = _STATUS_LINE.fullmatch(line)
        if found is None:
            raise ValueError(f"its first line is {line!r}")
        headers = Headers()
        while line := (yield from self._read_text()):
            name, colon, value = line.partition(":")
            if not (colon and NAME.fullmatch(name)):
                raise ValueError(f"the header {name!r} has no such name, or no value")
            headers[name] = value.strip(" \t")
        return HTTPResponse(int(found[2]), headers, version=found[1])

    def _read_text(self) -> Generator[None, None, str]:
        """A line without its end."""
        line = (yield from self.read_line()).decode("latin-1")
        if not line.endswith("\r\n"):
            raise ValueError("a line ends without CR LF")
        return line[:-2]

    def _read_body(self, response: HTTPResponse) -> Generator[None, None, None]:
        body = response.body = bytearray()
        lengths = response.headers.get_all("Content-Length")
        if "Transfer-Encoding" not in response.headers:
            yield from self._take(int(lengths[0]) if lengths else self._room + 1, body)
            return
        while size := int((yield from self.read_line()).partition(b";")[0], 16):
            yield from self._take(size, body)
            yield from self.read_line()  # the end of the chunk (RFC 9112 §7.1)

    def _take(self, size: int, body: bytearray) -> Generator[None, None, None]:
        """Add bytes to a body, as long as there is room."""
        while size > 0:
            if not self._room:
                raise TooLarge("a long body")
            while not self.buffer:
                yield from self.more()
            part = self.buffer[: min(size, self._room)]
            del self.buffer[: len(part)]
            body += part
            size -= len(part)
            self._room -= len(part)

    def feed(self, data: bytes) -> HTTPResponse | None:
        """Take bytes; return the response once it is whole.

        Raises:
            InvalidHandshake: If it is malformed or too large.
        """
        self.buffer += data
        return self._step()

    def feed_eof(self) -> HTTPResponse | None:
        """The server has closed its side.

        Raises:
            InvalidHandshake: If the response is not whole.
        """
        self.ended = True
        return self._step()

    def _step(self) -> HTTPResponse | None:
        try:
            next(self._parser)
        except StopIteration as stop:
            response: HTTPResponse = stop.value
            return response
        except EOFError as error:
            problem = "the connection ended before the server answered"
            raise InvalidHandshake(problem, cut_off=True) from error
        except Exception as error:  # whatever the grammar raises, the answer is no use
            problem = f"the server's response is malformed: {escape(str(error))[:200]}"
            raise InvalidHandshake(problem) from error
        return None
