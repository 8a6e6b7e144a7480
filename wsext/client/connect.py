"""The asyncio client: opens a session, or keeps one open."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl as ssl_module
import urllib.request
from collections.abc import AsyncIterator, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, cast

from websockets.exceptions import InvalidURI
from websockets.headers import build_authorization_basic, build_host
from websockets.uri import parse_uri

from wsext import http2
from wsext.errors import (
    ConnectionClosed,
    HandshakeError,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
)
from wsext.protocol import handshake, negotiation
from wsext.protocol.agreement import NegotiationContext, Offer
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import HTTPResponse, Request, ResponseReader, serialize_request
from wsext.protocol.negotiation import find_missing
from wsext.runtime import net
from wsext.runtime.backoff import Backoff
from wsext.runtime.life import life_of
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed, build
from wsext.version import __version__

__all__ = ["HTTP2Choice", "connect"]

logger = logging.getLogger("wsext.client")

#: Whether a client speaks HTTP/2; see `connect`.
HTTP2Choice = Literal["auto"] | bool

#: What a client offers by ALPN.
_ALPN: dict[HTTP2Choice, list[str]] = {
    False: ["http/1.1"],
    True: ["h2"],
    "auto": ["h2", "http/1.1"],
}


@dataclass(frozen=True, slots=True)
class _Target:
    """Where a URL points to."""

    secure: bool
    host: str
    port: int
    resource: str
    uds: str | None = None
    authorization: str | None = None

    @classmethod
    def parse(cls, url: str) -> _Target:
        if url.startswith("ws+unix:"):
            path, _, resource = url.removeprefix("ws+unix:").partition(":/")
            if not path:
                raise ValueError("a Unix socket's address is ws+unix:/path/to/socket:/resource")
            return cls(False, "localhost", 80, "/" + resource, uds=path)
        try:
            uri = parse_uri(url)
        except InvalidURI as error:
            raise ValueError(f"{error}; use ws://host:port/path or wss://…") from None
        authorization = None
        if uri.user_info is not None:
            authorization = build_authorization_basic(*uri.user_info)
        return cls(uri.secure, uri.host, uri.port, uri.resource_name, authorization=authorization)


class _ClientProtocol(asyncio.Protocol):
    """One connection until the server has answered its handshake."""

    def __init__(self, request: Request, http2: HTTP2Choice = False) -> None:
        self._request = request
        self._http2 = http2
        self._reader = ResponseReader()
        self.answered: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        over_http2 = self._speaks_http2(transport)
        if self.answered.done():
            return
        if over_http2:
            self._hand_over(self.transport)
        else:
            self.transport.write(serialize_request(self._request))

    def _speaks_http2(self, transport: asyncio.BaseTransport) -> bool:
        tls = transport.get_extra_info("ssl_object")
        if tls is None:
            return self._http2 is True  # with prior knowledge (RFC 9113 §3.3)
        chosen: bool = tls.selected_alpn_protocol() == "h2"
        if chosen and not self._http2:
            self.refuse(InvalidHandshake("the TLS context offers h2, but http2 is False"))
        elif not chosen and self._http2 is True:
            self.refuse(InvalidHandshake("the server does not speak HTTP/2"))
        return chosen

    def _hand_over(self, transport: asyncio.Transport) -> None:
        from wsext.client.http2 import ClientConnection

        ClientConnection(self._request, self).start(transport)

    def answer(self, response: HTTPResponse, transport: asyncio.Transport) -> None:
        """HTTP/2: the server has answered; the session's transport is its stream."""
        self.transport = transport
        if not self.answered.done():
            self.answered.set_result(response)

    def refuse(self, error: InvalidHandshake) -> None:
        """There will be no answer."""
        if not self.answered.done():
            self.answered.set_exception(error)

    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self._step(lambda: self._reader.feed(data))
        else:  # the first frames came before the task that opens the session ran
            self._reader.keep(data)

    def eof_received(self) -> bool:
        if not self.answered.done():
            self._step(self._reader.feed_eof)
        return False

    def _step(self, feed: Any) -> None:
        try:
            response = feed()
        except InvalidHandshake as error:
            self.answered.set_exception(error)
            return
        if response is not None:
            self.answered.set_result(response)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None  # nobody will be told again, so no session may start on it
        error = InvalidHandshake("the connection ended before the server answered")
        error.__cause__ = exc
        self.refuse(error)

    def take_rest(self) -> bytes:
        """The frames that came with the answer."""
        return self._reader.take_rest()


