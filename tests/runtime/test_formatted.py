"""Messages that stand for values."""

from __future__ import annotations

import msgspec

import wsext
from wsext import (
    App,
    Session,
)


async def test_json_goes_both_ways_and_is_checked() -> None:
    class Order(msgspec.Struct):
        item: str
        count: int

    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        order = await session.receive_json(Order)
        await session.send_json({"got": order.count})
        await session.receive_json(Order)

    async with wsext.serve(app) as server, wsext.connect(server.url) as session:
        await session.send_json(Order("tea", 3))
        assert await session.receive_json(dict) == {"got": 3}
        await session.send("{}")
        info = await session.wait_closed()
        assert info.code == 1007
