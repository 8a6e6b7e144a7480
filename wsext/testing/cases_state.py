"""Cases about a codec's state: kept apart, freed, and stacked with others."""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import Any

from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.sdk.codec import Codec, MessageCodec
from wsext.sdk.extension import Extension
from wsext.testing.cases_base import EngineCases
from wsext.testing.corpus import KINDS, SIMILAR, data_of, frames_of, noise, samples
from wsext.testing.engines import Engines, parse_wire

__all__ = ["StateCases"]

#: Short and long, with and without a likeness to the one before.
_HISTORY = (SIMILAR[0], SIMILAR[2], noise(30), SIMILAR[0] * 30, b"", SIMILAR[3])


class StateCases(EngineCases):
    """What one message or one connection may change for another."""

    def test_messages_that_pass_by_leave_the_state_alone(self) -> None:
        """Asking `wants` changes nothing, and a message that it lets by is sent as it is."""
        for kind in KINDS:
            with self.engines() as engines:
                codec = engines.on_client.agreed[0].codec
                for opcode, payload in samples(kind, _HISTORY):
                    for hints in ({}, {"compress": False}, {"compress": True}, {"kit": object()}):
                        for asked in (Frame(opcode, payload), Frame(opcode, payload[:5], False)):
                            wanted = codec.wants(asked, hints)
                            assert isinstance(wanted, bool), f"wants() returned {wanted!r}"
                    data = data_of(opcode, payload)
                    hinted = Frame(opcode, payload, hints={"compress": False})
                    what = f"{kind}, with a hint: "
                    self._check_passes(engines, "client", [hinted], data, what=what)
                    what = f"{kind}, after a hint: "
                    self._check_message(engines, "client", opcode, payload, what)

    def test_connections_do_not_share_state(self) -> None:
        """What one connection has sent does not change what another one sends."""
        one, other = self.make(), self.make()
        with Engines([one], [other]) as busy, Engines([one], [other]) as fresh:
            expected = self._bodies(fresh)
            for opcode, payload in samples("text and binary", self.messages):
                self._check_message(busy, "client", opcode, payload)
        with Engines([one], [other]) as again:
            got = self._bodies(again)
            assert self._send(again, "client", [Frame(2, b"once more")]), "nothing was sent"
        with self.engines() as first, self.engines() as second:
            deterministic = self._bodies(first) == self._bodies(second)
        if deterministic:
            same = got == expected  # in an `assert`, pytest would look for all differences
            assert same, "another connection's messages changed what this one sends"

    def _bodies(self, engines: Engines) -> list[tuple[int, int, bool, bytes]]:
        """The frames of two messages without their masks, which differ every time."""
        sent = [Frame(1, SIMILAR[0]), Frame(2, SIMILAR[0])]
        frames = parse_wire(self._send(engines, "client", sent), masked=True)
        return [(f.opcode, f.rsv, f.fin, bytes(f.payload)) for f in frames]

    def test_connections_are_kept_apart(self) -> None:
        """Several connections of the same instances, with equal and with different options on the
        other side, may send in turn; what they sent arrives later, one connection after the
        other."""
        one = self.make()
        peers = [self.make(**variant) for variant in self.all_variants()]
        for side, sender in itertools.product(("client", "server"), repeat=2):
            with ExitStack() as stack:
                open_ones = []
                for peer in (*peers, self.make()):
                    sides = ([one], [peer]) if side == "client" else ([peer], [one])
                    open_ones.append(stack.enter_context(Engines(*sides)))
                sent: list[list[Any]] = [[] for _ in open_ones]
                for turn, (opcode, payload) in enumerate(samples("text and binary", _HISTORY)):
                    for number, engines in enumerate(open_ones):
                        own = payload + b" %d %d" % (turn, number)
                        data = self._send(engines, sender, [Frame(opcode, own)])
                        sent[number].append((data, data_of(opcode, own)))
                for number, engines in enumerate(open_ones):
                    for data, expected in sent[number]:
                        what = f"the {sender} sends, connection {number} of {len(sent)}: "
                        self._check_arrives(engines, sender, data, expected, what=what)

    # --- the end, and others ------------------------------------------------------------------

    def test_close_frees_at_any_time(self) -> None:
        """`close()` works before the first frame, in the middle of a message and at its end, and
        is called exactly once."""
        for opcode, parts in itertools.product(
            (1, 2), ([], [(b"half", False)], [(SIMILAR[0], True)])
        ):
            frames = [Frame(opcode, *part) for part in parts]
            engines = self.engines()
            sides = (engines.on_client, engines.on_server)
            calls = [_watch_close(side.agreed[0].codec) for side in sides]
            engines.finish(engines.pass_on("client", frames))
            engines.close()
            engines.close()
            for (call,) in calls if [*map(len, calls)] == [1, 1] else ():
                assert call is None, f"close() raised {type(call).__name__}: {call}"
            assert [*map(len, calls)] == [1, 1], f"close() was called {[*map(len, calls)]} times"

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
                    for opcode, payload in samples("text and binary", _HISTORY):
                        for places in ((), (2,)):
                            frames = frames_of(opcode, payload, places)
                            data, what = data_of(opcode, payload), f"in {names}, "
                            self._check_passes(engines, sender, frames, data, what=what)


def _watch_close(codec: Any) -> list[Exception | None]:
    """What became of each call of a codec's `close`."""
    calls: list[Exception | None] = []
    inner = codec.close

    def close() -> Any:
        calls.append(None)
        try:
            return inner()
        except Exception as error:
            calls[-1] = error
            raise

    codec.close = close
    return calls


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
    """Flips every byte of every frame and sends it in two: it needs no bit and no whole message."""

    _table = bytes(255 - byte for byte in range(256))

    def encode(self, frame: Frame) -> list[Frame]:
        data = bytes(frame.payload).translate(self._table)
        middle = len(data) // 2
        return [
            frame.replace(payload=data[:middle], fin=False),
            Frame(0, data[middle:], frame.fin),
        ]

    def decode(self, frame: Frame, budget: int) -> Frame:
        return frame.replace(payload=bytes(frame.payload).translate(self._table))


class _FlipExtension(Extension):
    """A helper of the kit."""

    name = "x-kit-flip"

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _FlipCodec()
