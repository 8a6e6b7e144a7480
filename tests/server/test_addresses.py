"""What one address may take."""

from __future__ import annotations

import pytest

from wsext import ServerOptions
from wsext.server.addresses import Addresses, limited_address


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
