"""Cases about a codec's state: kept apart, shared by key, freed, and stacked with others."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from inspect import isawaitable
from typing import Any

from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.sdk.codec import Codec, MessageCodec
from wsext.sdk.extension import Extension
from wsext.testing.cases_base import EngineCases, fragments
from wsext.testing.engines import Engines, parse_wire, write_wire

__all__ = ["StateCases"]

_MESSAGE = b"the message " * 9


class StateCases(EngineCases):
    """What one message or one connection may change for another."""

    def test_messages_that_pass_by_leave_the_state_alone(self) -> None:
        """Asking `wants` changes nothing, and a message that it lets by is sent as it is."""
        with self.engines() as engines:
            codec = engines.on_client.agreed[0].codec
            for payload in (b"first message " * 9, b"second message " * 9):
                for hints in ({}, {"compress": False}, {"compress": True}, {"kit": object()}):
                    wanted = codec.wants(Frame(2, payload), hints)
                    assert isinstance(wanted, bool), f"wants() returned {wanted!r}"
                hinted = Frame(2, payload, hints={"compress": False})
                self._check_passes(engines, "client", [hinted], payload, what="with a hint: ")
                plain = Frame(2, payload)
                self._check_passes(engines, "client", [plain], payload, what="after a hint: ")

    def test_connections_do_not_share_state(self) -> None:
        """What one connection has sent does not change what another one sends."""
        one, other = self.make(), self.make()
        with Engines([one], [other]) as busy, Engines([one], [other]) as fresh:
            expected = self._bodies(fresh)
            for payload in self.messages:
                self._check_passes(busy, "client", [Frame(2, payload)], payload)
        with Engines([one], [other]) as again:
            got = self._bodies(again)
            assert self._send(again, "client", [Frame(2, b"once more")]), "nothing was sent"
        with self.engines() as first, self.engines() as second:
            deterministic = self._bodies(first) == self._bodies(second)
        if deterministic:
            assert got == expected, "another connection's messages changed what this one sends"

    def _bodies(self, engines: Engines) -> list[tuple[int, int, bool, bytes]]:
        """The frames of a message without their masks, which differ every time."""
        frames = parse_wire(self._send(engines, "client", [Frame(2, _MESSAGE)]), masked=True)
        return [(f.opcode, f.rsv, f.fin, bytes(f.payload)) for f in frames]

    # --- shared messages ----------------------------------------------------------------------

    def test_equal_share_keys_mean_equal_bytes(self) -> None:
        """Where `share_key` is not None: whatever two connections have sent, with equal keys
        `encode_shared` makes equal bytes of equal messages."""
        for first, second in self._sharing():
            for payload in (b"history of the first only " * 30, b"more of it " * 30):
                self._send(first, "server", [Frame(2, payload)])
            for payload in (b"history of the first only " * 30, *self.messages):
                sent = [asyncio.run(_shared(e, payload)) for e in (first, second)]
                assert sent[0] == sent[1], (
                    f"equal share keys, and {payload!r:.40} is encoded differently"
                )

    def test_shared_frames_fit_into_every_connection(self) -> None:
        """What `encode_shared` made on one connection arrives on every one with an equal key,
        between messages of their own."""
        for pair in self._sharing():
            for turn, payload in enumerate((b"one for all " * 30, *self.messages) * 2):
                own = b"only for some " * turn
                what = "between shared messages: "
                self._check_passes(pair[turn % 2], "server", [Frame(2, own)], own, what=what)
                data = asyncio.run(_shared(pair[turn % 3 % 2], payload))
                for engines in pair:
                    engines.on_server.agreed[0].codec.skip_shared()
                    self._check_arrives(engines, "server", data, payload, what="shared: ")

    def _sharing(self) -> Iterator[tuple[Engines, Engines]]:
        """Pairs of connections with equal share keys."""
        for variant in self.all_variants():
            with self.engines(**variant) as first, self.engines(**variant) as second:
                keys = [e.on_server.agreed[0].codec.share_key for e in (first, second)]
                if keys[0] is not None and keys[0] == keys[1]:
                    hash(keys[0])
                    yield first, second

    # --- the end, and others ------------------------------------------------------------------

    def test_close_frees_at_any_time(self) -> None:
        """`close()` works before the first frame, in the middle of a message and at its end, and
        is called exactly once."""
        for frames in ([], [Frame(2, b"half", False)], [Frame(2, b"whole " * 50)]):
            engines = self.engines()
            sides = (engines.on_client, engines.on_server)
            counts = [_count_closes(side.agreed[0].codec) for side in sides]
            asyncio.run(engines.pass_on("client", frames))
            engines.close()
            engines.close()
            assert counts == [[1], [1]], f"close() was called {counts} times"

    def test_it_stacks_with_others_in_every_order(self) -> None:
        """Between two other extensions, in every order of the offers, messages round-trip."""
        one = self.make()
        bits = [bit for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3) if not bit & one.rsv]
        suffix = type("_Suffix", (_SuffixExtension,), {"rsv": bits[0] if bits else RSV.NONE})
        for order in itertools.permutations([one, suffix(), _FlipExtension()]):
            with Engines(order, order) as engines:
                names = [item.name for item in engines.on_server.agreed]
                assert len(names) == 3, f"only {names} agreed"
                for sender in ("client", "server"):
                    for payload in self.messages[:4]:
                        frames = fragments(payload, [2])
                        self._check_passes(engines, sender, frames, payload, what=f"in {names} ")


async def _shared(engines: Engines, payload: bytes) -> bytes:
    """What a server sends to every connection when it encodes a message once."""
    codec, frame = engines.on_server.agreed[0].codec, Frame(2, payload)
    if not codec.wants(frame, {}):
        return write_wire([frame])
    result = codec.encode_shared(frame)
    if isawaitable(result):
        result = await result
    return write_wire([result] if isinstance(result, Frame) else result)


def _count_closes(codec: Any) -> list[int]:
    count = [0]
    inner = codec.close

    def close() -> None:
        count[0] += 1
        inner()

    codec.close = close
    return count


class _SuffixCodec(MessageCodec):
    def encode_message(self, data: bytes) -> bytes:
        return data + b"A"

    def decode_message(self, data: bytes, budget: int) -> bytes:
        return data.removesuffix(b"A")


class _SuffixExtension(Extension):
    """A helper of the kit."""

    name = "x-kit-a"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _SuffixCodec()


class _FlipCodec(Codec):
    """Flips every byte of every frame: it needs no bit and no whole message."""

    _table = bytes(255 - byte for byte in range(256))

    def encode(self, frame: Frame) -> Frame:
        return frame.replace(payload=bytes(frame.payload).translate(self._table))

    def decode(self, frame: Frame, budget: int) -> Frame:
        return self.encode(frame)


class _FlipExtension(Extension):
    """A helper of the kit."""

    name = "x-kit-flip"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _FlipCodec()
