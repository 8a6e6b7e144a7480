"""Servers of one backplane: clients are told where the one is that has to answer."""

from __future__ import annotations

import re
from typing import Any

import pytest

import wsext
from tests.raw import raw_peer
from tests.server.test_handing import At, asking
from wsext import App, BackplaneStatus, Server, ServerOptions, Session
from wsext.rooms.backplanes.memory import MemoryBackplane
from wsext.server.nodes import name_of, new_node, number_of


def node_app(name: str | None, *, backplane: Any = None, **server: Any) -> App:
    """An app of a server that advertises ``ws://NAME.example/``."""
    url = None if name is None else f"ws://{name}.example/"
    options = ServerOptions(advertise=url, **server)
    app = App(server=options, backplane=backplane or "memory://nodes")
    app.install(At)

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


async def shake(server: Server, worker: str, path: str = "/") -> str:
    async with raw_peer(server.port) as peer:
        peer.send(asking(worker, path))
        return await peer.read_head()


async def name_in(server: Server) -> str:
    """What a server calls itself."""
    found = re.search("x-at; worker=(.*)\r\n", await shake(server, "any"))
    assert found is not None
    return found[1]


async def test_a_client_is_led_to_the_server_that_has_to_answer() -> None:
    async with wsext.serve(node_app("one")) as one, wsext.serve(node_app("two")) as two:
        head = await shake(one, await name_in(two), "/?a=b")
        assert head.startswith("HTTP/1.1 307 ")
        assert "\r\nLocation: ws://two.example/?a=b\r\n" in head
        assert (await shake(one, await name_in(one))).startswith("HTTP/1.1 101 ")


async def test_who_is_unknown_or_has_gone_is_answered_for() -> None:
    async with wsext.serve(node_app("one")) as one:
        async with wsext.serve(node_app("two")) as two:
            name = await name_in(two)
        for worker in (name, name_of(0, new_node()), "x"):
            assert (await shake(one, worker)).startswith("HTTP/1.1 101 ")


async def test_without_an_address_nobody_is_led_anywhere() -> None:
    async with wsext.serve(node_app("one")) as one, wsext.serve(node_app(None)) as two:
        assert "x-at; worker=\r" not in await shake(one, "any")
        assert (await shake(two, await name_in(one))).startswith("HTTP/1.1 101 ")


class Away(MemoryBackplane):
    """A broker that does not answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked = 0
        self.status = BackplaneStatus(connected=False)

    async def members(self, room: str) -> dict[str, bytes]:
        self.asked += 1
        raise ConnectionError("away")


async def test_a_broker_that_is_away_is_not_asked_each_time() -> None:
    away = Away()
    async with wsext.serve(node_app("one", backplane=away)) as one:
        for number in range(5):
            assert (await shake(one, name_of(number, 1))).startswith("HTTP/1.1 101 ")
    assert away.asked == 1


async def test_who_has_no_place_asks_nobody() -> None:
    away = Away()
    app = node_app("one", backplane=away, trusted_proxies=("127.0.0.1",), handshake_rate=0.01)
    async with wsext.serve(app) as one:
        for status in ("101", "429"):
            async with raw_peer(one.port) as peer:
                lines = asking(name_of(1, 1)).replace(
                    b"\r\n", b"\r\nX-Forwarded-For: 192.0.2.1\r\n", 1
                )
                peer.send(lines)
                assert f" {status} " in await peer.read_head()
    assert away.asked == 1


@pytest.mark.parametrize(
    ("name", "number"),
    [("7-ff", 7), ("7-fe", None), ("07-ff", None), ("0-ff", None), ("7", None), ("x-ff", None)],
)
def test_the_names_of_workers(name: str, number: int | None) -> None:
    assert number_of(name, 0xFF) == number
    assert name_of(7, 0xFF) == "7-ff"
