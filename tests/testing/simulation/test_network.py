"""The simulated network: each fault does what it says, and a seed decides which there are."""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

import pytest

from wsext.testing import Conditions, World, calm, mild, rough, simulate
from wsext.testing.simulation.network import SimulatedWire


class Reader(asyncio.Protocol):
    """Remembers what comes."""

    def __init__(self) -> None:
        self.reads: list[bytes] = []
        self.times: list[float] = []
        self.paused = 0
        self.resumed = 0
        self.ended = False
        self.lost: list[Exception | None] = []

    @property
    def data(self) -> bytes:
        return b"".join(self.reads)

    def data_received(self, data: bytes) -> None:
        self.reads.append(data)
        self.times.append(asyncio.get_running_loop().time())

    def eof_received(self) -> bool:
        self.ended = True
        return True

    def pause_writing(self) -> None:
        self.paused += 1

    def resume_writing(self) -> None:
        self.resumed += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Buffered(asyncio.BufferedProtocol):
    """Gives out a buffer of 10 bytes."""

    def __init__(self) -> None:
        self.buffer = bytearray(10)
        self.data = b""

    def get_buffer(self, sizehint: int) -> bytearray:
        return self.buffer

    def buffer_updated(self, nbytes: int) -> None:
        assert 0 < nbytes <= 10
        self.data += self.buffer[:nbytes]


class Both(Buffered):
    """Takes bytes either way."""

    def __init__(self) -> None:
        super().__init__()
        self.plain = b""

    def data_received(self, data: bytes) -> None:
        self.plain += data


def on_a_wire(conditions: Conditions, work: Any, seed: int = 0) -> None:
    """Run ``work(wire, client, server)`` with a protocol at each end."""

    async def scenario(world: World) -> None:
        wire = await world.network.connect(conditions)
        client, server = Reader(), Reader()
        wire.client.set_protocol(client)
        wire.server.set_protocol(server)
        try:
            await work(wire, client, server)
        finally:
            wire.client.abort()

    simulate(scenario, seed)


def test_what_is_written_arrives_in_order_and_later() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        began = asyncio.get_running_loop().time()
        for number in range(100):
            wire.client.write(b"%d," % number)
        assert server.data == b""
        await asyncio.sleep(2)
        assert server.data == b"".join(b"%d," % number for number in range(100))
        assert 0.5 <= server.times[0] - began < server.times[-1] - began <= 1.0

    on_a_wire(Conditions(latency=(0.5, 1.0)), work)


def test_a_short_latency_overtakes_a_long_one_on_another_connection() -> None:
    order: set[str] = set()

    async def scenario(world: World) -> None:
        came: list[str] = []
        for name in "ab":
            wire = await world.network.connect(Conditions(latency=(0.1, 0.9)))
            reader = Reader()
            reader.data_received = lambda data, name=name: came.append(name)  # type: ignore[assignment,misc]
            wire.server.set_protocol(reader)
            wire.client.set_protocol(Reader())
        for wire in world.connections:
            wire.client.write(b"x")
        await asyncio.sleep(1)
        order.add("".join(came))
        for wire in world.connections:
            wire.reset()

    for seed in range(20):
        simulate(scenario, seed)
    assert order == {"ab", "ba"}


def test_reads_are_cut_into_pieces() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.client.write(bytes(range(200)))
        await asyncio.sleep(1)
        assert server.data == bytes(range(200))
        assert [len(read) for read in server.reads] == [*[1] * 50, 150]

    on_a_wire(Conditions(pieces=(1, 1), cut=50), work)


@pytest.mark.parametrize("buffered", [True, False])
def test_a_buffered_protocol_is_fed_by_its_buffer_or_not(buffered: bool) -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        both, only = Both(), Buffered()
        wire.server.set_protocol(both)
        wire.client.set_protocol(only)
        wire.client.write(b"x" * 35)
        wire.server.write(b"y" * 35)
        await asyncio.sleep(0.1)
        assert (both.data if buffered else both.plain) == b"x" * 35
        assert only.data == b"y" * 35  # it has no other way

    on_a_wire(Conditions(buffered=buffered), work)


