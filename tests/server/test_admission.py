"""The places of one address: connections at once, handshakes a second."""

from __future__ import annotations

import wsext
from tests.server.apps import admitted, limited_app, refused, via


async def test_connections_of_one_address_are_limited_and_others_are_not() -> None:
    app, seen = limited_app(max_connections_per_address=2)
    async with wsext.serve(app) as server:
        mine = via("203.0.113.7")
        async with (
            wsext.connect(server.url, headers=mine),
            wsext.connect(server.url, headers=mine) as second,
        ):
            error = await refused(server.url, headers=mine)
            assert (error.status, error.headers["Retry-After"]) == (429, "5")
            async with wsext.connect(server.url, headers=via("203.0.113.8")) as other:
                assert await other.receive() == "203.0.113.8"
            await second.close()
            third = await admitted(server.url, headers=mine)
            assert third.is_open
            await third.close()
        for _ in range(5):  # an address of this machine is not limited
            await (await wsext.connect(server.url)).close()
    assert set(seen.limits) == {"max_connections_per_address"}
    assert seen.statuses[:4] == [101, 101, 429, 101]


async def test_an_ipv6_network_counts_as_one_address() -> None:
    app, _ = limited_app(max_connections_per_address=1)
    async with (
        wsext.serve(app) as server,
        wsext.connect(server.url, headers=via("2001:db8:1:2::3")),
    ):
        assert (await refused(server.url, headers=via("[2001:db8:1:2:ff::1]:80"))).status == 429
        async with wsext.connect(server.url, headers=via("2001:db8:1:3::3")) as other:
            assert await other.receive() == "2001:db8:1:3::3"


async def test_handshakes_of_one_address_are_limited() -> None:
    app, seen = limited_app(handshake_rate=0.5)
    async with wsext.serve(app) as server:
        mine = via("203.0.113.7")
        for _ in range(5):
            await (await wsext.connect(server.url, headers=mine)).close()
        error = await refused(server.url, headers=mine)
        assert error.status == 429
        assert 1 <= int(error.headers["Retry-After"]) <= 2
        await (await wsext.connect(server.url, headers=via("203.0.113.8"))).close()
    assert seen.limits == ["handshake_rate"]
