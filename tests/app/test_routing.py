"""Routes: none hides another."""

from __future__ import annotations

import pytest

from wsext import (
    App,
    HandshakeRejected,
    Headers,
    Listener,
    Request,
    RouteError,
    Router,
    Session,
    hookimpl,
)


async def one(session: Session, **params: str) -> None: ...
async def other(session: Session, **params: str) -> None: ...
def page(request: Request) -> str: ...  # type: ignore[empty-body]


class Echo(Listener):
    """Another kind of handler."""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("/chat", "/chat"),
        ("/chat/<room>", "/chat/<room>"),
        ("/chat/<room>", "/chat/<name>"),
        ("/chat/<string:room>", "/chat/<room>"),
        ("/chat/<default:room>", "/chat/<room>"),
        ("/n/<int(min=1):number>", "/n/<int(min=1):other>"),
    ],
)
def test_two_routes_of_one_path_are_an_error_that_names_both(first: str, second: str) -> None:
    app = App()
    app.websocket(first)(one)
    with pytest.raises(RouteError, match=r"routing\.one and .*routing\.other both answer"):
        app.websocket(second)(other)
    assert [route.handler for route in app.routes] == [one]
    with pytest.raises(RouteError, match="Echo"):
        app.websocket(second)(Echo)
    with pytest.raises(RouteError):
        app.websocket_raw(second)(other)


def test_two_pages_of_one_path_are_an_error() -> None:
    app = App()
    app.http("/page")(page)
    with pytest.raises(RouteError, match=r"test_routing\.page and "):
        app.http("/page")(lambda request: "another")


def test_a_page_and_a_form_may_share_a_path_and_two_forms_may_not() -> None:
    app = App()
    app.http("/login")(page)
    app.http("/login", methods=["POST"])(page)
    with pytest.raises(RouteError, match="both answer this path"):
        app.http("/login", methods=["GET", "POST"])(page)
    app.websocket("/login")(one)
    for method, upgrade, kind in (
        ("GET", False, "http"),
        ("HEAD", False, "http"),
        ("POST", False, "http"),
        ("GET", True, "websocket"),
    ):
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"} if upgrade else {}
        route, _ = app.table.match(Request(method, "/login", Headers(headers)))
        assert route.kind == kind


@pytest.mark.parametrize("methods", [[], ["PUT"], ["POST", "DELETE"], ["post"], "POST"])
def test_other_methods_are_for_asgi_apps(methods: list[str]) -> None:
    with pytest.raises(
        ValueError, match=r"methods(: expected a list| are GET, HEAD and POST, not)"
    ):
        App().http("/x", methods=methods)


def test_a_page_and_a_session_may_share_a_path_and_so_may_rules_that_differ() -> None:
    app = App()
    app.http("/chat")(page)
    app.websocket("/chat")(one)
    app.websocket("/chat/lobby")(one)
    app.websocket("/chat/<room>")(one)
    app.websocket("/chat/<int:room>")(one)
    app.websocket("/chat/<path:room>")(one)
    app.prepare()


def test_routers_and_plugins_are_held_to_it() -> None:
    router = Router("/api")
    router.websocket("/chat")(one)
    app = App()
    app.include(router)
    app.include(router, prefix="/v2")
    with pytest.raises(RouteError, match="/api/chat"):
        app.include(router)

    class Plugin:
        @hookimpl
        def wsext_routes(self, app: App) -> None:
            app.websocket("/api/chat")(other)

    app.install(Plugin())
    with pytest.raises(RouteError, match=r"test_routing\.one and .*other"):
        app.prepare()


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("/", "/"),
        ("/chat", "/chat"),
        ("/chat?room=1", "/chat"),
        ("/ch%61t", "/chat"),
        ("/chat/lobby", "/chat/lobby"),
        ("/chat/other", "/chat/<room>"),
        ("/chat/a/b", "/chat/<path:room>"),
        ("http://elsewhere.example/chat", "/chat"),
        ("/folder/", "/folder/"),
        ("/folder", 308),
        ("/chat/", 404),
        ("//chat", "/chat"),
        ("/CHAT", 404),
    ],
)
def test_a_rule_that_means_one_path_is_found_before_the_others(
    target: str, rule: str | int
) -> None:
    app = App()
    app.http("/chat")(page)
    for path in ("/chat/<path:room>", "/chat/<room>", "/chat/lobby", "/chat", "/folder/", "/"):
        app.websocket(path)(one)
    asked = Headers({"Upgrade": "websocket", "Connection": "Upgrade"})
    if isinstance(rule, int):
        with pytest.raises(HandshakeRejected) as caught:
            app.table.match(Request("GET", target, asked))
        assert caught.value.status == rule
        return
    route, params = app.table.match(Request("GET", target, asked))
    assert (route.path, route.handler) == (rule, one)
    assert bool(params) == ("<" in route.path)
    if rule == "/chat":  # a page answers whoever asks for no WebSocket
        assert app.table.match(Request("GET", target, Headers()))[0].handler is page
