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
from typing import TYPE_CHECKING, Any, ClassVar, cast
from weakref import WeakKeyDictionary

import uvicorn
from uvicorn.protocols.utils import (
    get_client_addr,
    get_local_addr,
    get_path_with_query_string,
    get_remote_addr,
    is_ssl,
)

from wsext.app.application import Application
from wsext.config.applying import apply, plugins_of
from wsext.config.sources import read_config
from wsext.errors import HandshakeRejected
from wsext.integrations.asgi import (
    ClientDisconnected,
    Conversation,
    RawHeaders,
    State,
    build_scope,
    describe,
    response_head,
)
from wsext.integrations.options import session_options
from wsext.protocol import handshake
from wsext.protocol.agreement import NegotiationContext
from wsext.protocol.http import Request, RequestReader, Response, rejection
from wsext.protocol.negotiation import find_missing
from wsext.runtime.life import life_of
from wsext.runtime.session import Session
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.installed import Installed
from wsext.server.limits import Sweep

if TYPE_CHECKING:
    from uvicorn.server import ServerState

__all__ = ["Protocol", "WebSocketProtocol"]

logger = logging.getLogger("uvicorn.error")

_DEFLATE = "permessage-deflate"


class WebSocketProtocol(asyncio.Protocol):
    """One upgraded connection, from uvicorn's hand-over until the handshake is answered; from then
    on the connection is the session's. Make a class for your settings with `using`."""

    #: What is installed, and the options of sessions.
    settings: ClassVar[Application]
    _explicit: ClassVar[frozenset[str]]
    _profiles: ClassVar[WeakKeyDictionary[uvicorn.Config, tuple[WebSocketOptions, Installed]]]
    _sweeps: ClassVar[WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep]]

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
        chosen = frozenset(settings.options.changed()) | frozenset(explicit)
        members = {"settings": settings, "_explicit": chosen, "__doc__": cls.__doc__}
        caches: dict[str, Any] = {"_profiles": WeakKeyDictionary(), "_sweeps": WeakKeyDictionary()}
        return type(cls.__name__, (cls,), {**members, **caches})

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
        limits = self.settings.server_options
        self._max_early = limits.max_header_size
        self._reader: RequestReader | None = RequestReader(
            max_size=limits.max_header_size, max_count=limits.max_header_count
        )
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
        task = self._loop.create_task(self._run(request))
        self._state.tasks.add(task)
        task.add_done_callback(self._state.tasks.discard)

    def eof_received(self) -> None:
        """The client has gone; the transport closes itself."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The client went away before the handshake was answered, or after it was denied."""
        if self._conversation is not None:
            self._conversation.lose()
        self._writable.set()
        self.released()

    def pause_writing(self) -> None:
        """The client reads a denial too slowly."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The client has read enough of it."""
        self._writable.set()

    def released(self) -> None:
        """The connection is gone."""
        self._state.connections.discard(cast("Any", self))

    def shutdown(self) -> None:
        """uvicorn shuts down: close the session with 1012, refuse what is not one yet with 503."""
        conversation = self._conversation
        if conversation is None or conversation.state is State.CONNECTING:
            self._reject(Response(503, "the server is shutting down\n", {"Retry-After": "5"}))
        elif conversation.state is State.DENYING:
            self.transport.close()
        else:
            conversation.shut_down_now()

    # --- the handshake ------------------------------------------------------------------------

    async def _run(self, request: Request) -> None:
        """Negotiate, then run the application until it returns."""
        self._scope = {
            **build_scope(request, self._config.root_path),
            "asgi": {"version": self._config.asgi_version, "spec_version": "2.4"},
            "scheme": "wss" if is_ssl(self.transport) else "ws",
            "server": get_local_addr(self.transport),
            "client": get_remote_addr(self.transport),
            "state": self._app_state.copy(),
        }
        try:
            session = await self._negotiate(request)
        except HandshakeRejected as error:
            self._reject(rejection(error))
            return
        except Exception:
            logger.exception("Answering a WebSocket handshake failed\n")
            self._reject(_internal_error())
            return
        if isinstance(session, Response):
            self._reject(session)
            return
        conversation = self._conversation = Conversation(session, self)
        self._scope["extensions"]["wsext"] = describe(session)
        if self.transport.is_closing():
            conversation.lose()
        try:
            await self._run_app(conversation)
        finally:
            await life_of(session).release()
            if not conversation.accepted:
                session.negotiation.close()

    async def _negotiate(self, request: Request) -> Session | Response:
        """A session that can be accepted, or a plugin's refusal.

        Raises:
            HandshakeRejected: If the handshake cannot be accepted.
        """
        handshake.check_upgrade(request)
        options, installed = self._profile()
        handshake.check_origin(request, options.origins)
        request.secure = self._scope["scheme"] == "wss"
        client = self._scope["client"]
        request.remote = None if client is None else _address(*client)
        refusal = await installed.handshake(request)
        if refusal is not None:
            return refusal
        ctx = NegotiationContext("server", options.max_message_size, request)
        negotiation = installed.negotiate(
            request,
            ctx,
            prefer=options.prefer,
            max_offers=self.settings.server_options.max_offers,
        )
        missing = find_missing(installed.required, negotiation)
        if missing is not None:
            negotiation.close()
            raise HandshakeRejected(400, f"the extension {missing} is required here")
        return Session(
            "server",
            request,
            options=options,
            installed=installed,
            negotiation=negotiation,
        )

    async def _run_app(self, conversation: Conversation) -> None:
        try:
            result = await self._config.loaded_app(
                cast("Any", self._scope),
                cast("Any", conversation.receive),
                cast("Any", conversation.send),
            )
        except asyncio.CancelledError:
            self.transport.abort()
            raise
        except ClientDisconnected:
            pass
        except Exception:
            logger.exception("Exception in ASGI application\n")
        else:
            if conversation.state is State.CONNECTING and not conversation.lost:
                logger.error("ASGI callable returned without completing handshake.")
            elif result is not None:
                logger.error("ASGI callable should return None, but returned '%s'.", result)
        if conversation.state is State.CONNECTING:
            self._reject(_internal_error())
        else:
            await conversation.end()

    def _profile(self) -> tuple[WebSocketOptions, Installed]:
        """The options and extensions under this uvicorn's own options."""
        profile = self._profiles.get(self._config)
        if profile is None:
            installed = self.settings.installed
            if not self._config.ws_per_message_deflate:
                others = [item.name for item in installed.extensions if item.name != _DEFLATE]
                installed = installed.subset(others)
            options = session_options(self._config, self.settings.options, self._explicit)
            profile = self._profiles[self._config] = options, installed
        return profile

    # --- answers ------------------------------------------------------------------------------

    def accept(self, subprotocol: str | None, headers: RawHeaders) -> None:
        """Answer with 101 and give the connection to the session."""
        conversation, request = self._conversation, self._request
        assert conversation is not None
        assert request is not None
        session = conversation.session
        session.subprotocol = subprotocol
        own = handshake.accept_headers(
            request, subprotocol=subprotocol, extensions=session.negotiation.header
        )
        raw = [(name.encode(), value.encode()) for name, value in own.items()]
        head = response_head(101, [*raw, *self._state.default_headers, *headers])
        if self.transport.is_closing():
            conversation.lose()
            return
        self._log("[accepted]")
        self.transport.write(head)
        life_of(session).add_callback(lambda info: self.released())
        life_of(session).start(self.transport, bytes(self._early))
        self._early.clear()
        self._watch(session)

    def _watch(self, session: Session) -> None:
        """Keep the limits that are looked at now and then."""
        sweep = self._sweeps.get(self._loop)
        if sweep is None:
            sweep = self._sweeps[self._loop] = Sweep(self._loop, self._limited)
        sweep.add(session)
        life_of(session).add_callback(lambda info: sweep.remove(session))

    def _limited(self, limit: str, session: Session) -> None:
        logger.warning("session %s from %s: %s", session.id, session.request.remote, limit)
        self.settings.installed.limited(limit, session.request)

    def answering(self, status: int) -> None:
        """Log a denial."""
        self._log(status)

    async def write(self, data: bytes) -> None:
        """Write a part of a denial; wait while the client reads too slowly.

        Raises:
            ClientDisconnected: If the client is gone.
        """
        self.transport.write(data)
        await self._writable.wait()
        if self.transport.is_closing():
            raise ClientDisconnected("the client is gone")

    def finish(self) -> None:
        """Close the connection after what is written."""
        self.transport.close()

    def _reject(self, response: Response) -> None:
        if not self.transport.is_closing():
            self.transport.write(response.serialize())
            self._log(response.status)
            self.transport.close()

    def _log(self, outcome: int | str) -> None:
        """One line per handshake, as uvicorn's other protocols write it; and tell the hooks."""
        status = outcome if isinstance(outcome, int) else 101
        self.settings.installed.answered(self._request, status)
        if not self._scope:
            logger.info("malformed WebSocket handshake %s", outcome)
            return
        scope = cast("Any", self._scope)
        address, path = get_client_addr(scope), get_path_with_query_string(scope)
        logger.info('%s - "WebSocket %s" %s', address, path, outcome)


# --- the environment ---------------------------------------------------------------------------


def protocol_from_environment() -> type[WebSocketProtocol]:
    """The class for ``wsext.toml`` and ``WSEXT_*``; every installed wire extension is turned on, as
    ``wsext serve`` does it.

    Raises:
        OptionError: For an option that cannot be used.
        PluginError: For an extension or option set that was asked for and cannot be used.
    """
    conf = read_config(None)
    settings = Application()
    apply(conf, settings, plugins_of(conf))
    return WebSocketProtocol.using(settings, explicit=conf.sections["websocket"])


if TYPE_CHECKING:
    Protocol = WebSocketProtocol


def __getattr__(name: str) -> Any:
    if name != "Protocol":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()["Protocol"] = protocol_from_environment()
    return value


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _internal_error() -> Response:
    return Response(500, "Internal Server Error")