class connect:
    """Open a session: ``async with connect(url) as session``, or ``await connect(url)``.

    ``async for session in connect(url)`` opens one session after another: when one has ended it is
    closed, and the next is opened after a growing, random wait. There, iterating over a session
    ends silently whatever the reason, which is in ``session.close_info``. Errors that another
    attempt cannot mend (a 4xx status, a broken handshake, a wrong URL) are raised.

    Args:
        url: ``ws://`` or ``wss://``, or ``ws+unix:/path/to/socket:/resource``. User name and
            password become HTTP Basic authorization.
        extensions: What to install and offer: tokens, configured extensions, interceptors, option
            sets; or a mapping of tokens to options.
        required: Tokens of extensions without which the session is closed with 1010.
        subprotocols: What to offer, the best first.
        headers: Additional request headers, for example authorization or cookies.
        origin: The ``Origin`` header.
        options: The options of the session.
        ssl: A TLS context for ``wss``; by default the system's certificates are trusted.
        server_hostname: The name that the certificate has to have, when it is not the URL's.
        proxy: ``True`` takes the proxy of the environment (``https_proxy``, ``all_proxy``,
            ``no_proxy`` and so on), text is a proxy's URL (``http``, ``socks4``, ``socks5``,
            ``socks5h``), ``None`` uses none. Needs ``wsext[proxy]``.
        sock: A connected socket to use.
        http2: ``True`` speaks HTTP/2 (RFC 8441): ``wss`` offers only that, ``ws`` takes it for
            granted. ``"auto"`` offers both on ``wss`` and takes what the server has. ``False``
            speaks HTTP/1.1. ``True`` needs ``wsext[http2]``. A TLS context of your own is told
            what to offer by ALPN, unless this is ``False``.
        open_timeout: Seconds for connecting and the handshake.
        user_agent: The ``User-Agent`` header; ``None`` for none.
        backoff: The waits of ``async for``.

    Raises:
        InvalidStatus: If the server answers with another status than 101 (HTTP/2: 2xx).
        InvalidHandshake: If its answer breaks the RFC.
        NegotiationError: If its answer to the extensions does, or a required one is missing.
        OSError: If the server cannot be reached.
        TimeoutError: After ``open_timeout``.
        ValueError: For a URL, a header or a choice of ``http2`` that cannot be used.
    """

    session_class: type[Session] = Session
    protocol_class = _ClientProtocol
    #: What runs the session's pings and timeouts; ``None`` is the event loop.
    _timers: Timers | None = None

    def __init__(
        self,
        url: str,
        *,
        extensions: Iterable[Any] | Mapping[str, Mapping[str, Any]] | Installed | None = None,
        required: Iterable[str] = (),
        subprotocols: Sequence[str] = (),
        headers: Mapping[str, str] | Iterable[tuple[str, str]] = (),
        origin: str | None = None,
        options: WebSocketOptions | None = None,
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        proxy: str | bool | None = True,
        sock: socket.socket | None = None,
        http2: HTTP2Choice = False,
        open_timeout: float | None = 10.0,
        user_agent: str | None = f"wsext/{__version__}",
        backoff: Backoff | None = None,
    ) -> None:
        self._target = _Target.parse(url)
        self._options = options or WebSocketOptions()
        if isinstance(extensions, Installed):
            self._installed = extensions
        else:
            self._installed = build(extensions or ())
        self._required = (*self._installed.required, *required)
        self._subprotocols = tuple(subprotocols)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._headers = [(str(name), str(value)) for name, value in pairs]
        if self._target.authorization is not None:
            self._headers.append(("Authorization", self._target.authorization))
        self._origin = origin
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._proxy = proxy
        self._sock = sock
        self._http2 = _check_http2(http2)
        self._open_timeout = open_timeout
        self._user_agent = user_agent
        self._backoff = backoff or Backoff()
        self._session: Session | None = None

    # --- opening ------------------------------------------------------------------------------

    async def _open(self) -> Session:
        async with asyncio.timeout(self._open_timeout):
            try:
                session, missing = await self._shake(self._http2)
            except http2.NoWebSockets:
                if self._http2 is True:
                    raise
                session, missing = await self._shake(False)
        if missing is not None:
            await session.close(CloseCode.MANDATORY_EXTENSION, missing)
            raise NegotiationError("is required, and the server did not agree to it", missing)
        return session

    async def _shake(self, choice: HTTP2Choice) -> tuple[Session, str | None]:
        """Connect and do the handshake; the session, and the required extension that it lacks."""
        offers = negotiation.make_offers(self._installed.extensions)
        target = self._target
        request = handshake.build_request(
            build_host(target.host, target.port, target.secure),
            target.resource,
            subprotocols=self._subprotocols,
            extensions=negotiation.offers_header(offers),
            origin=self._origin,
            headers=self._headers,
            user_agent=self._user_agent,
        )
        request.secure = target.secure
        protocol = await self._connect(request, choice)
        try:
            response = await protocol.answered
            return self._start(protocol, request, response, offers)
        except BaseException as error:
            if protocol.transport is not None:
                carrier = protocol.transport.get_extra_info("carrier")
                protocol.transport.abort()
                if carrier is not None:
                    carrier.abort()
                    if isinstance(error, Exception):
                        await carrier.gone
            raise

    def _start(
        self, protocol: _ClientProtocol, request: Request, response: Any, offers: list[Offer]
    ) -> tuple[Session, str | None]:
        """The session of an accepted handshake, and the required extension that it lacks."""
        subprotocol, answers = handshake.check_response(request, response, self._subprotocols)
        ctx = NegotiationContext("client", self._options.max_message_size, request)
        agreed = negotiation.confirm(offers, answers, self._installed.extensions, ctx)
        session = self.session_class(
            "client",
            request,
            options=self._options,
            installed=self._installed,
            negotiation=agreed,
            subprotocol=subprotocol,
            timers=self._timers,
        )
        session.response_headers = response.headers
        request.transport = protocol.transport
        if protocol.transport is None:
            agreed.close()
            raise InvalidHandshake("the connection ended during the handshake")
        life_of(session).start(protocol.transport, protocol.take_rest())
        return session, find_missing(self._required, agreed)

    async def _connect(self, request: Request, choice: HTTP2Choice) -> _ClientProtocol:
        target = self._target

        def factory() -> _ClientProtocol:
            return _ClientProtocol(request, choice)

        context = self._ssl
        if target.secure and context is None:
            context = ssl_module.create_default_context()
        hostname = (self._server_hostname or target.host) if target.secure else None
        if not target.secure:
            context = None
        elif context is not None and self._http2:
            context.set_alpn_protocols(_ALPN[choice])
        protocol: _ClientProtocol
        if target.uds is not None:
            _, protocol = await net.create_unix_connection(factory, target.uds)
            return protocol
        sock = self._sock
        if sock is None:
            proxy = self._find_proxy()
            if proxy is not None:
                sock = await _connect_through(proxy, target.host, target.port)
        if sock is not None:
            _, protocol = await net.create_connection(
                factory, sock=sock, ssl=context, server_hostname=hostname
            )
        else:
            _, protocol = await net.create_connection(
                factory, target.host, target.port, ssl=context, server_hostname=hostname
            )
        return protocol

    def _find_proxy(self) -> str | None:
        if self._proxy is not True:
            return self._proxy or None
        target = self._target
        if urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
            return None
        found = urllib.request.getproxies()
        kinds = (
            ("wss", "https", "socks", "all") if target.secure else ("ws", "http", "socks", "all")
        )
        return next((found[kind] for kind in kinds if kind in found), None)

    # --- the three ways to use it -------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._session is not None:
            await _finish(self._session, error)

    async def __aiter__(self) -> AsyncIterator[Session]:
        delays = self._backoff.delays()
        while True:
            try:
                session = await self._open()
            except (OSError, TimeoutError, HandshakeError) as error:
                if not _worth_retrying(error):
                    raise
                delay = next(delays)
                logger.info("connecting failed (%s); next attempt in %.1f s", error, delay)
                await asyncio.sleep(delay)
                continue
            delays = self._backoff.delays()
            session._inbox.quiet = True
            try:
                yield session
            except BaseException as error:
                await _finish(session, error)
                raise
            await _finish(session, None)
            # A server that accepts and drops must not be hammered either.
            await asyncio.sleep(next(delays))


