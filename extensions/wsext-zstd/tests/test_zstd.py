"""permessage-zstd: the kit with and without dictionaries, negotiation, training."""

from __future__ import annotations

import gc
import json
import random
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import zstandard
from click.testing import CliRunner
from wsext_zstd import Dictionary, PermessageZstd, ZstdCodec
from wsext_zstd.codec import Coders, Settings
from wsext_zstd.commands import zstd
from wsext_zstd.training import measure, split, train

from wsext import RSV, App, Codec, Frame, OptionError, RemoteProtocolError, testing


def quotes(count: int, seed: int = 0) -> list[bytes]:
    """Messages as a market's feed has them: 100 to 200 bytes of JSON."""
    rng = random.Random(seed)
    names = [f"{a}{b}" for a in ("WSX", "FOO", "BAR", "QUX") for b in ("USD", "EUR", "JPY")]
    out = []
    for number in range(count):
        bid = round(rng.uniform(1, 500), 2)
        quote = {
            "type": "quote",
            "symbol": rng.choice(names),
            "bid": bid,
            "ask": round(bid + rng.random(), 2),
            "bidSize": rng.randrange(1, 2000),
            "askSize": rng.randrange(1, 2000),
            "venue": rng.choice(["XNAS", "XNYS", "BATS"]),
            "seq": 1_000_000 + number,
            "ts": f"2026-01-02T03:04:{number % 60:02}.{rng.randrange(10**6):06}Z",
        }
        out.append(json.dumps(quote, separators=(",", ":")).encode())
    return out


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("zstd") / "quotes.zdict"
    path.write_bytes(train(quotes(4000), 8192).content)
    return str(path)


class TestZstd(testing.ExtensionSuite):
    extension = PermessageZstd


class TestStateless(testing.ExtensionSuite):
    extension = PermessageZstd
    options = {"server_no_context_takeover": True, "client_no_context_takeover": True}  # noqa: RUF012


class TestWithDictionary(testing.ExtensionSuite):
    extension = PermessageZstd

    @pytest.fixture(autouse=True)
    def _use(self, trained: str) -> None:
        type(self).options = {"dictionaries": [trained]}


# --- dictionaries -----------------------------------------------------------------------------


def test_small_messages_need_less_than_half_of_deflate(trained: str) -> None:
    messages = quotes(1000, seed=9)
    assert all(100 <= len(message) <= 200 for message in messages)
    measured = measure(messages, Dictionary.load(trained))
    assert measured.with_dictionary <= measured.deflate / 2
    assert measured.with_dictionary < measured.zstd / 2


async def test_a_dictionary_is_agreed_by_its_content(trained: str, tmp_path: Path) -> None:
    other = tmp_path / "other.zdict"
    other.write_bytes(train(quotes(4000, seed=3), 4096).content)
    same = tmp_path / "renamed.zdict"
    shutil.copyfile(trained, same)
    server = PermessageZstd(dictionaries=[str(same)], server_no_context_takeover=True)
    client = PermessageZstd(dictionaries=[str(other), trained])
    async with testing.pair([server], client=[client]) as (ours, theirs):
        wanted = Dictionary.load(trained).id
        assert ours.extension("permessage-zstd").params["dict"] == wanted
        declined = theirs.negotiation.records[0]
        assert declined.reason == f"the dictionary {Dictionary.load(other).id} is not here"
        for message in quotes(50, seed=4):
            await theirs.send(message)
            assert await ours.receive() == message
        stats = theirs.stats
        assert stats.wire_bytes_out < stats.app_bytes_out / 2


async def test_without_a_common_dictionary_it_works_without(trained: str) -> None:
    client = PermessageZstd(dictionaries=[trained])
    async with testing.pair([PermessageZstd()], client=[client]) as (ours, theirs):
        assert "dict" not in ours.extension("permessage-zstd").params
        await ours.send("hello " * 100)
        assert await theirs.receive() == "hello " * 100


def coders_of(codec: Codec) -> list[Coders]:
    """The compressors that a codec keeps alive."""
    kept = gc.get_referents(codec)
    kept += [item for inner in kept if isinstance(inner, dict) for item in inner.values()]
    return [item for item in kept if isinstance(item, Coders)]


def test_stateless_codecs_share_their_compressor(trained: str) -> None:
    one = PermessageZstd(dictionaries=[trained], server_no_context_takeover=True)
    from wsext import NegotiationContext

    ctx = NegotiationContext("server", 1 << 20)
    codecs: list[Any] = [one.accept(one.offers()[0], ctx).codec for _ in range(2)]  # type: ignore[union-attr]
    assert codecs[0].share_key == codecs[1].share_key
    one_coders, other_coders = map(coders_of, codecs)
    assert len(one_coders) == 1
    assert one_coders == other_coders
    message = Frame(1, quotes(1)[0])
    assert codecs[0].encode(message).payload == codecs[1].encode(message).payload


# --- hostile input ----------------------------------------------------------------------------


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("content_size", [0, 1])
def test_a_bomb_stops_at_the_budget(reset: bool, content_size: int) -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        window_log=17,
        write_content_size=content_size,
    )
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(80_000_000))
    codec = ZstdCodec(Settings(peer_reset=reset))
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(Frame(2, bomb, True, RSV.RSV1), 100_000)
    assert caught.value.code == 1009


