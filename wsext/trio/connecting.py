"""How a program on trio opens a session as a client: `connect`."""

from __future__ import annotations

import math
import ssl as ssl_module
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any, NoReturn, cast

import trio

from wsext.client.connect import check_required, tls_error, too_late
from wsext.client.headers import HeadersChoice, RequestHeaders
from wsext.client.opening import with_hint
from wsext.client.resuming import MISSING
from wsext.client.settings import ClientLimits
from wsext.client.targets import Target
from wsext.errors import ConnectionClosed, InvalidHandshake, NegotiationError
from wsext.escape import get_logger
from wsext.protocol import handshake, negotiation
from wsext.protocol.agreement import Negotiation, NegotiationContext, Offer
from wsext.protocol.boundary import ExtensionFault
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import HTTPResponse, Request, ResponseReader, serialize_request
from wsext.runtime.settings import WebSocketOptions
from wsext.runtime.sweep import Sweep
from wsext.sdk.installed import Installed, build
from wsext.sdk.values import as_list
from wsext.trio.life import leaves_of, life_of
from wsext.trio.session import Session
from wsext.trio.streams import StreamInfo, close_after, no_resuming
from wsext.trio.waiting import TrioPatience, close_rest
from wsext.version import __version__

__all__ = ["connect"]

logger = get_logger("wsext.client")

#: Bytes of the answer that are read at once, at most.
_PIECE = 1 << 14


@cache
def _default_context() -> ssl_module.SSLContext:
    """Trusts the system's certificates. To read them takes longer than all else of connecting."""
    return ssl_module.create_default_context()


class connect:
    """Open a session for as long as a block lasts: ``async with connect(url) as session``.

    When the block ends, the session is closed: with 1000, or with 1011 if the block raises. If it
    is cancelled, the connection is dropped. What the block raises leaves it as it is, in no group.
    It can be used several times, one after the other.

    Args:
        url: ``ws://`` or ``wss://``, or ``ws+unix:/path/to/socket:/resource``. User name and
            password become HTTP Basic authorization.
        extensions: What to install and offer: tokens, configured extensions, interceptors, option
            sets; or a mapping of tokens to options.
        required: Tokens of extensions without which the session is closed with 1010.
        subprotocols: What to offer, the best first.
        headers: Additional request headers, for example authorization or cookies; or a function
            that gives them for each handshake. It may be ``async def``, and gets the URL if it
            takes an argument.
        origin: The ``Origin`` header.
        options: The options of the session.
        ssl: A TLS context for ``wss``; by default the system's certificates are trusted.
        server_hostname: The name that the certificate has to have, when it is not the URL's.
        stream: A connected stream to use. TLS is spoken on it if the URL says so.
        open_timeout: Seconds for connecting, TLS and the handshake together.
        user_agent: The ``User-Agent`` header; ``None`` for none.
        limits: How large the server's answer to the handshake may be.

    Raises:
        InvalidStatus: If the server answers with another status than 101.
        InvalidHandshake: If its answer breaks the RFC.
        NegotiationError: If its answer to the extensions does, or a required one is missing.
        OSError: If the server cannot be reached.
        PluginError: If an extension cannot be used, or keeps sessions to resume them.
        TimeoutError: After ``open_timeout``.
        ValueError: For a URL or a header that cannot be used.
    """

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
        ssl: ssl_module.SSLContext | None = None,
        server_hostname: str | None = None,
        stream: trio.abc.Stream | None = None,
        open_timeout: float | None = 10.0,
        user_agent: str | None = f"wsext/{__version__}",
        limits: ClientLimits | None = None,
    ) -> None:
        self._target = Target.parse(url)
        installed = extensions if isinstance(extensions, Installed) else build(extensions or ())
        self._installed = no_resuming(installed)
        self._required = (*installed.required, *as_list("required", required))
        self._subprotocols = as_list("subprotocols", subprotocols)
        self._headers = RequestHeaders(headers, self._target)
        self._origin = origin
        self._options = WebSocketOptions.of(options)
        self._ssl = ssl
        self._server_hostname = server_hostname
        self._stream = stream
        self._open_timeout = open_timeout
        self._user_agent = user_agent
        self._limits = limits or ClientLimits()
        self._block: AbstractAsyncContextManager[Session] | None = None

    async def __aenter__(self) -> Session:
        self._block = self._run()
        return await self._block.__aenter__()

    async def __aexit__(self, *outcome: Any) -> bool | None:
        assert self._block is not None
        return await self._block.__aexit__(*outcome)

    def __await__(self) -> NoReturn:
        raise TypeError("on trio a session belongs to a block: async with connect(url) as session")

    @asynccontextmanager
    async def _run(self) -> AsyncIterator[Session]:
        session, rest = await self._open()
        life = life_of(session)
        outcome: BaseException | None = None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(life.link.run, rest)
            try:
                yield session
            except BaseException as error:  # it leaves the nursery as it is, and in no group
                outcome = error
            try:
                await _finish(session, outcome)
            finally:
                session.abort()  # unless it has ended
                with trio.CancelScope(shield=True):
                    await session.wait_closed()
        if outcome is not None:
            try:
                raise outcome
            finally:
                del outcome  # its traceback has this frame

    # --- opening ------------------------------------------------------------------------------

    async def _open(self) -> tuple[Session, bytes]:
        seconds = math.inf if self._open_timeout is None else self._open_timeout
        with trio.move_on_after(seconds):
            return await self._shake()
        raise too_late(seconds)

    async def _shake(self) -> tuple[Session, bytes]:
        """Connect, do the handshake, and make the session; and what came with the answer."""
        offers = negotiation.make_offers(self._installed.extensions)
        check_required(self._required, offers)
        target = self._target
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
        stream = await self._connect()
        try:
            reader = ResponseReader(
                max_size=self._limits.max_header_size,
                max_count=self._limits.max_header_count,
                max_body=self._limits.max_body_size,
            )
            response = await _ask(stream, request, reader)
            subprotocol, answers = handshake.check_response(request, response, self._subprotocols)
            agreed = await self._confirm(stream, request, offers, answers)
            try:
                session = self._start(stream, request, response, subprotocol, agreed)
            except BaseException:
                await close_rest(agreed.close(), self._options)
                raise
            return session, reader.take_rest()
        except NegotiationError as error:  # for the server, the connection is open
            await close_after(stream, _code_for(error))
            raise
        except BaseException:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            raise

    async def _connect(self) -> trio.abc.Stream:
        target, stream = self._target, self._stream
        if stream is None and target.uds is not None:
            stream = await trio.open_unix_socket(target.uds)
        elif stream is None:
            stream = await trio.open_tcp_stream(target.host, target.port)
        if not target.secure:
            return stream
        secure = trio.SSLStream(
            stream,
            self._ssl or _default_context(),
            server_hostname=self._server_hostname or target.host,
            https_compatible=True,
        )
        try:
            await secure.do_handshake()
        except BaseException as error:
            with trio.CancelScope(shield=True):
                await trio.aclose_forcefully(stream)
            cause = error.__cause__
            if isinstance(error, trio.BrokenResourceError) and isinstance(cause, OSError):
                raise (
                    tls_error(cause) if isinstance(cause, ssl_module.SSLError) else cause
                ) from None
            raise
        return secure

    async def _confirm(
        self, stream: trio.abc.Stream, request: Request, offers: list[Offer], answers: list[str]
    ) -> Negotiation:
        """What was agreed.

        Raises:
            NegotiationError: If the answer cannot be used, or a required extension is missing.
        """
        options = self._options
        ctx = NegotiationContext("client", options.max_message_size, request)
        wait = TrioPatience(options.negotiation_timeout).wait
        extensions = self._installed.extensions
        agreed = await negotiation.aconfirm(offers, answers, extensions, ctx, wait=wait)
        missing = negotiation.find_missing(self._required, agreed)
        if missing is not None:
            await close_rest(agreed.close(), options)
            raise _Missing(MISSING, missing)
        return agreed

    def _start(
        self,
        stream: trio.abc.Stream,
        request: Request,
        response: HTTPResponse,
        subprotocol: str | None,
        agreed: Negotiation,
    ) -> Session:
        session = Session(
            "client",
            request,
            stream,
            options=self._options,
            installed=self._installed,
            negotiation=agreed,
            subprotocol=subprotocol,
        )
        session.response_headers = response.headers
        request.transport = StreamInfo(stream)
        life = life_of(session)
        Sweep(life.link.timers, self._installed, logger).add(cast("Any", session))
        life.open()
        return session


