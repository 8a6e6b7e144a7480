"""How an application opens a session as a client: `connect`."""

from __future__ import annotations

import asyncio
import socket
import ssl as ssl_module
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
    Sequence,
)
from functools import cache
from typing import Any, TypeVar

from wsext import http2
from wsext.client.headers import HeadersChoice, RequestHeaders
from wsext.client.opening import ALPN, HTTP2Choice, OpeningProtocol, check_http2
from wsext.client.proxies import connect_through, find_proxy
from wsext.client.reconnection import Waits, finish, reconnect
from wsext.client.resuming import MISSING, Accepted, Return, check_return
from wsext.client.settings import ClientLimits
from wsext.client.targets import Target
from wsext.errors import (
    CloseInfo,
    HandshakeError,
    NegotiationError,
    NotResumed,
    nearest,
)
from wsext.escape import get_logger
from wsext.protocol import handshake, negotiation
from wsext.protocol.agreement import Negotiation, NegotiationContext, Offer
from wsext.protocol.boundary import ExtensionFault
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import Request
from wsext.protocol.negotiation import find_missing
from wsext.runtime import net
from wsext.runtime.backoff import Backoff
from wsext.runtime.life import life_of
from wsext.runtime.listener import Listener
from wsext.runtime.patience import Patience, close_rest
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.sweep import Sweep
from wsext.runtime.timers import Timers
from wsext.sdk.installed import Installed, build
from wsext.sdk.values import as_list
from wsext.version import __version__

__all__ = ["check_required", "connect", "tls_error", "too_late"]

T = TypeVar("T")

logger = get_logger("wsext.client")


#: Why OpenSSL fails where something else than TLS answers.
_NO_TLS = ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG")


@cache
def _default_context(choice: HTTP2Choice) -> ssl_module.SSLContext:
    """Trusts the system's certificates. To read them takes longer than all else of connecting."""
    return ssl_module.create_default_context()


def check_required(required: Iterable[str], offers: Iterable[Offer]) -> None:
    """Check that every required extension is offered, before anything is sent.

    Raises:
        NegotiationError: If one is not.
    """
    names = list(dict.fromkeys(offer.name for offer in offers))
    for name in required:
        if name not in names:
            close = nearest(name, names)
            hint = f"; did you mean {close!r}?" if close else ""
            known = ", ".join(names) or "no extension"
            problem = f"is required, but this client does not offer it: it offers {known}{hint}"
            raise NegotiationError(problem, name)


def tls_error(error: ssl_module.SSLError) -> ssl_module.SSLError:
    """What a failed TLS handshake is reported as: the server may not speak TLS at all."""
    if error.reason not in _NO_TLS:
        return error
    problem = "the server does not speak TLS there: write ws:// in place of wss://"
    hinted = ssl_module.SSLError(error.errno, problem)
    hinted.__cause__ = error
    return hinted


def too_late(seconds: float) -> TimeoutError:
    """What is raised when the ``open_timeout`` of so many seconds is over."""
    return TimeoutError(f"no session within open_timeout ({seconds:g} s)")


