"""permessage-brotli: the kit, windows both ways, what a peer can send, what a broadcast costs."""

from __future__ import annotations

import itertools
import json
import random
import tracemalloc
from typing import Any

import brotli
import pytest
from wsext_brotli import BrotliCodec, PermessageBrotli, Settings
from wsext_brotli.codec import window_bits

from wsext import (
    RSV,
    App,
    Frame,
    NegotiationContext,
    NegotiationError,
    OptionError,
    Params,
    RemoteProtocolError,
    Session,
    broadcast,
    testing,
)

SERVER = NegotiationContext("server", 1 << 20)
CLIENT = NegotiationContext("client", 1 << 20)
NAME = "permessage-brotli"
WINDOW = {"server_max_window_bits": 16}
MESSAGE = json.dumps([{"id": n, "name": f"item {n % 7}", "ok": True} for n in range(40)]).encode()


class TestBrotli(testing.ExtensionSuite):
    extension = PermessageBrotli


class TestEveryMessageOnItsOwn(testing.ExtensionSuite):
    extension = PermessageBrotli
    options = {"server_no_context_takeover": True, "client_no_context_takeover": True}  # noqa: RUF012
    variants = ({}, {"server_max_window_bits": 10}, {"threshold": 64}, {"quality": 0})
    examples = 10


# --- negotiation ------------------------------------------------------------------------------


def answer(offer: str, **options: Any) -> str:
    """What a server with these options answers."""
    params = [part.partition("=") for part in offer.split("; ") if part]
    one = PermessageBrotli(**options)
    agreed = one.accept(Params([(name, value or None) for name, _, value in params]), SERVER)
    agreed.codec.close()
    return str(agreed.params)


def test_the_smaller_limit_of_each_window_counts() -> None:
    windows = "server_max_window_bits={}; client_max_window_bits={}"
    assert answer("") == windows.format(16, 16)
    assert answer(windows.format(12, 24)) == windows.format(12, 16)
    wide = {"server_max_window_bits": 20, "client_max_window_bits": 10}
    assert answer(windows.format(24, 24), **wide) == windows.format(20, 10)
    assert answer("client_max_window_bits=15", **wide) == windows.format(20, 10)
    for wrong in ("server_max_window_bits", "client_max_window_bits", "server_max_window_bits=9"):
        with pytest.raises(NegotiationError):
            answer(wrong)


def test_context_takeover_is_agreed_as_for_deflate() -> None:
    """RFC 7692 §7.1.1."""
    ours, theirs = "server_no_context_takeover", "client_no_context_takeover"
    assert answer(ours).startswith(f"{ours}; server_max")
    assert answer(theirs).startswith(f"{theirs}; server_max")
    assert answer("", **{ours: True, theirs: True}).startswith(f"{ours}; {theirs}; ")


@pytest.mark.parametrize(
    ("options", "given", "reason"),
    [
        ({"server_no_context_takeover": True}, WINDOW, "asked for and is not answered"),
        ({}, {"server_max_window_bits": 17}, "from 10 to 16"),
        ({}, {"server_max_window_bits": None}, "asked for and is not answered"),
        ({"server_max_window_bits": 24}, {}, "asked for and is not answered"),
        ({}, {**WINDOW, "client_max_window_bits": 9}, "from 10 to 16"),
        ({"client_max_window_bits": 12}, {**WINDOW, "client_max_window_bits": 13}, "10 to 12"),
    ],
)
def test_an_answer_that_meets_no_offer_fails_the_handshake(
    options: dict[str, Any], given: dict[str, Any], reason: str
) -> None:
    one = PermessageBrotli(**options)
    with pytest.raises(NegotiationError, match=reason):
        one.confirm(one.offers(), Params(given), CLIENT)


@pytest.mark.parametrize("bits", [10, 16, 18, 24])
@pytest.mark.parametrize("quality", [0, 1, 2, 5, 9])
async def test_each_direction_keeps_to_its_own_window(quality: int, bits: int) -> None:
    other = 34 - bits
    one = PermessageBrotli(
        quality=quality, server_max_window_bits=bits, client_max_window_bits=other
    )
    async with testing.pair([one], client=[one]) as (client, server):
        for text in ("hello " * 100, "hello " * 90):
            await client.send(text)
            assert await server.receive() == text
            await server.send(text)
            assert await client.receive() == text
        (first, _) = client.transcript.frames("server")
        (sent, _) = client.transcript.frames("client")
    assert window_bits(first.payload[0]) == bits
    assert window_bits(sent.payload[0]) == other


