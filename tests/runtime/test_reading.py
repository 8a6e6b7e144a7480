"""When a connection decodes what it has read."""

from __future__ import annotations

import wsext
from tests.extensions import Slow
from tests.runtime.sessions import echo_app


async def test_an_asynchronous_codec_keeps_the_order_to_the_end() -> None:
    app = echo_app()
    app.install(Slow)
    async with wsext.serve(app) as server, wsext.connect(server.url, extensions=[Slow]) as session:
        for number in range(30):
            await session.send(str(number))
        got = [await session.receive() for _ in range(30)]
        assert got == [str(number) for number in range(30)]
        session.send_nowait("last")
        await session.close()
    assert session.close_info.ok
