import asyncio

from tests.resuming import Pair


async def test_basic():
    pair = Pair()
    await pair.client.send("one")
    assert await pair.server.receive() == "one"
    await pair.cut()
    pair.server.send_nowait("waits")
    t = asyncio.create_task(pair.client.send("waits too"))
    await asyncio.sleep(0)
    assert not t.done()
    pair.resume()
    assert await pair.client.receive() == "waits"
    assert await pair.server.receive() == "waits too"
    await t
    assert pair.server.resumptions == 1
    await pair.close()


async def test_lost_in_flight():
    pair = Pair()
    for i in range(10):
        await pair.client.send(f"c{i}")
        await pair.server.send(f"s{i}")
    pair.wire.client.abort()
    await asyncio.sleep(0.01)
    assert not pair.server.connected
    for i in range(10, 20):
        pair.client.send_nowait(f"c{i}")
        pair.server.send_nowait(f"s{i}")
    pair.resume()
    assert [await pair.client.receive() for _ in range(20)] == [f"s{i}" for i in range(20)]
    assert [await pair.server.receive() for _ in range(20)] == [f"c{i}" for i in range(20)]
    await pair.close()
    assert pair.server.unconfirmed == []
    assert pair.client.unconfirmed == []
