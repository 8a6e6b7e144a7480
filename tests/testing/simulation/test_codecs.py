"""Codecs are counted from their making to their closing."""

from __future__ import annotations

from typing import Any

import pytest

from tests.testing.simulation.scenarios import echo_app
from wsext import (
    Codec,
    Extension,
)
from wsext.testing import SimulationFailed, World, simulate


class Forgetful(Codec):
    """Is closed twice, or never."""


class Forgotten(Extension):
    """Makes a codec more than it hands out."""

    name = "x-forgotten"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return Forgetful()

    def accept(self, offer: Any, ctx: Any) -> Any:
        self.make_codec(offer, ctx)
        return super().accept(offer, ctx)


def test_a_codec_that_is_never_closed_is_found() -> None:
    app = echo_app()
    app.install(Forgotten)

    async def scenario(world: World) -> None:
        server = await world.serve(app)
        async with world.connect(server, "/echo", extensions=[Forgotten]):
            assert world.codecs_made == 3

    found = r"a codec of x-forgotten \(Forgetful\) was closed 0 times"
    with pytest.raises(SimulationFailed, match=found) as caught:
        simulate(scenario, 4)
    assert "the last events of the network" in caught.value.__notes__[0]
    assert "close" not in vars(Forgetful)  # everything is as it was
