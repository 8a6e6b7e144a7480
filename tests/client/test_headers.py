"""The headers of a client: made once or for each handshake, and who gets which."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext
from wsext import App, ConnectionClosed, Session
from wsext.client.headers import RequestHeaders
from wsext.client.targets import Target
from wsext.runtime.backoff import Backoff

OWN = Target.parse("ws://example.com/feed?x=1")
OTHER = Target.parse("ws://example.com:81/feed")


def telling_app() -> App:
    """An app that says which token it was asked with, and leaves."""
    app = App()

    @app.websocket("/")
    async def tell(session: Session) -> None:
        await session.send(session.request.headers.get("Authorization", ""))

    return app


@pytest.mark.parametrize("is_async", [False, True])
async def test_a_function_gives_fresh_headers_for_each_handshake(is_async: bool) -> None:
    count = 0

    def make() -> dict[str, str]:
        nonlocal count
        count += 1
        return {"Authorization": f"Bearer {count}"}

    async def make_slowly() -> dict[str, str]:
        await asyncio.sleep(0)
        return make()

    got: list[Any] = []
    async with wsext.serve(telling_app()) as server:
        headers = make_slowly if is_async else make
        opening = wsext.connect(server.url, headers=headers, backoff=Backoff(initial=0.001))
        async for session in opening:
            got += [message async for message in session]
            if len(got) == 3:
                break
    assert got == ["Bearer 1", "Bearer 2", "Bearer 3"]


async def test_what_the_function_raises_comes_out_of_connect() -> None:
    def fail() -> dict[str, str]:
        raise LookupError("no token")

    async with wsext.serve(telling_app()) as server:
        with pytest.raises(LookupError, match="no token"):
            await wsext.connect(server.url, headers=fail)


async def test_a_function_that_never_answers_is_left_after_the_open_timeout() -> None:
    async def wait() -> dict[str, str]:
        await asyncio.Event().wait()
        return {}

    with pytest.raises(TimeoutError):
        await wsext.connect("ws://127.0.0.1:1", headers=wait, open_timeout=0.01)


async def test_the_url_is_given_without_a_password() -> None:
    seen = []

    def make(url: str) -> dict[str, str]:
        seen.append(url)
        return {"X-Url": url}

    async with wsext.serve(telling_app()) as server:
        url = server.url.replace("://", "://ada:hunter2@")
        async with wsext.connect(url, headers=make) as session:
            assert str(await session.receive()).startswith("Basic ")
            with pytest.raises(ConnectionClosed):
                await session.receive()
    assert seen == [f"{server.url}/"]


async def test_credentials_go_to_nobody_else() -> None:
    given = {"Authorization": "Bearer x", "cookie": "id=1", "X-App": "7"}
    for choice in (given, given.items(), lambda: given):
        headers = RequestHeaders(choice, OWN)  # type: ignore[arg-type]
        assert await headers.make(OWN) == list(given.items())
        assert await headers.make(OTHER) == [("X-App", "7")]


async def test_a_function_of_the_url_decides_by_itself() -> None:
    headers = RequestHeaders(lambda url: {"Authorization": f"for {url}"}, OWN)
    assert await headers.make(OTHER) == [("Authorization", "for ws://example.com:81/feed")]


@pytest.mark.parametrize(
    "choice",
    [lambda token="x": {"X-Token": token}, lambda *rest, **more: {"X-Token": "x"}],
)
async def test_what_a_function_need_not_be_given_it_does_not_get(choice: Any) -> None:
    assert await RequestHeaders(choice, OWN).make(OWN) == [("X-Token", "x")]


async def test_the_password_of_the_url_stays_there() -> None:
    own = Target.parse("ws://ada:hunter2@example.com/")
    headers = RequestHeaders({}, own)
    assert [name for name, _ in await headers.make(own)] == ["Authorization"]
    assert await headers.make(OTHER) == []
