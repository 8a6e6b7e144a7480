"""The places of one address: connections at once, handshakes a second."""

from __future__ import annotations

import pytest

import wsext
from tests.server.apps import admitted, limited_app, refused, via
from wsext import ServerOptions
from wsext.server.admission import Addresses, limited_address


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


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2::3", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ff::1%eth0", "2001:db8:1:2::/64"),
        ("127.0.0.1", None),
        ("::1", None),
        ("memory", None),
        (None, None),
    ],
)
def test_what_an_address_is_counted_under(address: str | None, counted: str | None) -> None:
    assert limited_address(address) == counted


def test_connections_of_an_address() -> None:
    addresses = Addresses(ServerOptions(max_connections_per_address=2), lambda: 0.0)
    assert [addresses.enter("a") for _ in range(4)] == [True, True, False, False]
    assert not addresses.is_flooding("a")
    assert not addresses.enter("a")
    assert addresses.is_flooding("a")
    assert addresses.enter("b")
    for _ in range(4):
        addresses.leave("a")
    assert addresses.enter("a")
    addresses.leave("never came")


def test_handshakes_of_an_address() -> None:
    now = 0.0
    addresses = Addresses(ServerOptions(handshake_rate=1), lambda: now)
    assert [addresses.shake("a") for _ in range(11)] == [0.0] * 10 + [1.0]
    assert addresses.shake("a") == 1.0  # a refused one makes the next one no later
    assert addresses.shake("b") == 0.0
    now = 1.0
    assert addresses.shake("a") == 0.0


def test_addresses_that_are_quiet_again_are_forgotten_and_busy_ones_are_not() -> None:
    now = 0.0
    addresses = Addresses(ServerOptions(handshake_rate=1), lambda: now)
    for _ in range(11):
        addresses.shake("busy")
    for number in range(50_000):  # in half a second: looking through all each time takes too long
        now += 0.00001
        assert addresses.shake(str(number)) == 0.0
    assert addresses.shake("busy") > 0


def test_without_limits_nothing_is_refused() -> None:
    options = ServerOptions(max_connections_per_address=None, handshake_rate=None)
    addresses = Addresses(options, lambda: 0.0)
    assert all(addresses.enter("a") and addresses.shake("a") == 0.0 for _ in range(1000))
    assert not addresses.is_flooding("a")
