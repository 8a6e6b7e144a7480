"""Who gets in by name and password, and what everybody else is answered."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from wsext import App, InvalidStatus, Session, basic_auth, testing


def app_with(*arguments: Any, **options: Any) -> App:
    app = App(guards=[basic_auth(*arguments, **options)])

    @app.websocket("/")
    async def greet(session: Session) -> None:
        await session.send(f"hello {session.identity}")

    return app


def basic(user_pass: str | bytes) -> str:
    data = user_pass.encode() if isinstance(user_pass, str) else user_pass
    return f"Basic {base64.b64encode(data).decode()}"


async def answer(app: App, authorization: str | None) -> Any:
    """The greeting, or the refusal."""
    headers = {} if authorization is None else {"Authorization": authorization}
    try:
        async with testing.connect(app, headers=headers) as client:
            return await client.receive()
    except InvalidStatus as refused:
        return refused


USERS = [("ada", "sesame"), ("ünï", "p:w:d"), ("eve", "")]


@pytest.mark.parametrize(
    ("credentials", "name"),
    [("ada:sesame", "ada"), ("ünï:p:w:d", "ünï"), ("eve:", "eve")],
)
async def test_who_is_known_gets_in_and_has_a_name(credentials: str, name: str) -> None:
    assert await answer(app_with("staff", USERS), basic(credentials)) == f"hello {name}"


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Basic",
        "Basic ???",
        "Basic YQ",
        "Bearer ada:sesame",
        basic("ada"),
        basic("ada:"),
        basic("ada:sesame "),
        basic("eve:sesame"),
        basic(":sesame"),
        basic(b"ada:\xff"),
        basic(b"\xff:sesame"),
    ],
)
async def test_everybody_else_is_asked_for_a_name_and_a_password(authorization: str | None) -> None:
    refused = await answer(app_with('the "staff"', USERS), authorization)
    assert refused.status == 401
    assert refused.headers["WWW-Authenticate"] == r'Basic realm="the \"staff\"", charset="UTF-8"'
    assert refused.body == b"a name and a password are needed here\n"


async def test_one_pair_is_enough() -> None:
    app = app_with(credentials=("ada", "sesame"))
    assert await answer(app, basic("ada:sesame")) == "hello ada"
    assert (await answer(app, basic("sesame:ada"))).status == 401


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_may_decide(is_async: bool) -> None:
    def check(name: str, password: str) -> bool:
        return name == password[::-1]

    async def ask(name: str, password: str) -> bool:
        return check(name, password)

    app = app_with("staff", check_credentials=ask if is_async else check)
    assert await answer(app, basic("ada:ada")) == "hello ada"
    assert (await answer(app, basic("ada:sesame"))).status == 401


async def test_a_client_takes_them_from_its_url() -> None:
    import wsext

    async with (
        wsext.serve(app_with("staff", ("ada", "p@ss"))) as server,
        wsext.connect(server.url.replace("://", "://ada:p%40ss@")) as session,
    ):
        assert await session.receive() == "hello ada"


@pytest.mark.parametrize(
    ("arguments", "error", "problem"),
    [
        ({}, ValueError, "either credentials or check_credentials"),
        ({"credentials": ("a", "b"), "check_credentials": print}, ValueError, "either"),
        ({"credentials": "ab"}, TypeError, "a pair of name and password"),
        ({"credentials": [("a", b"b")]}, TypeError, "a pair of name and password"),
        ({"credentials": [("a", "b", "c")]}, TypeError, "a pair of name and password"),
        ({"credentials": ("a:b", "c")}, ValueError, "'a:b' has"),
        ({"realm": "ünï", "credentials": ("a", "b")}, ValueError, "ASCII"),
        ({"realm": "a\r\nb", "credentials": ("a", "b")}, ValueError, "ASCII"),
    ],
)
def test_what_cannot_be_used_is_refused_at_once(
    arguments: dict[str, Any], error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        basic_auth(**arguments)
