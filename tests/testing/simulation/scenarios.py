"""What several tests of simulated worlds run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from wsext import App, Session, WebSocketOptions
from wsext.testing import World, simulate

__all__ = ["echo_app", "in_virtual_time"]


def echo_app(**options: Any) -> App:
    app = App(options=WebSocketOptions(**options))

    @app.websocket("/echo")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    return app


def in_virtual_time(work: Callable[[], Awaitable[Any]], seed: int = 0, **options: Any) -> Any:
    """Run something that needs no network in a world of its own."""

    async def scenario(world: World) -> Any:
        return await work()

    return simulate(scenario, seed, **options)