class connect:
    """Open a session: ``async with connect(url) as session``, or ``await connect(url)``.

    ``async for session in connect(url)`` opens one session after another: when one has ended it is
    closed, and the next is opened after a growing, random wait. There, iterating over a session
    ends silently whatever the reason, which is in ``session.close_info``. Errors that another
    attempt cannot mend (a 4xx status, a broken handshake, a wrong URL) are raised.

    With the extension ``session-resume`` a session outlives its connection: the client connects
    again after the waits of ``backoff``, and the session goes on. If it cannot be resumed, it ends
    with `ConnectionClosed`, whose ``info.exception`` says why. ``async for`` goes on with a new
    session then, whose ``fresh_start`` is true.

    Args:
        url: ``ws://`` or ``wss://``, or ``ws+unix:/path/to/socket:/resource``. User name and
            password become HTTP Basic authorization.
        extensions: What to install and offer: tokens, configured extensions, interceptors, option
            sets; or a mapping of tokens to options.
        required: Tokens of extensions without which the session is closed with 1010.
        subprotocols: What to offer, the best first.
        headers: Additional request headers, for example authorization or cookies; or a function
            that gives them for each handshake, for example with a fresh token. It may be ``async
            def``, and gets the URL if it takes an argument.
        origin: The ``Origin`` header.
        options: The options of the session.
        listener: A `Listener` class, or what else makes one: each session gets one, which is told
            of its messages. They do not come to `Session.receive` then.
        ssl: A TLS context for ``wss``; by default the system's certificates are trusted.
        server_hostname: The name that the certificate has to have, when it is not the URL's.
        proxy: ``True`` takes the proxy of the environment (``https_proxy``, ``all_proxy``,
            ``no_proxy`` and so on), text is a proxy's URL (``http``, ``socks4``, ``socks5``,
            ``socks5h``), ``None`` uses none. SOCKS needs ``wsext[proxy]``.
        sock: A connected socket to use. Its session cannot be resumed: nobody can connect it again.
        http2: ``True`` speaks HTTP/2 (RFC 8441): ``wss`` offers only that, ``ws`` takes it for
            granted. ``"auto"`` offers both on ``wss`` and takes what the server has. ``False``
            speaks HTTP/1.1. ``True`` needs ``wsext[http2]``. A TLS context of your own is told
            what to offer by ALPN, unless this is ``False``.
        open_timeout: Seconds for connecting, TLS and the handshake together.
        user_agent: The ``User-Agent`` header; ``None`` for none.
        limits: How large the server's answer to the handshake may be, and a proxy's.
        backoff: The waits before a session is resumed, and those of ``async for``.
        follow: Hosts that a server may send a session to that comes back (status 307), beside the
            URL's own; ``*.example.com`` stands for all names below example.com. Other redirects are
            not followed. ``Authorization`` and ``Cookie`` are sent to the URL's own origin only,
            unless a function of the URL gives them.

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
        headers: HeadersChoice = (),
        origin: str | None = None,
        options: WebSocketOptions | Mapping[str, Any] | None = None,
        listener: Callable[[], Listener] | None = None,
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        proxy: str | bool | None = True,
        sock: socket.socket | None = None,
        http2: HTTP2Choice = False,
        open_timeout: float | None = 10.0,
        user_agent: str | None = f"wsext/{__version__}",
        limits: ClientLimits | None = None,
        backoff: Backoff | None = None,
        follow: Iterable[str] = (),
    ) -> None:
        self._target = Target.parse(url)
        self._options = WebSocketOptions.of(options)
        self._listener = listener
        if isinstance(extensions, Installed):
            self._installed = extensions
        else:
            self._installed = build(extensions or ())
        self._required = (*self._installed.required, *as_list("required", required))
        self._subprotocols = as_list("subprotocols", subprotocols)
        self._headers = RequestHeaders(headers, self._target)
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
        self._waits = Waits(self._backoff)
        self._hosts = tuple(name.lower() for name in as_list("follow", follow))
        self._session: Session | None = None
        self._iterates = False
        self._fresh: Session | None = None  # begun where the last one could not be resumed

    # --- opening ------------------------------------------------------------------------------

    async def _open(self) -> Session:
        session = await self._dial(None, None, self._start)
        missing = find_missing(self._required, session.negotiation)
        if missing is not None:
            await session.close(CloseCode.MANDATORY_EXTENSION, missing)
            raise NegotiationError(MISSING, missing)
        return session

    async def _dial(
        self, session: Session | None, elsewhere: Target | None, use: Callable[[Accepted], T]
    ) -> T:
        """Connect, do the handshake, and use the connection; see `Dial`."""
        try:
            async with asyncio.timeout(self._open_timeout) as limit:
                try:
                    return await self._shake(self._http2, session, elsewhere, use)
                except http2.NoWebSockets:
                    if self._http2 is True:
                        raise
                    return await self._shake(False, session, elsewhere, use)
        except TimeoutError:
            if self._open_timeout is None or not limit.expired():  # the operating system's
                raise
            raise too_late(self._open_timeout) from None

    async def _shake(
        self,
        choice: HTTP2Choice,
        session: Session | None,
        elsewhere: Target | None,
        use: Callable[[Accepted], T],
    ) -> T:
        offers = negotiation.make_offers(self._installed.extensions, session)
        check_required(self._required, offers)
        target = elsewhere or self._target
        request = handshake.build_request(
            target.host_header,
            target.resource,
            subprotocols=self._subprotocols,
            extensions=negotiation.offers_header(offers),
            origin=self._origin,
            headers=await self._headers.make(target),
            user_agent=self._user_agent,
        )
        request.secure = target.secure
        protocol = await self._connect(request, choice, target)
        try:
            response = await protocol.answered
            subprotocol, answers = handshake.check_response(request, response, self._subprotocols)
            agreed = await self._confirm(protocol, request, offers, answers, session)
            try:
                accepted = Accepted(
                    protocol.need_transport(),
                    protocol.take_rest(),
                    request,
                    response.headers,
                    subprotocol,
                    agreed,
                )
                if (
                    session is not None
                    and not check_return(session, accepted, self._required)
                    and elsewhere is not None
                ):
                    raise NotResumed("elsewhere")  # a new session begins at the program's address
                return use(accepted)
            except BaseException as error:
                if isinstance(error, HandshakeError):
                    protocol.close(CloseCode.NORMAL)
                await close_rest(agreed.close(), self._options)
                raise
        except BaseException as error:
            await protocol.drop(error)
            raise

    def _start(self, accepted: Accepted, *, is_fresh: bool = False) -> Session:
        """The session of an accepted handshake.

        Args:
            accepted: The handshake.
            is_fresh: Whether it takes the place of a session that could not be resumed.
        """
        session = self.session_class(
            "client",
            accepted.request,
            options=self._options,
            installed=self._installed,
            negotiation=accepted.negotiation,
            subprotocol=accepted.subprotocol,
            timers=self._timers,
        )
        session.response_headers = accepted.headers
        session.fresh_start = is_fresh
        self._watch(session)
        is_wanted = self._iterates or not is_fresh
        is_complete = find_missing(self._required, accepted.negotiation) is None
        if accepted.negotiation.journal is not None and is_wanted and self._sock is None:
            Return(session, self._waits, self._dial, self._follow, self._begin_fresh)
        self._waits.note_open()
        accepted.request.transport = accepted.transport
        listener = self._listener if is_wanted and is_complete else None  # else it is closed
        life_of(session).start(accepted.transport, accepted.rest, listener)
        return session

    def _begin_fresh(self, accepted: Accepted) -> None:
        """Take the new session that a server begins where it cannot resume the old one.

        `async for` gives it to the program. Otherwise nobody has asked for it: it is closed.
        """
        session = self._start(accepted, is_fresh=True)
        missing = find_missing(self._required, accepted.negotiation)
        if missing is not None:
            life_of(session).close(CloseCode.MANDATORY_EXTENSION, missing)
            return
        if not self._iterates:
            life_of(session).close(CloseCode.NORMAL, "")
        self._fresh = session

    def _take_fresh(self) -> Session | None:
        session, self._fresh = self._fresh, None
        return session

    def _follow(self, location: str) -> Target | None:
        return self._target.redirected(location, self._hosts)

    async def _confirm(
        self,
        protocol: OpeningProtocol,
        request: Request,
        offers: list[Offer],
        answers: list[str],
        session: Session | None,
    ) -> Negotiation:
        """What was agreed.

        Raises:
            NegotiationError: If the answer cannot be used.
        """
        patience = Patience(self._options.negotiation_timeout)

        async def wait(awaitable: Awaitable[Any]) -> Any:
            if protocol.transport is not None:
                protocol.transport.pause_reading()  # until the session reads
            return await patience.wait(awaitable)

        extensions = self._installed.extensions
        size = self._options.max_message_size
        ctx = NegotiationContext("client", size, request, session=session)
        try:
            return await negotiation.aconfirm(offers, answers, extensions, ctx, wait=wait)
        except NegotiationError as error:
            failed = isinstance(error, ExtensionFault)
            protocol.close(CloseCode.INTERNAL_ERROR if failed else CloseCode.PROTOCOL_ERROR)
            raise

    def _watch(self, session: Session) -> None:
        """Hold the server to the limits of the session, as a server does with its clients."""
        sweep = Sweep(self._timers or asyncio.get_running_loop(), self._installed, logger)
        sweep.add(session)

        def ended(info: CloseInfo) -> None:
            sweep.remove(session)
            sweep.stop()

        life_of(session).add_callback(ended)

    async def _connect(
        self, request: Request, choice: HTTP2Choice, target: Target
    ) -> OpeningProtocol:
        protocol = OpeningProtocol(request, choice, self._limits)
        if target.uds is not None:
            await net.create_unix_connection(lambda: protocol, target.uds)
            return protocol
        tls: dict[str, Any] = {}
        if target.secure:
            context = self._ssl or _default_context(choice)
            if self._http2:
                context.set_alpn_protocols(ALPN[choice])
            name = self._server_hostname if target.host == self._target.host else None
            tls = {"ssl": context, "server_hostname": name or target.host}
        sock = self._sock
        if sock is None:
            proxy = find_proxy(self._proxy, target)
            if proxy is None:
                sock = await net.connect_socket(target.host, target.port)
            else:
                sock = await connect_through(proxy, target, self._limits)
        try:
            await net.create_connection(lambda: protocol, sock=sock, **tls)
        except BaseException as error:
            # The transport goes first: it is still registered for the socket if this was cancelled
            # when TLS had just been agreed.
            if protocol.transport is not None:
                protocol.transport.abort()
            sock.close()
            if isinstance(error, ssl_module.SSLError):
                raise tls_error(error) from error.__cause__
            raise
        return protocol

    # --- the three ways to use it -------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Session]:
        return self._open().__await__()

    async def __aenter__(self) -> Session:
        self._session = await self._open()
        return self._session

    async def __aexit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        for session in (self._session, self._take_fresh()):
            if session is not None:
                await finish(session, error)

    def __aiter__(self) -> AsyncIterator[Session]:
        self._iterates = True
        self._waits = Waits(self._backoff)
        return reconnect(self._open, self._take_fresh, self._waits)