def test_options_have_bounds() -> None:
    for wrong in ({"quality": 12}, {"server_max_window_bits": 9}, {"client_max_window_bits": 25}):
        with pytest.raises(OptionError, match=r"to (11|24)"):
            App().install(NAME, **wrong)


# --- what a peer sends ------------------------------------------------------------------------


def received(data: bytes, budget: int = 1 << 20, size: int = 1 << 20, **settings: Any) -> bytes:
    """What is decoded of one compressed message, in fragments of ``size`` bytes."""
    codec = BrotliCodec(Settings(**settings))
    parts = [data[at : at + size] for at in range(0, len(data), size)] or [b""]
    out = b""
    for number, part in enumerate(parts):
        first, last = not number, number == len(parts) - 1
        frame = Frame(2 if first else 0, part, last, RSV.RSV1 if first else 0)
        out += bytes(codec.decode(frame, budget - len(out)).payload)
    return out


def code_of(*args: Any, **settings: Any) -> int:
    with pytest.raises(RemoteProtocolError) as caught:
        received(*args, **settings)
    return caught.value.code


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_another_encoder_is_understood(size: int) -> None:
    whole = brotli.compress(MESSAGE, lgwin=16)
    assert received(whole, size=size, peer_reset=True) == MESSAGE
    assert received(whole, size=size) == MESSAGE
    stream = brotli.Compressor(lgwin=16)
    flushed = stream.process(MESSAGE) + stream.flush()
    assert received(flushed, size=size) == MESSAGE
    assert code_of(flushed, size=size, peer_reset=True) == 1007  # its stream does not end


def test_a_sender_may_begin_a_new_stream_with_a_message() -> None:
    codec = BrotliCodec(Settings())
    stream = brotli.Compressor(lgwin=16)
    for data in (
        brotli.compress(MESSAGE, lgwin=16),
        stream.process(MESSAGE) + stream.flush(),
        stream.process(MESSAGE) + stream.finish(),
        brotli.compress(MESSAGE, lgwin=10),
    ):
        assert codec.decode(Frame(1, data, True, RSV.RSV1), 1 << 20).payload == MESSAGE


@pytest.mark.parametrize("size", [3, 1 << 20])
@pytest.mark.parametrize("peer_reset", [False, True])
def test_what_follows_the_end_of_a_stream_is_refused(peer_reset: bool, size: int) -> None:
    whole = brotli.compress(MESSAGE, lgwin=16)
    for more in (b"x", bytes(20), b"\x06", whole):
        assert code_of(whole + more, size=size, peer_reset=peer_reset) == 1007


def test_a_message_that_was_cut_anywhere_is_refused() -> None:
    rng = random.Random(1)
    for quality, payload in itertools.product((2, 5, 9), (MESSAGE, rng.randbytes(200), b"a" * 500)):
        for own_reset in (False, True):
            sender = BrotliCodec(Settings(quality=quality, own_reset=own_reset))
            data = sender.encode(Frame(2, payload)).payload
            for cut in range(1, len(data)):
                assert code_of(data[:cut], peer_reset=own_reset) == 1007, (quality, cut)


def test_a_cut_in_the_middle_of_a_stream_is_refused() -> None:
    sender = BrotliCodec(Settings())
    before = sender.encode(Frame(2, MESSAGE))
    data = sender.encode(Frame(2, MESSAGE[::-1])).payload
    for cut in range(1, len(data)):
        codec = BrotliCodec(Settings())
        codec.decode(before, 1 << 20)
        with pytest.raises(RemoteProtocolError) as caught:
            codec.decode(Frame(2, data[:cut], True, RSV.RSV1), 1 << 20)
        assert caught.value.code == 1007, cut


def test_corrupt_data_is_1007_or_other_data() -> None:
    """Never anything else: brotli has no checksum."""
    rng = random.Random(2)
    whole = brotli.compress(MESSAGE, lgwin=16)
    codes = []
    for _ in range(500):
        data = bytearray(whole)
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        try:
            received(bytes(data), peer_reset=True)
        except RemoteProtocolError as error:
            codes.append(error.code)
    assert set(codes) <= {1007, 1009}
    assert len(codes) > 250


def test_a_larger_window_than_agreed_is_refused() -> None:
    for bits in range(11, 25):
        data = brotli.Compressor(lgwin=bits)
        stream = data.process(MESSAGE) + data.flush()
        assert window_bits(stream[0]) == bits
        assert received(stream, peer_bits=bits) == MESSAGE
        assert code_of(stream, peer_bits=bits - 1) == 1007


