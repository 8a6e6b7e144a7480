"""Every preset can be applied, says what it sets, and does what it is for."""

from __future__ import annotations

from pathlib import Path

import pytest
from wsext_presets import PRESETS

import wsext
from wsext import App, Session, option_set

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
