"""What the links of one event loop share must not make one suffer for another."""

from __future__ import annotations

import asyncio

from wsext import App, Session
from wsext.testing import Transcript, World, calm, simulate
from wsext.testing.simulation.loop import SimulatedLoop


class Breaking(Transcript):
    """Is told of every write, and can make those of the server fail."""

    is_broken = False

    def record(self, side: str, data: bytes) -> None:
        if self.is_broken and side == "server":
            raise OSError("the transport is broken")
        super().record(side, data)


def test_a_write_that_fails_leaves_the_other_connections_alone() -> None:
    app = App()

    async def scenario(world: World) -> None:
        sessions: asyncio.Queue[Session] = asyncio.Queue()

        @app.websocket("/")
        async def handler(session: Session) -> None:
            sessions.put_nowait(session)
            await session.wait_closed()

        world.expect("the transport is broken")
        server, breaking = await world.serve(app), Breaking()
        async with (
            world.connect(server, transcript=breaking),
            world.connect(server) as second,
        ):
            both = [await sessions.get() for _ in range(2)]
            breaking.is_broken = True
            for session in both:  # in one turn of the loop
                session.send_nowait("hello")
            assert await second.receive() == "hello"
            loop = asyncio.get_running_loop()
            assert isinstance(loop, SimulatedLoop)
            (problem,) = loop.problems
            assert "the transport is broken" in problem
            breaking.is_broken = False
            both[0].abort()

    simulate(scenario, weather=calm)
