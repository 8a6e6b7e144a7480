"""The application: what is installed, which routes there are, how exceptions end a session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from typing import Any, TypeVar

from werkzeug.routing import BaseConverter

from wsext.app.lifespan import AppLife, Lifespan, TypedState
from wsext.app.routing import Guard, L, Route, Router, RouteTable
from wsext.app.settings import ServerOptions
from wsext.escape import get_logger
from wsext.protocol.closing import is_sendable_code
from wsext.protocol.http import Request
from wsext.rooms.backplanes.contract import Backplane
from wsext.rooms.backplanes.urls import make_backplane
from wsext.rooms.hub import Hub
from wsext.rooms.room import Room
from wsext.rooms.settings import RoomOptions
from wsext.runtime.outcome import usual_outcome
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.installed import Installed
from wsext.sdk.options import NamedOptionSet
from wsext.sdk.plugins import Plugins

__all__ = ["Application"]

logger = get_logger("wsext.app")

T = TypeVar("T")


class Application(Router):
    """A WebSocket application: what is installed, its routes and its rooms.

    Args:
        options: The options of every session; routes may change them.
        server: The options of the server that runs it.
        prefer: Whose order decides between extensions: ``"client"`` or ``"server"``; short for
            the field of `WebSocketOptions`.
        plugins: Where extension tokens are looked up; by default the environment's entry points.
        converters: Additional werkzeug path converters by name.
        guards: Called with every request before it is accepted.
        rooms: The options of rooms.
        backplane: What joins the rooms with those of other processes: a URL, short for the field
            of `ServerOptions`, or a `Backplane`. By default the rooms are this process's own.
        lifespan: Short for `lifespan`, of one function.

    Attributes:
        state: What lifespans have made for handlers, by its class:
            ``app.state[Database] = database``. Handlers find the app in ``session.request.app``.
    """

    def __init__(
        self,
        *,
        options: WebSocketOptions | Mapping[str, Any] | None = None,
        server: ServerOptions | Mapping[str, Any] | None = None,
        prefer: str | None = None,
        plugins: Plugins | None = None,
        converters: Mapping[str, type[BaseConverter]] | None = None,
        guards: Iterable[Guard] = (),
        rooms: RoomOptions | Mapping[str, Any] | None = None,
        backplane: Backplane | str | None = None,
        lifespan: Lifespan | None = None,
    ) -> None:
        super().__init__(guards=guards)
        self.options = WebSocketOptions.of(options)
        if prefer is not None:
            self.options = self.options.replace({"prefer": prefer})
        self.server_options = ServerOptions.of(server)
        self.room_options = RoomOptions.of(rooms)
        self.backplane: Backplane | None = None
        if isinstance(backplane, str):
            self.server_options = self.server_options.replace({"backplane": backplane})
        else:
            self.backplane = backplane
        self.installed = Installed(plugins)
        self._admin: Application | None = None
        self._converters = converters
        self._closers: list[tuple[type[BaseException], Callable[[BaseException], Any]]] = []
        self._profiles: dict[int, tuple[WebSocketOptions, Installed]] = {}
        self._prepared = False
        self.state = TypedState()
        if lifespan is not None:
            self.lifespan(lifespan)

    # --- installing ---------------------------------------------------------------------------

    def install(self, what: Any, /, *, required: bool = False, **options: Any) -> Any:
        """Turn on an extension, an interceptor, a named option set or any plugin.

        ``app.install("permessage-deflate", level=6)``, ``app.install(PermessageDeflate(level=6))``
        and ``app.install(option_set("low-memory"))`` all go through the same typed options.

        Args:
            what: A token, a class, a configured instance, an option set, or a pluggy plugin.
            required: Refuse handshakes (400) in which this wire extension is not agreed.
            options: Options by name.

        Returns:
            What was installed.

        Raises:
            OptionError: For a wrong option; names the extension, the field and the bound.
            PluginError: If it cannot be found or loaded, or is installed already.
            ExtensionConflict: If it can never be agreed together with another required one.
        """
        installed = self.installed.install(what, required=required, **options)
        if isinstance(installed, NamedOptionSet):
            name, websocket, rooms = installed.name, installed.websocket, installed.rooms
            self.options, self.room_options = (
                self.options.replace(websocket, owner=name),
                self.room_options.replace(rooms, owner=name),
            )
        self._profiles.clear()
        return installed

    def configure(self, token: str, /, **options: Any) -> Any:
        """Change options of an installed extension or interceptor, or install it.

        Raises:
            OptionError, PluginError: As `install`.
        """
        self._profiles.clear()
        return self.installed.configure(token, options)

    def uninstall(self, token: str) -> None:
        """Turn an extension or interceptor off; nothing happens when it is not installed."""
        self._profiles.clear()
        self.installed.remove(token)

    # --- routes -------------------------------------------------------------------------------

    def add_route(self, route: Route) -> None:
        super().add_route(route)
        self.__dict__.pop("table", None)
        if self._prepared:  # an error is due here, not at the next request
            try:
                _ = self.table
            except Exception:
                self.routes.pop()
                raise

    @cached_property
    def table(self) -> RouteTable:
        """The routes, compiled."""
        return RouteTable(self.routes, self._converters)

    def profile(self, route: Route) -> tuple[WebSocketOptions, Installed]:
        """The options and extensions in force on a route."""
        key = id(route)
        if key not in self._profiles:
            options = route.options
            if options is None:
                options = self.options
            elif not isinstance(options, WebSocketOptions):
                options = self.options.replace(options, owner=f"route {route.path}")
            installed = self.installed
            if route.extensions is not None:
                installed = installed.subset(route.extensions)
            self._profiles[key] = options, installed
        return self._profiles[key]

    def prepare(self) -> None:
        """Check everything once before serving: plugin routes, rules, handlers, options.

        Raises:
            OptionError, PluginError: If an option or extension of a route cannot be used.
            RouteError: If a handler or a guard does not take what its route gives.
        """
        if not self._prepared:
            self._prepared = True
            self.installed.add_routes(self)
        _ = self.table
        _ = self.hub.backplane
        for route in self.routes:
            self.profile(route)

    # --- lifespans and tasks ------------------------------------------------------------------

    def lifespan(self, function: L) -> L:
        if self.life.has_begun:
            raise RuntimeError("the app runs already: add its lifespans before")
        return super().lifespan(function)

    lifespan.__doc__ = Router.lifespan.__doc__

    @cached_property
    def life(self) -> AppLife:
        """The life of the app in this process; a server begins it, and ends it."""
        return AppLife(self, self.hub, self.lifespans)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run the rooms, the lifespans and the tasks of the app for a block, without a server::

            async with app.running():
                ...

        Raises:
            LifespanError: If a lifespan fails to start; at the end of the block, if a task has
                failed, or a lifespan fails to end.
        """
        user = object()
        try:
            await self.life.begin(user, lambda: None)
            yield
        finally:
            await self.life.end(user)

    def create_task(
        self, work: Coroutine[Any, Any, T], *, name: str | None = None
    ) -> asyncio.Task[T]:
        """Run a coroutine for as long as the app runs in this process.

        It is cancelled after the handlers have ended, and before the lifespans end. If it raises,
        that is logged with its name, and the servers of the app drain and end, the command with 1:
        a task that is to survive an error catches it.

        Args:
            work: The coroutine.
            name: Stands in the log.

        Raises:
            RuntimeError: If the app does not run.
        """
        return self.life.create_task(work, name)

    # --- the admin port -----------------------------------------------------------------------

    @property
    def admin(self) -> Application:
        """Where routes go that are for the operator, such as metrics: the app of the admin port, or
        this one if there is no such port."""
        return self._admin or self

    def separate_admin(self) -> None:
        """Let there be an admin port, for the routes that are made from now on.

        Its limits are those of this app. It may be asked for by any name, and has no broker.
        """
        apart = {"allowed_hosts": None, "backplane": None, "advertise": None}
        admin = self._admin = Application(server=self.server_options.replace(apart))

        @admin.http("/")
        def index(request: Request) -> str:
            """The paths that are here."""
            return "".join(f"{path}\n" for path in sorted({route.path for route in admin.routes}))

    # --- rooms --------------------------------------------------------------------------------

    @cached_property
    def hub(self) -> Hub:
        """The rooms of this process, their counters, and the status of the backplane."""
        return Hub(lambda: self.room_options, self._make_backplane)

    def _make_backplane(self) -> Backplane:
        url = self.server_options.backplane
        if url is None and self.backplane is not None:
            return self.backplane
        return make_backplane(url or "memory://", self.installed.backplanes)

    def room(self, name: str) -> Room:
        """A room: what is sent to it reaches every session in it, in this process and in all others
        on the backplane. Rooms need not be made or removed.

        Args:
            name: 1 to 255 bytes of UTF-8.

        Raises:
            ValueError: For an empty or longer name.
        """
        return self.hub.room(name)

    # --- exceptions ---------------------------------------------------------------------------

    def map_exception(
        self, kind: type[BaseException], code: int | None = None, reason: str = ""
    ) -> Any:
        """Close sessions that end by an exception of ``kind`` with a code of your choice, not 1011.

        It does not matter what raised it: the handler, a hook ``wsext_session_opened``, the
        constructor or a method of a listener, or a task of `Session.create_task`. Give the code and
        the reason, or decorate a function of the exception that returns both::

            app.map_exception(PermissionError, 4403, "forbidden")

            @app.map_exception(QuotaError)
            def quota(error):
                return 1013, f"try again in {error.wait} s"

        Raises:
            ValueError: If the code may not be sent.
        """
        if code is not None:
            if not is_sendable_code(code):
                raise ValueError(f"close code {code} may not be sent")
            fixed = (code, reason)
            self._closers.append((kind, lambda error: fixed))
            return None

        def decorate(function: Callable[[Any], Any]) -> Callable[[Any], Any]:
            self._closers.append((kind, function))
            return function

        return decorate

    def close_for(self, error: BaseException) -> tuple[int, str, bool]:
        """Code and reason for a handler's exception, and whether it was planned.

        An exception's own text is never sent.
        """
        for kind, function in reversed(self._closers):
            if isinstance(error, kind):
                try:
                    code, reason = function(error)
                    if is_sendable_code(code):
                        return code, reason, True
                    logger.error("exception mapper for %s returned %r", kind.__name__, code)
                except Exception:
                    logger.exception("exception mapper for %s failed", kind.__name__)
        return usual_outcome(error)
