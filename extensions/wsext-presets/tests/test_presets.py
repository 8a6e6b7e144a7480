"""Every preset can be applied, says what it sets, and does what it is for."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from wsext_presets import PRESETS

import wsext
from wsext import App, RoomOptions, Session, option_set, testing

NAMES = [preset.name for preset in PRESETS]


def test_the_presets() -> None:
    assert NAMES == ["low-memory", "low-latency", "max-compression", "market-data"]
    readme = (Path(__file__).parents[1] / "README.md").read_text()
    for preset in PRESETS:
        assert preset.description
        assert preset.name in readme


@pytest.mark.parametrize("name", NAMES)
async def test_a_preset_works_on_both_sides(name: str) -> None:
    app = App()
    app.install(option_set(name))

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext.serve(app) as server:
        async with wsext.connect(server.url, extensions=[option_set(name)]) as session:
            for message in ("price 1.0001 " * 100, "price 1.0002 " * 100):
                await session.send(message)
                assert await session.receive() == message
            stats = session.stats
        assert stats.wire_bytes_in < stats.app_bytes_in / 4


def test_low_memory_costs_less_and_max_compression_more() -> None:
    costs = {}
    for name in NAMES:
        app = App()
        app.install(option_set(name))
        costs[name] = app.installed.extensions[0].memory_estimate() or 0
    assert costs["low-memory"] < costs["low-latency"] < costs["max-compression"]


async def test_market_data_drops_for_a_slow_member_and_does_not_close_it() -> None:
    """Also where an app's rooms close by default; a member's own choice wins over both."""
    for preset, room, is_open in (("market-data", {}, True), ("low-memory", {}, False),
                                  ("market-data", {"overflow": "close"}, False)):  # fmt: skip
        app = App(rooms=RoomOptions(overflow="close", queue_bytes=2000))
        app.install(option_set(preset))
        joined = asyncio.Event()

        @app.websocket("/")
        async def feed(session: Session, app: App = app, room: Any = room) -> None:
            async with app.room("prices").join(session, **room):
                joined.set()  # noqa: B023  # this turn's
                await session.wait_closed()

        async with testing.raw_peer(app, "/") as peer:
            await joined.wait()
            for number in range(3000):
                app.room("prices").broadcast_nowait(f"price {number:1000}")
            (session,) = peer.server.sessions
            assert session.is_open is is_open
            assert (app.hub.counters.dropped > 0) is is_open


def test_what_installs_later_wins() -> None:
    app = App(rooms=RoomOptions(overflow="coalesce", history=7))
    app.install(option_set("market-data"))
    assert (app.room_options.overflow, app.room_options.history) == ("drop-oldest", 7)
