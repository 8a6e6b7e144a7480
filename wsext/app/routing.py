"""Routes: which handler answers which path, and with which options.

The rules and converters are werkzeug's (`werkzeug.routing`): ``/chat/<room>``, ``/user/<int:id>``,
``/files/<path:rest>``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeAlias, TypeVar
from urllib.parse import urlsplit

import msgspec
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import BaseConverter, Map, RequestRedirect, Rule
from werkzeug.routing.exceptions import WebsocketMismatch

from wsext.app.handlers import as_listener, check_arguments, check_guards, check_kind, describe
from wsext.app.lifespan import Lifespan, check_lifespan
from wsext.app.typed import as_dispatcher, as_handler
from wsext.errors import HandshakeRejected, RouteError
from wsext.protocol.http import Request, Response
from wsext.runtime.listener import Listener
from wsext.runtime.settings import WebSocketOptions
from wsext.sdk.values import as_list

__all__ = ["PLACEHOLDER", "Route", "RouteTable", "Router"]

#: A parameter in a rule: ``<name>``, ``<converter:name>`` or ``<converter(arguments):name>``.
PLACEHOLDER = re.compile(r"<(?:(?P<converter>\w+)(?P<arguments>\(.*?\))?:)?(?P<name>\w+)>")

#: What routes of HTTP may answer.
_METHODS = ("GET", "HEAD", "POST")

#: Rules that mean themselves, and no other path.
_PLAIN = re.compile(r"(/[\w.~-]+)*/?", re.ASCII)

Guard: TypeAlias = "Callable[[Request], Any]"

H = TypeVar("H", bound="Callable[..., Any] | type[Listener]")
L = TypeVar("L", bound=Lifespan)


@dataclass(frozen=True, eq=False)
class Route:
    """One rule with its handler.

    Attributes:
        path: The rule.
        handler: A coroutine function or a `Listener` class; for ``http`` any function.
        kind: ``"websocket"``, ``"raw"`` or ``"http"``.
        subprotocols: In the server's order of preference.
        options: The route's own options, or the fields that differ from the app's.
        extensions: ``None`` for the app's, ``False`` for none, or those to use here.
        guards: Called with the request before it is accepted, in this order.
        methods: What ``http`` answers.
    """

    path: str
    handler: Callable[..., Any]
    kind: str = "websocket"
    subprotocols: tuple[str, ...] = ()
    options: WebSocketOptions | Mapping[str, Any] | None = None
    extensions: tuple[Any, ...] | Mapping[str, Any] | bool | None = None
    guards: tuple[Guard, ...] = field(default=())
    methods: tuple[str, ...] = ("GET", "HEAD")

    def hides(self, other: Route) -> bool:
        """Whether both answer the same requests."""
        return self.shape == other.shape and not {*self.methods}.isdisjoint(other.methods)

    @cached_property
    def listener(self) -> type[Listener] | None:
        """The handler, if it is a `Listener` class."""
        return as_listener(self.handler)

    @cached_property
    def shape(self) -> tuple[bool, str]:
        """Equal for routes that answer the same paths: whether HTTP, and the rule without the names
        of its parameters."""

        def unnamed(found: re.Match[str]) -> str:
            converter = found["converter"] or "default"
            if converter == "string":
                converter = "default"
            return f"<{converter}{found['arguments'] or ''}>"

        return self.kind == "http", PLACEHOLDER.sub(unnamed, self.path)


class Router:
    """A group of routes that can be included in an app or another router.

    Args:
        prefix: Put before every path, for example ``/api``.
        guards: Called with the request before any of these routes is accepted; a guard returns
            ``None`` to let it pass, or a `Response`, or raises `HandshakeRejected`.
    """

    def __init__(self, prefix: str = "", *, guards: Iterable[Guard] = ()) -> None:
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ValueError(f"a prefix starts with a slash and does not end with one: {prefix!r}")
        self.prefix = prefix
        self.guards = tuple(guards)
        self.routes: list[Route] = []
        self.lifespans: list[Lifespan] = []

    def websocket(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        options: WebSocketOptions | Mapping[str, Any] | None = None,
        extensions: Iterable[Any] | bool | None = None,
        guards: Iterable[Guard] = (),
    ) -> Callable[[H], H]:
        """Decorate a coroutine function ``handler(session, **path_params)``, a `Listener` or a
        `Dispatcher` class, or a function that is marked with `on`.

        Args:
            path: The rule, for example ``/chat/<room>``.
            subprotocols: What the route speaks, in the server's order of preference. A client that
                offers none of them is refused with 400; one that offers nothing is accepted. By
                default those of the `Dispatcher`.
            options: A whole `WebSocketOptions`, or only the fields that differ from the app's.
            extensions: ``False`` for none, or tokens and configured extensions, or a mapping of
                tokens to options; by default the app's.
            guards: Called with the request before it is accepted.
        """
        return self._decorator(
            Route(
                path,
                _nothing,
                "websocket",
                as_list("subprotocols", subprotocols),
                options,
                _as_extensions(extensions),
                tuple(guards),
            )
        )

    def websocket_raw(
        self,
        path: str,
        *,
        negotiate_extensions: bool = False,
        subprotocols: Sequence[str] = (),
        options: WebSocketOptions | Mapping[str, Any] | None = None,
        guards: Iterable[Guard] = (),
    ) -> Callable[[H], H]:
        """Decorate a handler that takes frames as they are.

        There is no reassembly, no automatic pong and no closing handshake; the connection ends
        when the handler returns. With ``negotiate_extensions`` the agreed codecs still transform
        the frames.
        """
        extensions = None if negotiate_extensions else False
        spoken = as_list("subprotocols", subprotocols)
        return self._decorator(
            Route(path, _nothing, "raw", spoken, options, extensions, tuple(guards))
        )

    def http(
        self, path: str, *, methods: Iterable[str] = ("GET",), guards: Iterable[Guard] = ()
    ) -> Callable[[H], H]:
        """Decorate ``handler(request, **path_params)`` for small answers, and small forms.

        It may be sync or async and returns a `Response`, text, bytes, or what becomes JSON.

        Args:
            path: The rule, for example ``/login``.
            methods: ``GET``, which answers HEAD, too, and ``POST``. A POST is answered as a
                handshake is: it counts for ``handshake_rate``, its page has to be one of
                `WebSocketOptions.origins`, and then the guards are asked. Only then its body is
                read: ``request.body``, ``request.form``.
            guards: Called with the request before it is answered.

        Raises:
            ValueError: For another method.
        """
        wanted = {*as_list("methods", methods)}
        if not wanted or wanted - {*_METHODS}:
            others = ", ".join(sorted(wanted - {*_METHODS})) or "no method"
            raise ValueError(
                f"methods are GET, HEAD and POST, not {others}: write an ASGI app for what needs"
                " more"
            )
        wanted |= {"HEAD"} if "GET" in wanted else set()
        spoken = tuple(method for method in _METHODS if method in wanted)
        return self._decorator(Route(path, _nothing, "http", guards=tuple(guards), methods=spoken))

    def lifespan(self, function: L) -> L:
        """Decorate ``async def function(app)`` with one ``yield`` in it, or what
        `contextlib.asynccontextmanager` has made of one.

        What stands before the ``yield`` runs in every process before its first connection comes,
        and what stands behind it after the last handler has ended. Of several, the first one begins
        first and ends last. If one raises before its ``yield``, the server does not start.

        Raises:
            TypeError: If the function is another one.
            RuntimeError: If the app runs already.
        """
        check_lifespan(function)
        if function not in self.lifespans:
            self.lifespans.append(function)
        return function

    def _decorator(self, route: Route) -> Callable[[H], H]:
        if not route.path.startswith("/"):
            raise ValueError(f"a path starts with a slash: {route.path!r}")

        def decorate(handler: H) -> H:
            dispatcher = as_dispatcher(handler)
            if dispatcher is not None and route.kind == "websocket":
                subprotocols = route.subprotocols or tuple(dispatcher.subprotocols)
                self.add_route(
                    replace(route, handler=as_handler(dispatcher), subprotocols=subprotocols)
                )
                return handler
            check_kind(route.kind, handler)
            self.add_route(replace(route, handler=handler))
            return handler

        return decorate

    def add_route(self, route: Route) -> None:
        """Add a route under this router's prefix, behind its guards.

        Raises:
            RouteError: If another route answers the same requests.
        """
        route = replace(route, path=self.prefix + route.path, guards=self.guards + route.guards)
        for other in self.routes:
            if other.hides(route):
                both = f"{describe(other.handler)} and {describe(route.handler)}"
                where = "this path" if other.path == route.path else f"the paths of {other.path}"
                raise RouteError(route.path, f"{both} both answer {where}; remove one of them")
        self.routes.append(route)

    def include(self, router: Router, prefix: str = "") -> None:
        """Add all routes of another router, with a prefix before its own; and its lifespans."""
        for function in router.lifespans:
            self.lifespan(function)
        for route in router.routes:
            self.add_route(replace(route, path=prefix + route.path))


def _nothing() -> None:
    """Stands in a route until its handler is known."""


def _as_extensions(
    value: Iterable[Any] | bool | None,
) -> tuple[Any, ...] | Mapping[str, Any] | bool | None:
    if value is None or value is True:
        return None
    if value is False or isinstance(value, Mapping):
        return value
    return as_list("extensions", value)


class RouteTable:
    """Finds the route of a request.

    Args:
        routes: In the order of registration.
        converters: Additional werkzeug converters by name.

    Raises:
        RouteError: If a handler or a guard does not take what its route gives.
    """

    def __init__(
        self, routes: Iterable[Route], converters: Mapping[str, type[BaseConverter]] | None = None
    ) -> None:
        rules = [
            Rule(
                route.path,
                endpoint=route,
                methods=route.methods if route.kind == "http" else None,
                websocket=route.kind != "http",
            )
            for route in routes
        ]
        self._map = Map(
            rules,
            converters=dict(converters or {}),
            strict_slashes=True,
            merge_slashes=False,
            redirect_defaults=False,
        )
        #: WebSocket routes without parameters, which werkzeug finds before any other, where no page
        #: has the same path.
        self._plain: dict[str, Route] = {}
        for rule in rules:
            route = rule.endpoint
            if rule.websocket and _PLAIN.fullmatch(route.path) and not self._has_page(route.path):
                self._plain[route.path] = route
            params = sorted(rule.arguments, key=route.path.index)
            check_arguments(route.path, route.kind, route.handler, params)
            check_guards(route.path, route.guards)

    def _has_page(self, path: str) -> bool:
        try:
            self._map.bind("localhost").match(path, method="GET", websocket=False)
        except WebsocketMismatch:
            return False
        except MethodNotAllowed:  # one for POST only
            pass
        return True

    def match(self, request: Request) -> tuple[Route, dict[str, Any]]:
        """The route of a request and what its converters took from the path.

        Raises:
            HandshakeRejected: 404, 405 or a redirect.
        """
        plain = self._plain.get(request.target.partition("?")[0])
        if plain is not None:
            return plain, {}
        # Routes do not depend on the Host header, which may hold anything.
        adapter = self._map.bind(
            "localhost", path_info=request.path, query_args=request.query_string
        )
        try:
            return self._match(adapter, request, request.is_upgrade)
        except WebsocketMismatch:
            # A plain GET on a WebSocket route gets the 426 of `check_upgrade`.
            if request.is_upgrade:
                raise HandshakeRejected(404, "no WebSocket here") from None
            return self._match(adapter, request, True)

    def _match(self, adapter: Any, request: Request, websocket: bool) -> tuple[Route, Any]:
        try:
            route, params = adapter.match(
                method="GET" if websocket else request.method, websocket=websocket
            )
        except NotFound:
            raise HandshakeRejected(404, "nothing here") from None
        except MethodNotAllowed as error:
            allowed = ", ".join(sorted(error.valid_methods or ()))
            raise HandshakeRejected(405, f"allowed: {allowed}", {"Allow": allowed}) from None
        except RequestRedirect as redirect:
            where = urlsplit(redirect.new_url)._replace(scheme="", netloc="").geturl()
            raise HandshakeRejected(redirect.code, "", {"Location": where}) from None
        return route, params


def as_response(result: Any) -> Response:
    """What an ``http`` handler returned, as a response.

    Raises:
        TypeError: If it cannot be encoded.
    """
    if isinstance(result, Response):
        return result
    if isinstance(result, (str, bytes)):
        return Response(body=result)
    return Response(body=msgspec.json.encode(result), content_type="application/json")