class _Missing(NegotiationError):
    """The server did not agree to a required extension."""


def _code_for(error: NegotiationError) -> CloseCode:
    """The close code that tells a server why its answer cannot be used."""
    if isinstance(error, _Missing):
        return CloseCode.MANDATORY_EXTENSION
    failed = isinstance(error, ExtensionFault)
    return CloseCode.INTERNAL_ERROR if failed else CloseCode.PROTOCOL_ERROR


async def _ask(stream: trio.abc.Stream, request: Request, reader: ResponseReader) -> HTTPResponse:
    """Send the request, and read the answer.

    Raises:
        InvalidHandshake: If there is none, or it breaks the RFC.
    """
    try:
        await stream.send_all(serialize_request(request))
        while data := await stream.receive_some(_PIECE):
            response = reader.feed(bytes(data))
            if response is not None:
                return response
        return cast("HTTPResponse", reader.feed_eof())
    except trio.BrokenResourceError as error:
        problem = "the connection ended before the server answered"
        failure = InvalidHandshake(problem, cut_off=True)
        failure.__cause__ = error.__cause__ or error
    except InvalidHandshake as error:
        failure = error
    raise with_hint(failure) if failure.cut_off and not request.secure else failure


async def _finish(session: Session, outcome: BaseException | None) -> None:
    """Close a session whose block has ended, as the block's outcome says."""
    if outcome is None or isinstance(outcome, GeneratorExit):
        await session.close()
        return
    leaves = list(leaves_of(outcome))
    if not all(isinstance(each, Exception) for each in leaves):
        session.abort()  # it was cancelled
    elif all(isinstance(each, ConnectionClosed) for each in leaves):
        await session.close()
    else:
        life_of(session).set_failure(leaves[0] if len(leaves) == 1 else outcome)
        await session.close(CloseCode.INTERNAL_ERROR, "client failed")