@pytest.mark.skipif(sys.platform != "linux", reason="the system tells elsewhere how much there is")
def test_refused_bombs_leave_no_memory_behind() -> None:
    bomb = ZstdCodec(Settings()).encode(Frame(2, bytes(1 << 20))).payload

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

    def refuse(count: int) -> None:
        for _ in range(count):
            with pytest.raises(RemoteProtocolError, match="1009"):
                ZstdCodec(Settings()).decode(Frame(2, bomb, rsv=RSV.RSV1), 1000)

    refuse(20)
    before = resident()
    refuse(300)  # each of them would leave 128 KiB
    assert resident() < before + (16 << 20)


def test_a_larger_window_than_agreed_is_refused() -> None:
    data = random.Random(1).randbytes(1 << 16) * 20
    big = ZstdCodec(Settings(window_bits=20)).encode(Frame(2, data))
    with pytest.raises(RemoteProtocolError) as caught:
        ZstdCodec(Settings(window_bits=12)).decode(big, 1 << 30)
    assert caught.value.code == 1007


def test_a_dictionary_that_cannot_be_read_is_an_option_error(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"permessage-zstd: dictionary .*nowhere.*No such file"):
        App().install("permessage-zstd", dictionaries=[str(tmp_path / "nowhere")])


# --- wsext zstd train -------------------------------------------------------------------------


def test_train_writes_a_dictionary_and_says_what_it_is_worth(tmp_path: Path) -> None:
    lines = quotes(3000)
    captured = [
        json.dumps({"event": "frame", "opcode": 1, "text": line.decode()}, separators=(",", ":"))
        for line in lines[:1000]
    ]
    (tmp_path / "plain.jsonl").write_bytes(b"\n".join(lines[1000:]))
    (tmp_path / "captured.jsonl").write_text("\n".join(captured))
    output = tmp_path / "out.zdict"
    inputs = [str(tmp_path / "plain.jsonl"), str(tmp_path / "captured.jsonl")]
    done = CliRunner().invoke(zstd, ["train", *inputs, "-o", str(output), "--size", "8192"])
    assert done.exit_code == 0, done.output
    assert f"id {Dictionary.load(output).id}" in done.output
    assert "measured with 600 messages" in done.output
    shares = {
        line[2:24].strip(): float(line.split()[-1].rstrip("%"))
        for line in done.output.splitlines()
        if line.endswith("%")
    }
    assert shares["with this dictionary"] < shares["permessage-deflate"] / 2


def test_train_with_too_little_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_bytes(b"a\nb\n")
    done = CliRunner().invoke(zstd, ["train", str(tmp_path / "few.jsonl")])
    assert done.exit_code == 1
    assert "too few" in done.output


def test_the_split_is_stable() -> None:
    assert split(quotes(10)) == split(quotes(10))


# --- where a message ends -------------------------------------------------------------------------


def alone(data: bytes, *, checksum: bool = False) -> bytes:
    """A message without context takeover, in several blocks if it is large."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3,
        format=zstandard.FORMAT_ZSTD1_MAGICLESS,
        window_log=17,
        write_content_size=len(data) % 2,
        write_checksum=checksum,
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


def received(data: bytes, size: int) -> bytes:
    """What is decoded of a message that comes in fragments of some bytes."""
    codec = ZstdCodec(Settings(peer_reset=True))
    parts = [data[at : at + size] for at in range(0, len(data), size)]
    out = b""
    for number, part in enumerate(parts):
        first, last = not number, number == len(parts) - 1
        frame = Frame(2 if first else 0, part, last, RSV.RSV1 if first else 0)
        out += codec.decode(frame, 1 << 20).payload
    return out


@pytest.mark.parametrize("checksum", [False, True])
@pytest.mark.parametrize("size", [3, 50, 1 << 20])
@pytest.mark.parametrize("message", [b"", b"even", b"odd", bytes(300_001), b"q" * 4096], ids=len)
def test_a_message_ends_where_its_zstd_frame_does(
    message: bytes, size: int, checksum: bool
) -> None:
    data = alone(message, checksum=checksum)
    assert received(data, size) == message
    for wrong in (data + b"x", data + bytes(20), data + data, data[:-1], data[:-2] + data[-1:]):
        with pytest.raises(RemoteProtocolError) as caught:
            received(wrong, size)
        assert caught.value.code == 1007


def test_a_message_of_no_bytes_is_refused_in_fragments_too() -> None:
    codec = ZstdCodec(Settings(peer_reset=True))
    codec.decode(Frame(2, b"", False, RSV.RSV1), 1000)
    with pytest.raises(RemoteProtocolError) as caught:
        codec.decode(Frame(0, b""), 1000)
    assert caught.value.code == 1007


@pytest.mark.parametrize("size", [1000, 1 << 20])
def test_a_message_of_nothing_but_blocks_is_refused(size: int) -> None:
    """Each block costs three bytes and a look at it; there is one for 128 KiB."""
    empty = alone(b"")
    head, last = empty[:-3], empty[-3:]
    assert received(head + bytes(3) * 1000 + last, size) == b""
    with pytest.raises(RemoteProtocolError) as caught:
        received(head + bytes(3) * 300_000 + last, size)
    assert caught.value.code == 1007


def test_a_window_larger_than_agreed_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, window_log=22, write_content_size=0
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    data = stream.compress(b"x") + stream.flush()
    for codec in (ZstdCodec(Settings()), ZstdCodec(Settings(peer_reset=True))):
        with pytest.raises(RemoteProtocolError) as caught:
            codec.decode(Frame(2, data, True, RSV.RSV1), 1 << 20)
        assert caught.value.code == 1007