@pytest.mark.parametrize("peer_reset", [False, True])
@pytest.mark.parametrize("budget", [0, 1000, 32_752, 100_000, 1_000_000])
def test_a_bomb_stops_at_the_budget(budget: int, peer_reset: bool) -> None:
    bomb = brotli.compress(bytes(50_000_000), quality=5, lgwin=16)
    assert len(bomb) < 10_000
    tracemalloc.start()
    try:
        assert code_of(bomb, budget, peer_reset=peer_reset) == 1009
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < budget + 100_000


@pytest.mark.parametrize("size", [1, 32_751, 32_752, 32_753, 65_504, 200_000])
def test_a_message_may_be_as_large_as_the_budget(size: int) -> None:
    for payload in (bytes(size), random.Random(3).randbytes(size)):
        for peer_reset in (False, True):
            codec = BrotliCodec(Settings(own_reset=peer_reset))
            data = codec.encode(Frame(2, payload)).payload
            assert received(data, size, peer_reset=peer_reset) == payload
            assert code_of(data, size - 1, peer_reset=peer_reset) == 1009


def test_an_empty_message_needs_bytes_only_where_it_is_a_stream() -> None:
    assert received(b"") == b""
    assert code_of(b"", peer_reset=True) == 1007
    for own_reset in (False, True):
        sender, receiver = BrotliCodec(Settings(own_reset=own_reset)), BrotliCodec(Settings())
        for payload in (b"", b"", b"x", b"", MESSAGE, b""):
            assert receiver.decode(sender.encode(Frame(2, payload)), 1 << 20).payload == payload


# --- what is compressed -----------------------------------------------------------------------


async def test_hints_and_threshold_decide_what_is_compressed() -> None:
    one = PermessageBrotli(threshold=100)
    async with testing.pair([one], client=[one]) as (client, server):
        for payload, hints in (
            (b"short", {}),
            (b"long " * 100, {}),
            (b"short", {"compress": True}),
            (b"long " * 100, {"compress": False}),
        ):
            await client.send(payload, hints=hints)
            assert await server.receive() == payload
        marked = [bool(frame.rsv) for frame in client.transcript.frames("client")]
    assert marked == [False, True, True, False]


async def test_context_makes_similar_messages_smaller() -> None:
    async with testing.pair([PermessageBrotli]) as (client, server):
        for number in range(3):
            await client.send(json.dumps({"price": number, "symbol": "WSX", "venue": "XNAS"}))
            await server.receive()
        sizes = [len(frame.payload) for frame in client.transcript.frames("client")]
    assert sizes[1] < sizes[0] / 2
    assert sizes[2] < sizes[0] / 2


def test_a_share_key_names_all_that_changes_what_is_sent() -> None:
    def key(**settings: Any) -> Any:
        return BrotliCodec(Settings(own_reset=True, **settings)).share_key

    assert BrotliCodec(Settings()).share_key is None
    assert key() == key(peer_bits=12, peer_reset=True)
    different = [key(), key(quality=6), key(own_bits=17), key(threshold=9)]
    assert len(set(different)) == len(different)


@pytest.mark.parametrize("reset", [True, False])
async def test_a_broadcast_reaches_connections_with_different_windows(reset: bool) -> None:
    app = App()
    app.install(NAME, server_no_context_takeover=reset)
    there: list[Session] = []

    @app.websocket("/")
    async def listen(session: Session) -> None:
        there.append(session)
        await session.receive()

    narrow = PermessageBrotli(server_max_window_bits=10)
    text = MESSAGE.decode() * 3
    async with (
        testing.connect(app, "/", extensions=[narrow]) as one,
        testing.connect(app, "/", extensions=[NAME]) as other,
        testing.connect(app, "/", extensions=[NAME]) as third,
    ):
        for _ in range(2):
            broadcast(there, text)
            for session in (one, other, third):
                assert await session.receive() == text
        wide = [frame.payload for frame in other.transcript.frames("server")]
        assert wide == [frame.payload for frame in third.transcript.frames("server")]
        assert (wide[0] == wide[1]) is reset
        (first, *_) = one.transcript.frames("server")
        assert window_bits(first.payload[0]) == 10


def test_what_is_held_is_told() -> None:
    codec = BrotliCodec(Settings())
    assert codec.held_bytes == 0
    frame = codec.encode(Frame(2, MESSAGE))
    sending = codec.held_bytes
    codec.decode(frame, 1 << 20)
    assert 0 < sending < codec.held_bytes <= PermessageBrotli().memory_estimate()
    codec.close()
    assert codec.held_bytes == 0
    small = PermessageBrotli(server_no_context_takeover=True, client_no_context_takeover=True)
    assert small.memory_estimate() < 1000
