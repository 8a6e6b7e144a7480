"""A session from its beginning to its end: hooks, handlers, and what a failure leads to."""

from __future__ import annotations

import gc
import logging
import time
import weakref
from typing import Any

import pytest
import trio

from tests.trio.peers import on_trio, run
from wsext import (
    App,
    CloseInfo,
    ConnectionClosed,
    LocalProtocolError,
    RemoteProtocolError,
    hookimpl,
)
from wsext.testing.on_trio import connect


def ending(handler: Any, app: App | None = None) -> CloseInfo:
    """How a client's session with a handler ends."""
    app = app or App()
    app.websocket("/")(handler)
    infos: list[CloseInfo] = []

    async def scenario() -> None:
        async with connect(app) as client:
            infos.append(await client.wait_closed())

    run(scenario)
    return infos[0]


async def returns(session: Any) -> None:
    await session.send("bye")


async def raises(session: Any) -> None:
    raise KeyError("secret")


async def raises_in_a_nursery(session: Any) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(raises, session)
        await trio.sleep_forever()


async def raises_a_code(session: Any) -> None:
    raise LocalProtocolError("not now", 1013)


async def sees_the_end_in_a_nursery(session: Any) -> None:
    async def read() -> None:
        while True:
            await session.receive()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read)
        await session.close(4000, "done")


@pytest.mark.parametrize(
    ("handler", "code", "reason", "logged"),
    [
        (returns, 1000, "", False),
        (raises, 1011, "internal error", True),
        (raises_in_a_nursery, 1011, "internal error", True),
        (raises_a_code, 1013, "not now", False),
        (sees_the_end_in_a_nursery, 4000, "done", False),
    ],
)
def test_the_outcome_of_the_handler_ends_the_session(
    handler: Any, code: int, reason: str, logged: bool, caplog: pytest.LogCaptureFixture
) -> None:
    info = ending(handler)
    assert (info.code, info.reason, info.clean) == (code, reason, True)
    assert bool([r for r in caplog.records if r.levelno == logging.ERROR]) == logged


@pytest.mark.parametrize("handler", [raises, raises_in_a_nursery])
def test_the_app_maps_exceptions_also_those_of_a_nursery(handler: Any) -> None:
    app = App()
    app.map_exception(KeyError, 4404, "not found")
    assert ending(handler, app).code == 4404


class Hooks:
    """What the hooks of a session were told."""

    def __init__(self, fails: bool = False) -> None:
        self.told: list[Any] = []
        self.fails = fails

    @hookimpl
    def wsext_session_opened(self, session: Any) -> None:
        self.told.append("opened")
        session.send_nowait("from the hook")
        if self.fails:
            raise RuntimeError("no")

    @hookimpl
    def wsext_session_closed(self, session: Any, info: CloseInfo) -> None:
        self.told.append(info.code)


@pytest.mark.parametrize("fails", [False, True])
@on_trio
async def test_hooks_are_told_once(fails: bool) -> None:
    app, hooks = App(), Hooks(fails)
    app.install(hooks)
    handled = []

    @app.websocket("/")
    async def handler(session: Any) -> None:
        handled.append(await session.receive())

    async with connect(app) as client:
        assert await client.receive() == "from the hook"
        if not fails:
            await client.send("a")
        info = await client.wait_closed()
        assert info.code == (1011 if fails else 1000)
    assert hooks.told == ["opened", 1011 if fails else 1000]
    assert handled == ([] if fails else ["a"])


@on_trio
async def test_what_came_before_the_end_is_received_first() -> None:
    got: list[Any] = []

    async def slow(session: Any) -> None:
        await session.wait_closed()
        try:
            while True:
                got.append(await session.receive())
        except ConnectionClosed as closed:
            got.append(closed.info.code)

    app = App()
    app.websocket("/")(slow)
    async with connect(app) as client:
        await client.send("a")
        await client.send("b")
    assert got == ["a", "b", 1000]


@on_trio
async def test_a_cancelled_handler_drops_the_connection() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Any) -> None:
        with trio.CancelScope() as scope:
            scope.cancel()
            await session.receive()
        await session.send("it goes on")  # only what was cancelled was
        await trio.sleep_forever()

    ends: list[CloseInfo] = []

    async def scenario_of_a_client() -> None:
        async with connect(app) as client:
            assert await client.receive() == "it goes on"
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                ends.append(await client.wait_closed())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(scenario_of_a_client)
    assert [end.code for end in ends] == [1006]


@on_trio
async def test_a_session_ends_when_its_identity_expires_unless_it_is_renewed() -> None:
    ends: list[CloseInfo] = []

    async def renewing(session: Any) -> None:
        assert session.identity == "Ada"
        with pytest.raises(RemoteProtocolError, match="another identity"):
            session.renew("Eve", expires=None)
        with pytest.raises(RemoteProtocolError, match="has expired"):
            session.renew("Ada", expires=time.time() - 1)
        await session.receive()
        session.renew("Ada", expires=time.time() + 100)
        ends.append(await session.wait_closed())

    def guard(request: Any) -> None:
        request.identity, request.expires = "Ada", time.time() + 10

    app = App(guards=[guard])
    app.websocket("/")(renewing)
    async with connect(app) as client:
        await client.wait_closed()
        assert trio.current_time() == pytest.approx(10, abs=1)
    async with connect(app) as client:
        await client.send("me again")
        info = await client.wait_closed()
        assert (info.code, info.reason) == (1008, "the identity has expired")
        assert trio.current_time() == pytest.approx(110, abs=2)
    assert [info.code for info in ends] == [1008]


@on_trio
async def test_nothing_keeps_a_session_that_has_ended() -> None:
    kept: list[weakref.ref[Any]] = []

    async def handler(session: Any) -> None:
        kept.append(weakref.ref(session))
        await session.send(await session.receive())

    async def talk(app: App) -> None:
        async with connect(app, extensions=["permessage-deflate"]) as client:
            kept.append(weakref.ref(client))
            await client.send("a")
            await client.receive()

    app = App()
    app.install("permessage-deflate")
    app.websocket("/")(handler)
    await talk(app)
    gc.collect()  # what trio's own scopes hold in circles
    gc.disable()
    try:
        await talk(app)
        await trio.testing.wait_all_tasks_blocked()
        assert [ref() for ref in kept] == [None] * 4
    finally:
        gc.enable()
