"""Cases about the codec: any message in any fragments, and the reserved bits."""

from __future__ import annotations

import itertools
from typing import Any

from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import (
    FAR,
    KINDS,
    ODD,
    SIMILAR,
    SIZED,
    data_of,
    frames_of,
    is_text,
    random_messages,
    samples,
)
from wsext.testing.differences import check_same
from wsext.testing.engines import MASK, Engines, frames_in, parse_wire, write_wire

__all__ = ["CodecCases"]

#: Where messages are cut: in two, with nothing at either end, into bytes, in the middle of a
#: character of several bytes.
_PLACES = ((), (1,), (0,), (-1,), (2, 2), (0, 1, 2, 3, 4, 5), (3, 700), (11, 12, 13, 14, 15, 16))


class CodecCases(EngineCases):
    """What both peers may rely on once it is agreed."""

    # --- messages -----------------------------------------------------------------------------

    def test_messages_round_trip(self) -> None:
        """Any messages in any fragments, with pings between them, come out as they went in."""
        for kind in KINDS:
            payloads = [*SIZED, *ODD, *SIMILAR[:8]]
            if kind == KINDS[-1]:
                payloads += [*self.messages, FAR]
            with self.engines() as engines:
                places = itertools.cycle(_PLACES)
                both_ways = zip(samples(kind, payloads), samples(kind, payloads[::-1]), strict=True)
                for there, back in both_ways:
                    for sender, (opcode, payload) in (("client", there), ("server", back)):
                        what = f"{kind}, {sender} sends: "
                        self._converse(engines, sender, opcode, payload, next(places), what)
        for number in range(self.examples):
            with self.engines() as engines:
                for sender, opcode, payload, cut in random_messages(number):
                    what = f"random conversation {number}: "
                    self._converse(engines, sender, opcode, payload, cut, what)

    def _converse(
        self, engines: Engines, sender: str, opcode: int, payload: bytes, places: Any, what: str
    ) -> None:
        frames: list[Frame] = []
        for frame in frames_of(opcode, payload, places):
            frames += [frame, Frame(9, b"kit")]
        self._check_passes(engines, sender, frames, data_of(opcode, payload), what=what)

    def test_similar_messages(self) -> None:
        """Messages that follow others like them arrive, also when they cannot be made smaller,
        when both sides send at the same time, and when many are on their way."""
        for kind in KINDS:
            for in_flight in (1, 5):
                with self.engines() as engines:
                    turns = [*samples(kind, SIMILAR)]
                    for start in range(0, len(turns), in_flight):
                        for sender, offset in (("client", start), ("server", -start - in_flight)):
                            sent = [turns[(offset + at) % len(turns)] for at in range(in_flight)]
                            data = b"".join(
                                self._send(engines, sender, frames_of(*sample)) for sample in sent
                            )
                            expected = [data_of(*sample) for sample in sent]
                            what = f"{kind}, {sender} sends, message {offset % len(turns)}: "
                            self._check_arrives(engines, sender, data, *expected, what=what)

    def test_many_messages(self) -> None:
        """More messages than one byte can count arrive on one connection."""
        with self.engines() as engines:
            for number in range(260):
                for sender, opcode in (("client", 1 + number % 2), ("server", 2 - number % 2)):
                    payload = b"%d of many" % number
                    self._check_message(engines, sender, opcode, payload, f"message {number}: ")

    def test_empty_messages(self) -> None:
        """Messages and fragments without data arrive, again and again, between others."""
        turns: Any = ((b"", ()), (b"", (0,)), (b"x", ()), (b"", ()), (b"ab", (0, 1, 2)))
        for kind in KINDS:
            with self.engines() as engines:
                for sender in ("client", "server"):
                    for payload, places in (*turns, *turns):
                        for opcode, _ in samples(kind, [payload]):
                            frames = frames_of(opcode, payload, places)
                            data = data_of(opcode, payload)
                            self._check_passes(engines, sender, frames, data, what=f"{kind}: ")

    def test_messages_that_look_encoded(self) -> None:
        """A message that looks like what the codec itself makes is a message like any other."""
        for opcode, payload in samples(
            "text and binary", (b"", b"ab", SIMILAR[0], SIMILAR[0] * 40)
        ):
            with self.engines() as engines:
                for _ in range(3):
                    data = self._send(engines, "client", [Frame(opcode, payload)])
                    what = "made by the codec and sent again: "
                    self._check_arrives(
                        engines, "client", data, data_of(opcode, payload), what=what
                    )
                    encoded = b"".join(bytes(f.payload) for f in parse_wire(data, masked=True))
                    payload = encoded if opcode == 2 or is_text(encoded) else payload

    def test_opcodes_and_metadata_survive(self) -> None:
        """Text stays text, binary stays binary, and what `send` was given beside it does no
        harm."""
        for size, opcode in itertools.product((1, 100), (1, 2)):
            payload = b"payload " * size
            frames = [
                Frame(opcode, payload, hints={"kit": 1}, meta={"kit": "meta"}),
                Frame(opcode, payload, hints={"compress": False}),
                Frame(3 - opcode, payload, hints={}),
                Frame(opcode, payload, hints={}),
            ]
            expected = [data_of(frame.opcode, payload) for frame in frames]
            with self.engines() as engines:
                self._check_passes(engines, "client", frames, *expected)

    def test_what_goes_in_is_not_changed(self) -> None:
        """A codec makes new frames: the frames and buffers that it is given stay as they were, and
        it keeps none of them, since their owner uses them again."""
        for opcode, payload in samples("text and binary", (SIMILAR[0], SIMILAR[0] * 40)):
            first = payload[::-1]
            buffer = bytearray(first)
            frame = Frame(opcode, buffer)
            with self.engines() as engines:
                data = self._send(engines, "client", [frame])
                check_same([first], [bytes(buffer)], "encode changed the payload: ")
                assert (frame.opcode, frame.fin, frame.rsv) == (opcode, True, 0), (
                    "encode changed the frame"
                )
                buffer[:] = payload
                what = "its buffer is used for the next message: "
                self._check_arrives(engines, "client", data, data_of(opcode, first), what=what)
                self._check_message(engines, "client", opcode, payload, what)
            with self.engines() as engines:
                for sent in parse_wire(self._send(engines, "client", [frame]), masked=True):
                    before, was = (sent.opcode, sent.fin, sent.rsv), bytes(sent.payload)
                    frames_in(engines.on_server.agreed[0].codec.decode(sent, 1 << 20))
                    check_same([was], [bytes(sent.payload)], "decode changed the frame: ")
                    assert before == (sent.opcode, sent.fin, sent.rsv), "decode changed the frame"

    def test_control_frames_pass(self) -> None:
        """Pings and pongs pass unchanged, also in the middle of a message, and as large as they
        may be."""
        controls = [Frame(9, b"ping"), Frame(10, b"pong"), Frame(9, b""), Frame(9, b"x" * 125)]
        for sender, opcode in itertools.product(("client", "server"), (1, 2)):
            with self.engines() as engines:
                for frame in (Frame(opcode, b"half", False), *controls, Frame(0, b" whole")):
                    events = engines.finish(engines.pass_on(sender, [frame]))
                    if frame.opcode in (9, 10):
                        seen = [
                            (event.opcode, bytes(event.payload))
                            for event in events
                            if isinstance(event, Frame)
                        ]
                        name, size = "ping" if frame.opcode == 9 else "pong", len(frame.payload)
                        assert seen == [(frame.opcode, bytes(frame.payload))], (
                            f"a {name} of {size} bytes came as {seen}"
                        )

    # --- reserved bits ------------------------------------------------------------------------

    def test_only_claimed_bits_are_set(self) -> None:
        """Outgoing frames carry no reserved bit that the extension did not claim, continuations
        none where the codec says so, and control frames none."""
        with self.engines() as engines:
            (agreed,) = engines.on_server.agreed
            claimed = int(agreed.extension.rsv)
            for opcode, payload in samples("text and binary", [*self.messages, *SIMILAR]):
                frames = [*frames_of(opcode, payload, [3]), Frame(9, b"")]
                for frame in parse_wire(self._send(engines, "server", frames), masked=False):
                    bare = (
                        not agreed.codec.control_frames if frame.opcode >= 8
                        else frame.opcode == 0 and agreed.codec.first_frame_rsv
                    )  # fmt: skip
                    allowed = 0 if bare else claimed
                    assert not frame.rsv & ~allowed, (
                        f"{frame!r}: it claims {RSV(claimed).names()!r}"
                    )

    def test_decoding_clears_the_bits(self) -> None:
        """What comes out of `decode` carries none of the claimed bits any more."""
        claimed = int(self.make().rsv)
        if not claimed:
            skip("it claims no reserved bit")
        with self.engines() as engines:
            codec = engines.on_server.agreed[0].codec
            for opcode, payload in samples("text and binary", SIMILAR):
                data = self._send(engines, "client", frames_of(opcode, payload, [5]))
                for sent in parse_wire(data, masked=True):
                    for frame in frames_in(codec.decode(sent, 1 << 20)):
                        assert not frame.rsv & claimed, (
                            f"decode left {RSV(frame.rsv & claimed).names()} on {frame!r}"
                        )

    def test_unmarked_messages_pass(self) -> None:
        """With a reserved bit of its own, a message without the bit is not touched; where the bit
        is mandatory, it is refused with 1002."""
        if not self.make().rsv:
            skip("it claims no reserved bit, so every message is its own")
        if self.promises("detects_corruption"):
            skip("it promises integrity: see test_unmarked_messages_are_refused")
        before, after = b"a marked message before", b"the next marked message"
        for (sender, mask), places in itertools.product(
            (("client", MASK), ("server", b"")), ((), (2,), (0, 5))
        ):
            for opcode, payload in samples("text and binary", (b"plain", b"", SIMILAR[0])):
                with self.engines() as engines:
                    self._check_message(engines, sender, opcode, before)
                    data = write_wire(frames_of(opcode, payload, places), mask)
                    if engines.on_server.agreed[0].codec.mandatory:
                        code = engines.close_code(data, sender)
                        assert code == 1002, f"an unmarked message gave {code}, not 1002"
                        continue
                    expected = data_of(opcode, payload)
                    self._check_arrives(engines, sender, data, expected, what="unmarked, ")
                    self._check_message(engines, sender, opcode, after, "after an unmarked one, ")

    def test_a_bit_in_the_wrong_place_is_refused(self) -> None:
        """A bit that nobody claimed is 1002; so is the own bit on a continuation where only first
        frames carry it."""
        for bit, opcode in itertools.product((RSV.RSV1, RSV.RSV2, RSV.RSV3), (1, 2)):
            with self.engines() as engines:
                (agreed,) = engines.on_server.agreed
                frames = [Frame(opcode, b"message", True, int(bit))]
                if bit & agreed.extension.rsv:
                    if not agreed.codec.first_frame_rsv:
                        continue
                    frames = [Frame(opcode, b"start", False), Frame(0, b"rest", True, int(bit))]
                code = engines.close_code(write_wire(frames, MASK))
                assert code == 1002, f"{RSV(bit).names()} out of place gave {code}, not 1002"