def test_a_full_network_pauses_the_writer() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.server.pause_reading()
        wire.client.set_write_buffer_limits(high=1000)
        wire.client.write(b"x" * 5000)
        assert client.paused == 0
        wire.client.write(b"x" * 5000)
        assert client.paused == 1
        assert wire.client.get_write_buffer_size() == 5000
        await asyncio.sleep(10)
        assert client.resumed == 0
        wire.server.resume_reading()
        await asyncio.sleep(0.1)
        assert client.resumed == 1
        assert len(server.data) == 10_000

    on_a_wire(Conditions(capacity=5000), work)


def test_a_stall_is_a_side_that_reads_nothing_for_a_while() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.client.write(b"x" * 100)
        await asyncio.sleep(29)
        assert len(server.data) == 40
        await asyncio.sleep(2)
        assert len(server.data) == 100

    on_a_wire(Conditions(stall=("server", 40, 30.0)), work)


def test_a_reset_comes_after_exactly_so_many_bytes() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.client.write(b"x" * 60)
        await asyncio.sleep(1)
        wire.server.write(b"y" * 60)
        await asyncio.sleep(1)
        assert (len(server.data), len(client.data)) == (60, 17)
        for reader in (client, server):
            (error,) = reader.lost
            assert isinstance(error, ConnectionResetError)

    on_a_wire(Conditions(reset_after=77), work)


def test_half_a_connection_can_end() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.client.write(b"x" * 60)
        await asyncio.sleep(1)
        assert server.ended
        assert len(server.data) == 25
        wire.server.write(b"still here")
        await asyncio.sleep(1)
        assert client.data == b"still here"
        assert not client.lost

    on_a_wire(Conditions(half_close_after=("server", 25)), work)


def test_an_end_that_is_written_is_read_after_all_data() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.client.write(b"x" * 3000)
        wire.client.write_eof()
        with pytest.raises(RuntimeError, match="write_eof"):
            wire.client.write(b"more")
        await asyncio.sleep(1)
        assert len(server.data) == 3000
        assert server.ended

    on_a_wire(Conditions(latency=(0.001, 0.2), pieces=(1, 20)), work)


def test_closing_sends_what_was_written_first() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.server.pause_reading()
        wire.client.write(b"x" * 3000)
        wire.client.close()
        await asyncio.sleep(1)
        assert not client.lost  # 2,000 bytes still wait to be written
        wire.server.resume_reading()
        await asyncio.sleep(1)
        assert client.lost == [None]
        assert len(server.data) == 3000
        assert server.ended

    on_a_wire(Conditions(capacity=1000), work)


def test_closing_with_unread_data_resets_the_peer() -> None:
    async def work(wire: SimulatedWire, client: Reader, server: Reader) -> None:
        wire.server.pause_reading()
        wire.client.write(b"unread")
        await asyncio.sleep(1)
        wire.server.write(b"lost")
        wire.server.close()
        await asyncio.sleep(2)
        assert server.lost == [None]
        (error,) = client.lost
        assert isinstance(error, ConnectionResetError)

    on_a_wire(Conditions(), work)


def test_a_protocol_that_raises_is_reported_and_dropped() -> None:
    async def scenario(world: World) -> None:
        world.expect("Fatal error")
        wire = await world.network.connect(Conditions())
        client, server = Reader(), Reader()
        wire.client.set_protocol(client)
        wire.server.set_protocol(server)

        def fail(data: bytes) -> None:
            raise ValueError("of the protocol")

        server.data_received = fail  # type: ignore[method-assign]
        wire.client.write(b"x")
        await asyncio.sleep(1)
        assert isinstance(server.lost[0], ValueError)
        assert isinstance(client.lost[0], ConnectionResetError)

    simulate(scenario)


def test_a_connection_can_be_refused() -> None:
    async def scenario(world: World) -> None:
        with pytest.raises(ConnectionRefusedError):
            await world.network.connect(Conditions(refuse=True))

    simulate(scenario)


def test_the_weather_draws_every_fault() -> None:
    assert calm(Random(0)) == Conditions()
    some_mild = [mild(Random(seed)) for seed in range(300)]
    assert all(c.reset_after is c.half_close_after is None and not c.refuse for c in some_mild)
    assert {c.pieces for c in some_mild} >= {None, (1, 1)}
    assert {c.buffered for c in some_mild} == {True, False}
    some_rough = [rough(Random(seed)) for seed in range(300)]
    assert any(c.reset_after is not None for c in some_rough)
    assert any(c.half_close_after is not None for c in some_rough)
    assert any(c.stall is not None and c.stall[2] > 10 for c in some_rough)
    assert any(c.refuse for c in some_rough)
