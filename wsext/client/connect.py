"""How an application opens a session as a client: `connect`."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import AsyncIterator, Awaitable, Generator, Iterable, Mapping, Sequence
from functools import cache
from typing import Any

from wsext import http2
from wsext.client.opening import ALPN, HTTP2Choice, OpeningProtocol, check_http2
from wsext.client.proxies import connect_through, find_proxy
from wsext.client.reconnection import finish, reconnect
from wsext.client.settings import ClientLimits
from wsext.client.targets import Target
from wsext.errors import CloseInfo, InvalidHandshake, NegotiationError, nearest
from wsext.escape import get_logger
from wsext.protocol import handshake, negotiation
from wsext.protocol.agreement import Negotiation, NegotiationContext, Offer
from wsext.protocol.boundary import ExtensionFault
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.http import Request
from wsext.protocol.negotiation import find_missing
from wsext.runtime import net
from wsext.runtime.backoff import Backoff
from wsext.runtime.life import life_of
from wsext.runtime.patience import Patience, close_rest
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.sweep import Sweep
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed, build
from wsext.sdk.values import as_list
from wsext.version import __version__

__all__ = ["connect"]

logger = get_logger("wsext.client")


@cache
def _default_context(choice: HTTP2Choice) -> ssl_module.SSLContext:
    """Trusts the system's certificates. To read them takes longer than all else of connecting."""
    return ssl_module.create_default_context()


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
            ``socks5h``), ``None`` uses none. SOCKS needs ``wsext[proxy]``.
        sock: A connected socket to use.
        http2: ``True`` speaks HTTP/2 (RFC 8441): ``wss`` offers only that, ``ws`` takes it for
            granted. ``"auto"`` offers both on ``wss`` and takes what the server has. ``False``
            speaks HTTP/1.1. ``True`` needs ``wsext[http2]``. A TLS context of your own is told
            what to offer by ALPN, unless this is ``False``.
        open_timeout: Seconds for connecting, TLS and the handshake together.
        user_agent: The ``User-Agent`` header; ``None`` for none.
        limits: How large the server's answer to the handshake may be, and a proxy's.
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
    protocol_class = OpeningProtocol
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
        limits: ClientLimits | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self._target = Target.parse(url)
        self._options = options or WebSocketOptions()
        if isinstance(extensions, Installed):
            self._installed = extensions
        else:
            self._installed = build(extensions or ())
        self._required = (*self._installed.required, *as_list("required", required))
        self._subprotocols = as_list("subprotocols", subprotocols)
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        self._headers = [(str(name), str(value)) for name, value in pairs]
        if self._target.authorization is not None:
            self._headers.append(("Authorization", self._target.authorization))
        self._origin = origin
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._proxy = proxy
        self._sock = sock
        self._http2 = check_http2(http2)
        self._open_timeout = open_timeout
        self._user_agent = user_agent
        self._limits = limits or ClientLimits()
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
        self._check_required(offers)
        target = self._target
        request = handshake.build_request(
            target.host_header,
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
            subprotocol, answers = handshake.check_response(request, response, self._subprotocols)
            ctx = NegotiationContext("client", self._options.max_message_size, request)
            agreed = await self._confirm(protocol, offers, answers, ctx)
            try:
                return self._start(protocol, request, response, subprotocol, agreed)
            except BaseException:
                await close_rest(agreed.close(), self._options)
                raise
        except BaseException as error:
            if protocol.transport is not None and not protocol.transport.is_closing():
                carrier = protocol.transport.get_extra_info("carrier")
                protocol.transport.abort()
                if carrier is not None:
                    carrier.abort()
                    if isinstance(error, Exception):
                        await carrier.gone
            raise

    def _check_required(self, offers: list[Offer]) -> None:
        """Check that every required extension is offered, before anything is sent."""
        names = list(dict.fromkeys(offer.name for offer in offers))
        for name in self._required:
            if name not in names:
                close = nearest(name, names)
                hint = f"; did you mean {close!r}?" if close else ""
                known = ", ".join(names) or "no extension"
                problem = f"is required, but this client does not offer it: it offers {known}{hint}"
                raise NegotiationError(problem, name)

    def _start(
        self,
        protocol: OpeningProtocol,
        request: Request,
        response: Any,
        subprotocol: str | None,
        agreed: Negotiation,
    ) -> tuple[Session, str | None]:
        """The session of an accepted handshake, and the required extension that it lacks."""
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
            raise InvalidHandshake("the connection ended during the handshake", cut_off=True)
        self._watch(session)
        life_of(session).start(protocol.transport, protocol.take_rest())
        return session, find_missing(self._required, agreed)

    async def _confirm(
        self,
        protocol: OpeningProtocol,
        offers: list[Offer],
        answers: list[str],
        ctx: NegotiationContext,
    ) -> Negotiation:
        """What was agreed.

        Raises:
            NegotiationError: If the answer cannot be used. For the server the connection is open
                already, so it gets a Close frame.
        """
        patience = Patience(self._options.negotiation_timeout)

        async def wait(awaitable: Awaitable[Any]) -> Any:
            if protocol.transport is not None:
                protocol.transport.pause_reading()  # until the session reads
            return await patience.wait(awaitable)

        extensions = self._installed.extensions
        try:
            return await negotiation.aconfirm(offers, answers, extensions, ctx, wait=wait)
        except NegotiationError as error:
            if protocol.transport is not None:
                failed = isinstance(error, ExtensionFault)
                connection = Connection("client")
                connection.send_close(
                    CloseCode.INTERNAL_ERROR if failed else CloseCode.PROTOCOL_ERROR
                )
                protocol.transport.writelines(connection.data_to_send())
                protocol.transport.close()
            raise

    def _watch(self, session: Session) -> None:
        """Hold the server to the limits of the session, as a server does with its clients."""
        sweep = Sweep(self._timers or asyncio.get_running_loop(), self._installed, logger)
        sweep.add(session)

        def ended(info: CloseInfo) -> None:
            sweep.remove(session)
            sweep.stop()

        life_of(session).add_callback(ended)

    async def _connect(self, request: Request, choice: HTTP2Choice) -> OpeningProtocol:
        target = self._target
        protocol = OpeningProtocol(request, choice, self._limits)
        if target.uds is not None:
            await net.create_unix_connection(lambda: protocol, target.uds)
            return protocol
        tls: dict[str, Any] = {}
        if target.secure:
            context = self._ssl or _default_context(choice)
            if self._http2:
                context.set_alpn_protocols(ALPN[choice])
            tls = {"ssl": context, "server_hostname": self._server_hostname or target.host}
        sock = self._sock
        if sock is None:
            proxy = find_proxy(self._proxy, target)
            if proxy is None:
                sock = await net.connect_socket(target.host, target.port)
            else:
                sock = await connect_through(proxy, target, self._limits)
        try:
            await net.create_connection(lambda: protocol, sock=sock, **tls)
        except BaseException:
            # The transport goes first: it is still registered for the socket if this was cancelled
            # when TLS had just been agreed.
            if protocol.transport is not None:
                protocol.transport.abort()
            sock.close()
            raise
        return protocol

    # --- the three ways to use it -------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if self._session is not None:
            await finish(self._session, error)

    def __aiter__(self) -> AsyncIterator[Session]:
        return reconnect(self._open, self._backoff)
