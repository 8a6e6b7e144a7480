"""uvicorn with this engine: ``uvicorn --ws wsext.integrations.uvicorn:Protocol module:app``.

Any ASGI application then negotiates every installed wire extension. `Protocol` goes by
``wsext.toml`` (or the file that ``WSEXT_CONFIG`` names) and by ``WSEXT_*``, read when uvicorn looks
it up, so that a mistake in them stops the server at its start. To configure in code instead::

    settings = wsext.App()
    settings.install("permessage-zstd", level=9)
    uvicorn.run(app, ws=WebSocketProtocol.using(settings))
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, cast

import uvicorn
from uvicorn.protocols.utils import (
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)
from uvicorn.server import ServerState

from wsext.app.application import Application
from wsext.errors import CloseInfo, HandshakeRejected
from wsext.escape import escape
from wsext.integrations.asgi import (
    AppState,
    ClientDisconnected,
    Conversation,
    build_scope,
    describe,
)
from wsext.integrations.denial import RawHeaders, response_head
from wsext.integrations.options import Profiles, settings_from_environment
from wsext.protocol.handshake import accept_headers
from wsext.protocol.heads import RequestReader
from wsext.protocol.http import Request, Response, rejection
from wsext.runtime.drive import driven
from wsext.runtime.life import life_of
from wsext.runtime.loop import start
from wsext.runtime.patience import close_rest
from wsext.runtime.session import Session
from wsext.runtime.timers import Timers
from wsext.server.admission import Admission
from wsext.server.decision import Acceptance, decide

__all__ = ["Protocol", "WebSocketProtocol"]

logger = logging.getLogger("uvicorn.error")


class WebSocketProtocol(asyncio.Protocol):
    """One upgraded connection, from uvicorn's hand-over until the handshake is answered; from then
    on the connection is the session's. Make a class for your settings with `using`."""

    #: What is installed, and the options of sessions. Its rooms are there for the application, too.
    settings: ClassVar[Application]
    #: What runs pings and timeouts; ``None`` is the event loop.
    timers: ClassVar[Timers | None] = None
    _profiles: ClassVar[Profiles]

    @classmethod
    def using(
        cls, settings: Application, explicit: Collection[str] = ()
    ) -> type[WebSocketProtocol]:
        """A protocol class for uvicorn's ``ws`` option.

        Args:
            settings: Extensions, interceptors and options are taken from it, routes are not.
            explicit: Names of options that were set although they have wsext's default value.
                Options that were set, and those that differ from wsext's defaults, are preferred
                to uvicorn's defaults.
        """
        profiles = Profiles(settings, explicit, logger)
        members = {"settings": settings, "_profiles": profiles, "__doc__": cls.__doc__}
        return type(cls.__name__, (cls,), members)

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        if not config.loaded:
            config.load()
        self._config = config
        self._state = server_state
        self._app_state = app_state
        self._loop = _loop or asyncio.get_running_loop()
        self._timers: Timers = self.timers or self._loop
        limits = self.settings.server_options
        self._max_early = limits.max_header_size
        self._reader: RequestReader | None = RequestReader(
            max_size=limits.max_header_size, max_count=limits.max_header_count
        )
        self._admission: Admission
        self._timeout: Any = None
        self._deciding: asyncio.Task[None] | None = None  # until the application is asked
        self._early = bytearray()  # frames that came before the handshake was answered
        self._scope: dict[str, Any] = {}
        self._request: Request | None = None
        self._conversation: Conversation | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self.transport: asyncio.Transport

    # --- the transport ------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """uvicorn hands over a connection."""
        self.transport = cast("asyncio.Transport", transport)
        self._state.connections.add(cast("Any", self))
        self._admission = self._profiles.admit(self._config, transport.get_extra_info("peername"))
        self._start_timeout()

    def data_received(self, data: bytes) -> None:
        """Read the request, which uvicorn writes out again, and start the application."""
        if self._reader is None:
            self._early += data
            if len(self._early) > self._max_early and not self.transport.is_closing():
                self.transport.pause_reading()
            return
        try:
            request = self._reader.feed(data)
            if request is None:
                return
            if not request.target.isascii():
                raise HandshakeRejected(400, "the request target is not ASCII")
        except HandshakeRejected as error:
            self._reader = None
            self._reject(rejection(error))
            return
        self._early += self._reader.take_rest()
        self._reader = None
        self._request = request
        task = self._deciding = start(self._loop, self._run(request))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def eof_received(self) -> None:
        """The client has gone; the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away before the handshake was answered, or after it was denied."""
        if self._conversation is not None:
            self._conversation.lose()
        elif self._deciding is not None:
            self._deciding.cancel()
        self._stop_timeout()
        self._writable.set()
        self._forget()

    def pause_writing(self) -> None:
        """The client reads a denial too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read enough of it."""
        self._writable.set()

    def _start_timeout(self) -> None:
        """Drop the connection if what comes next takes too long."""
        self._stop_timeout()
        self._timeout = self._timers.call_later(
            self.settings.server_options.handshake_timeout, self.transport.abort
        )

    def _stop_timeout(self) -> None:
        if self._timeout is not None:
            self._timeout.cancel()
            self._timeout = None

    def _forget(self) -> None:
        """The connection is gone."""
        self._conversation = None  # it refers to this object, too
        self._state.connections.discard(cast("Any", self))
        self._profiles.release(self._admission, self._timers)

    def shutdown(self) -> None:
        """uvicorn shuts down: close the session with 1012, refuse what is not one yet with 503."""
        conversation = self._conversation
        if conversation is None or conversation.state is AppState.CONNECTING:
            self._reject(Response(503, "the server is shutting down\n", {"Retry-After": "5"}))
        elif conversation.state is AppState.DENYING:
            self.transport.close()
        else:
            conversation.shut_down_now()

    # --- the handshake ------------------------------------------------------------------------

    async def _run(self, request: Request) -> None:
        """Decide about the handshake; unless it is refused, run the application to its end."""
        self._scope = {
            **build_scope(request, self._config.root_path),
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if is_ssl(self.transport) else "ws",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "state": self._app_state.copy(),
        }
        request.secure = self._scope["scheme"] == "wss"
        request.transport = self.transport
        self._admission.complete(request)
        try:
            session = await self._decide(request)
        except Exception:
            logger.exception("Answering a WebSocket handshake failed\n")
            session = _failed()
        if isinstance(session, Response):
            self._reject(session)
        elif session is not None:
            await self._converse(session)

    async def _decide(self, request: Request) -> Session | Response | None:
        """A session that the application may accept, or a refusal; ``None`` if a session goes on
        that it has accepted before."""
        try:
            self._profiles.hosts(self._config).check(request)
        except HandshakeRejected as error:
            return rejection(error)
        terms = replace(self._profiles.terms(self._config), check_place=self._admission.check)
        decision = await decide(request, terms)
        if isinstance(decision, Response):
            return decision
        try:
            if decision.session is not None:
                if self.transport.is_closing():
                    await close_rest(decision.negotiation.close(), terms.options)
                else:
                    self._resume(decision.session, request, decision)
                return None
            return Session(
                "server",
                request,
                options=terms.options,
                installed=terms.installed,
                negotiation=decision.negotiation,
                timers=self.timers,
            )
        except BaseException:
            await close_rest(decision.negotiation.close(), terms.options)
            raise

    async def _converse(self, session: Session) -> None:
        """Run the application, which accepts the handshake or denies it."""
        conversation = self._conversation = Conversation(session, self)
        self._scope["extensions"]["wsext"] = describe(session)
        if self.transport.is_closing():
            conversation.lose()
        try:
            await self._run_app(conversation)
        finally:
            await life_of(session).release()
            if not conversation.accepted:
                await close_rest(session.negotiation.close(), session.options)

    async def _run_app(self, conversation: Conversation) -> None:
        failed = False
        try:
            result = await driven(
                self._config.loaded_app(
                    cast("Any", self._scope),
                    cast("Any", conversation.receive),
                    cast("Any", conversation.send),
                )
            )
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except ClientDisconnected:
            pass
        except Exception:
            failed = True
            logger.exception("Exception in ASGI application\n")
        else:
            if conversation.state is AppState.CONNECTING and not conversation.lost:
                logger.error("ASGI callable returned without completing handshake.")
            elif result is not None:
                logger.error("ASGI callable should return None, but returned '%s'.", result)
        if conversation.state is AppState.CONNECTING:
            self._reject(_failed())
        else:
            await conversation.end(failed)

    # --- answers ------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None, headers: RawHeaders) -> None:
        """Answer with 101 and give the connection to the session."""
        conversation, request = self._conversation, self._request
        assert conversation is not None
        assert request is not None
        session = conversation.session
        session.subprotocol = subprotocol
        if self.transport.is_closing():
            conversation.lose()
            return
        self._answer(request, Acceptance(session.negotiation, subprotocol), headers)
        self._start(session)

    def _answer(self, request: Request, acceptance: Acceptance, headers: RawHeaders) -> None:
        header = acceptance.negotiation.header
        own = accept_headers(request, subprotocol=acceptance.subprotocol, extensions=header)
        raw = [(name.encode(), value.encode()) for name, value in own.items()]
        head = response_head(101, [*raw, *self._state.default_headers, *headers])
        self._stop_timeout()
        self._log("[accepted]")
        self.transport.write(head)

    def _start(self, session: Session) -> None:
        life = life_of(session)
        sweep = self._profiles.sweep(self._timers)
        sweep.add(session)
        self._profiles.enter(session, self._admission)
        life.on_detached = partial(self._profiles.leave, timers=self._timers)

        def ended(info: CloseInfo) -> None:
            sweep.remove(session)
            self._profiles.leave(session, self._timers)
            self._forget()

        life.add_callback(ended)
        life.start(self.transport, bytes(self._early))
        self._early.clear()

    def _resume(self, session: Session, request: Request, acceptance: Acceptance) -> None:
        """Go on with a session, for the application that has accepted it."""
        negotiation = acceptance.negotiation
        journal = negotiation.journal
        assert journal is not None  # or no session would have been found
        self._answer(request, acceptance, [])
        # uvicorn goes on counting the connection on which the application has accepted it.
        self._state.connections.discard(cast("Any", self))
        self._profiles.enter(session, self._admission)
        life = life_of(session)
        rest = bytes(self._early)
        life.resume(request, negotiation, self.transport, rest, journal.peer_received or 0)

    def answering(self, status: int) -> None:
        """Log a denial."""
        self._stop_timeout()
        self._log(status)

    async def write(self, data: bytes) -> None:
        """Write a part of a denial; wait while the client reads too slowly.

        Raises:
            ClientDisconnected: If the client is gone.
        """
        self.transport.write(data)
        if not self._writable.is_set():
            self._start_timeout()
            await self._writable.wait()
            self._stop_timeout()
        if self.transport.is_closing():
            raise ClientDisconnected("the client is gone")

    def finish(self) -> None:
        """Close the connection when the client has read what is written."""
        self._start_timeout()
        self.transport.close()

    def _reject(self, response: Response) -> None:
        if not self.transport.is_closing():
            self.transport.write(response.serialize())
            self._log(response.status)
            self.finish()

    def _log(self, outcome: int | str) -> None:
        """One line per handshake, as uvicorn's other protocols write it; and tell the hooks."""
        status = outcome if isinstance(outcome, int) else 101
        if self._admission.limit and status != 101:
            self.settings.installed.limited(self._admission.limit, self._request)
        self.settings.installed.answered(self._request, status)
        if not self._scope:
            logger.info("malformed WebSocket handshake %s", outcome)
            return
        scope = cast("Any", self._scope)
        address, path = get_client_addr(scope), get_path_with_query_string(scope)
        if self._request is not None and self._request.refused:
            outcome = f"{outcome}: {escape(self._request.refused)}"
        logger.info('%s - "WebSocket %s" %s', address, path, outcome)


def _failed() -> Response:
    """As uvicorn's own protocols say it."""
    return Response(500, "Internal Server Error")


if TYPE_CHECKING:
    Protocol = WebSocketProtocol


def __getattr__(name: str) -> Any:
    if name != "Protocol":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return globals().setdefault("Protocol", WebSocketProtocol.using(*settings_from_environment()))