def _check_http2(choice: HTTP2Choice) -> HTTP2Choice:
    if not (isinstance(choice, bool) or choice == "auto"):
        raise ValueError(f"http2 is False, True or 'auto', not {choice!r}")
    if choice and not http2.is_available():
        if choice is True:
            raise ValueError("http2=True needs the package h2: pip install 'wsext[http2]'")
        return False
    return choice


async def _finish(session: Session, error: BaseException | None) -> None:
    try:
        if isinstance(error, asyncio.CancelledError):
            session.abort()
        elif error is None or isinstance(error, (ConnectionClosed, GeneratorExit)):
            await session.close()
        else:
            life_of(session).set_failure(error)
            await session.close(CloseCode.INTERNAL_ERROR, "client failed")
        carrier = life_of(session).carrier
        if carrier is not None:
            await carrier.gone
    finally:
        await life_of(session).release()


def _worth_retrying(error: Exception) -> bool:
    if isinstance(error, InvalidStatus):
        return error.status >= 500 or error.status == 429
    if isinstance(error, InvalidHandshake):
        # No answer at all is what a server that is just going down looks like.
        return error.__cause__ is not None or "ended before" in str(error)
    return not isinstance(error, (HandshakeError, ssl_module.SSLCertVerificationError))


async def _connect_through(proxy: str, host: str, port: int) -> socket.socket:
    """A socket to the host through a proxy."""
    try:
        from python_socks import ProxyError
        from python_socks.async_.asyncio import Proxy
    except ImportError:
        raise OSError(
            f"connecting through the proxy {_without_password(proxy)} needs the package"
            " python-socks: pip install 'wsext[proxy]', or pass proxy=None"
        ) from None
    remote_dns = proxy.startswith(("socks5h:", "http:", "socks4a:"))
    url = proxy.replace("socks5h:", "socks5:", 1).replace("socks4a:", "socks4:", 1)
    try:
        sock: socket.socket = await Proxy.from_url(url, rdns=remote_dns).connect(host, port)
    except ProxyError as error:
        raise ConnectionError(f"proxy {_without_password(proxy)}: {error}") from error
    return sock


def _without_password(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
