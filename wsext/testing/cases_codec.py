"""Cases about the codec: any message, any fragments, any damage."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from inspect import isawaitable
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsext.errors import ProtocolError
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import EngineCases, fragments, skip
from wsext.testing.engines import MASK, Engines, messages_of, parse_wire, write_wire

__all__ = ["CodecCases"]

_payloads = st.one_of(
    st.binary(max_size=300),
    st.binary(min_size=1, max_size=8).map(lambda seed: seed * 500),
)
_cuts = st.lists(st.integers(0, 5000), max_size=4)
_conversation = st.lists(
    st.tuples(st.sampled_from(["client", "server"]), _payloads, _cuts, st.booleans()), max_size=6
)

#: Close codes that a codec may fail a connection with.
_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1011})


def _property(
    unless: Callable[[Any], str | None] = lambda case: None, **strategies: Any
) -> Callable[[Any], Any]:
    """A random test of ``case.examples`` examples that runs in every subclass.

    Args:
        unless: Why a suite leaves it out, or ``None``.
        strategies: What to draw.
    """

    def decorate(body: Any) -> Any:
        def test(self: Any) -> None:
            reason = unless(self)
            if reason:
                skip(reason)

            @settings(
                max_examples=self.examples,
                deadline=None,
                database=None,
                suppress_health_check=list(HealthCheck),
            )
            @given(**strategies)
            def attempt(**values: Any) -> None:
                body(self, **values)

            attempt()

        test.__name__, test.__doc__ = body.__name__, body.__doc__
        test.__qualname__ = body.__qualname__
        return test

    return decorate


class CodecCases(EngineCases):
    """What both peers may rely on once it is agreed."""

    inflates: ClassVar[bool | None] = None
    detects_corruption: ClassVar[bool] = False

    # --- messages -----------------------------------------------------------------------------

    @_property(conversation=_conversation)
    def test_messages_round_trip(self, conversation: Any) -> None:
        """Any messages in any fragments, with pings between them, come out as they went in."""
        with self.engines() as engines:
            for sender, payload, cuts, text in conversation:
                if text:
                    payload = payload.decode("latin-1").encode()
                frames: list[Frame] = []
                for frame in fragments(payload, cuts, 1 if text else 2):
                    frames += [frame, Frame(9, b"kit")]
                self._check_passes(engines, sender, frames, payload.decode() if text else payload)

    def test_empty_messages(self) -> None:
        """Messages and fragments without data arrive, again and again, between others."""
        turns: Any = ((b"", []), (b"", [0]), (b"x", []), (b"", []), (b"ab", [0, 1, 2]))
        with self.engines() as engines:
            for sender in ("client", "server"):
                for payload, cuts in turns:
                    self._check_passes(engines, sender, fragments(payload, cuts), payload)

    def test_opcodes_and_metadata_survive(self) -> None:
        """Text stays text, binary stays binary, and what `send` was given beside it does no
        harm."""
        frames = [
            Frame(1, b"text", hints={"kit": 1}, meta={"kit": "meta"}),
            Frame(2, b"binary", hints={"compress": False}),
        ]
        with self.engines() as engines:
            self._check_passes(engines, "client", frames, "text", b"binary")

    def test_what_goes_in_is_not_changed(self) -> None:
        """A codec makes new frames: the caller's frame and buffer stay as they were."""
        payload = bytearray(b"the caller's own buffer " * 20)
        frame = Frame(2, payload)
        with self.engines() as engines:
            self._send(engines, "client", [frame])
        assert bytes(payload) == b"the caller's own buffer " * 20, "encode changed the payload"
        assert (frame.opcode, frame.fin, frame.rsv) == (2, True, 0), "encode changed the frame"

    def test_control_frames_pass(self) -> None:
        """Pings and pongs pass unchanged, also in the middle of a message."""
        seen = []
        with self.engines() as engines:
            for frame in (Frame(2, b"half", False), Frame(9, b"ping"), Frame(10, b"pong")):
                events = asyncio.run(engines.pass_on("client", [frame]))
                seen += [(e.opcode, bytes(e.payload)) for e in events if isinstance(e, Frame)]
        assert (9, b"ping") in seen, f"the ping came as {seen}"
        assert (10, b"pong") in seen, f"the pong came as {seen}"

    # --- reserved bits ------------------------------------------------------------------------

    def test_only_claimed_bits_are_set(self) -> None:
        """Outgoing frames carry no reserved bit that the extension did not claim, continuations
        none where the codec says so, and control frames none."""
        with self.engines() as engines:
            (agreed,) = engines.on_server.agreed
            claimed = int(agreed.extension.rsv)
            for payload in self.messages:
                data = self._send(engines, "server", [*fragments(payload, [3]), Frame(9, b"")])
                for frame in parse_wire(data, masked=False):
                    bare = (
                        not agreed.codec.control_frames if frame.opcode >= 8
                        else frame.opcode == 0 and agreed.codec.first_frame_rsv
                    )  # fmt: skip
                    allowed = 0 if bare else claimed
                    assert not frame.rsv & ~allowed, (
                        f"{frame!r}: it claims {RSV(claimed).names()!r}"
                    )

    def test_unmarked_messages_pass(self) -> None:
        """With a reserved bit of its own, a message without the bit is not touched, or refused with
        1002 where the codec is mandatory."""
        if not self.make().rsv:
            skip("it claims no reserved bit, so every message is its own")
        with self.engines() as engines:
            before, after = b"a marked message before", b"the next marked message"
            self._check_passes(engines, "client", [Frame(2, before)], before)
            if engines.on_server.agreed[0].codec.mandatory:
                code = engines.close_code(write_wire([Frame(2, b"plain")], MASK))
                assert code == 1002, f"an unmarked message gave {code}, not 1002"
                return
            for sender, mask in (("client", MASK), ("server", b"")):
                data = write_wire([Frame(2, b"plain")], mask)
                self._check_arrives(engines, sender, data, b"plain", what="unmarked, ")
            self._check_passes(engines, "client", [Frame(2, after)], after)

    def test_a_bit_in_the_wrong_place_is_refused(self) -> None:
        """A bit that nobody claimed is 1002; so is the own bit on a continuation where only first
        frames carry it."""
        for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3):
            with self.engines() as engines:
                (agreed,) = engines.on_server.agreed
                frames = [Frame(2, b"message", True, int(bit))]
                if bit & agreed.extension.rsv:
                    if not agreed.codec.first_frame_rsv:
                        continue
                    frames = [Frame(2, b"start", False), Frame(0, b"rest", True, int(bit))]
                code = engines.close_code(write_wire(frames, MASK))
                assert code == 1002, f"{RSV(bit).names()} out of place gave {code}, not 1002"

    # --- limits and damage --------------------------------------------------------------------

    def test_the_budget_is_kept(self) -> None:
        """A message that grows beyond the limit fails with 1009, whole or in fragments, and the
        codec does not make much more than its budget before it stops."""
        size = 2_000_000
        with self.engines() as engines:
            wire = self._send(engines, "client", [Frame(2, bytes(size))])
        if self.inflates is False or (self.inflates is None and len(wire) > size // 2):
            skip("its messages do not grow when they are decoded")
        for cuts in ([], [100_000], [1, 10, 500_000]):
            with self.engines() as sender, self.engines(limit=100_000) as receiver:
                data = self._send(sender, "client", fragments(bytes(size), cuts))
                made = _measure(receiver)
                code = receiver.close_code(data)
                assert code == 1009, f"{size} bytes against a limit of 100000 gave {code}, not 1009"
                assert made() <= 400_000, f"decode made {made()} bytes of a budget of 100000"

    def test_the_budget_is_enough(self) -> None:
        """A message of exactly the limit passes."""
        payload = random.Random(0).randbytes(10_000)
        with self.engines(limit=10_000) as engines:
            self._check_passes(engines, "client", [Frame(2, payload)], payload)

    def test_the_bound_of_encoding_holds(self) -> None:
        """No message is encoded to more than `encoded_bound` allows: the peer would refuse it."""
        for size in (0, 1, 100, 5000, 70_000):
            with self.engines() as engines:
                bound = engines.on_client.agreed[0].codec.encoded_bound(size)
                for payload in (random.Random(size).randbytes(size), bytes(size)):
                    data = self._send(engines, "client", [Frame(2, payload)])
                    total = sum(len(frame.payload) for frame in parse_wire(data, masked=True))
                    assert total <= bound, (
                        f"{size} bytes became {total}; encoded_bound says {bound}"
                    )

    @_property(payload=_payloads, seed=st.integers(0, 1 << 16), kind=st.sampled_from("cfg"))
    def test_damage_is_a_protocol_error(self, payload: bytes, seed: int, kind: str) -> None:
        """Truncated, changed or random bytes end in a message or in a close code, never in
        another exception."""
        with self.engines() as engines:
            agreed = engines.on_server.agreed[0]
            data = self._send(engines, "client", [Frame(2, payload)])
            body = b"".join(bytes(frame.payload) for frame in parse_wire(data, masked=True))
            body = _damage(body, kind, random.Random(seed))
            damaged = Frame(2, body, True, int(agreed.extension.rsv))
            try:
                for frame in asyncio.run(_decode(agreed.codec, damaged, 1 << 20)):
                    assert isinstance(frame, Frame), f"decode returned {frame!r}"
            except ProtocolError as error:
                if error.code not in _CODES:
                    raise AssertionError(f"damage gave the close code {error.code}") from error
            except ValueError:
                pass  # the core makes 1007 of it
            except Exception as error:
                raise AssertionError(
                    f"damaged input made decode raise {type(error).__name__}: {error}; raise "
                    "RemoteProtocolError (1002, 1007 or 1009) or ValueError"
                ) from error

    @_property(
        unless=lambda case: (
            None if case.detects_corruption else "it promises no integrity (detects_corruption)"
        ),
        payload=st.binary(min_size=1, max_size=200),
        seed=st.integers(0, 1 << 16),
    )
    def test_corruption_is_detected(self, payload: bytes, seed: int) -> None:
        """Where it promises integrity: no message comes out other than it went in."""
        with self.engines() as engines:
            (sent,) = parse_wire(self._send(engines, "client", [Frame(2, payload)]), masked=True)
            body = _damage(bytes(sent.payload), "c", random.Random(seed))
            data = write_wire([Frame(2, body, True, sent.rsv)], MASK)
            try:
                events = asyncio.run(engines.receive("client", data))
            except ProtocolError:
                return
        # A bit that nobody reads, such as padding, may change without harm.
        got = messages_of(events)
        assert got == [payload], f"{payload!r} was changed on the wire and came as {got!r}"


def _damage(body: bytes, kind: str, rng: random.Random) -> bytes:
    if kind == "g":
        return rng.randbytes(rng.randrange(1, 200))
    if kind == "f" or not body:
        return body[: rng.randrange(len(body) + 1)]
    at = rng.randrange(len(body))
    return body[:at] + bytes([body[at] ^ rng.randrange(1, 256)]) + body[at + 1 :]


async def _decode(codec: Any, frame: Frame, budget: int) -> list[Frame]:
    result = codec.decode(frame, budget)
    if isawaitable(result):
        result = await result
    return [result] if isinstance(result, Frame) else list(result)


def _measure(engines: Engines) -> Callable[[], int]:
    """Watch how much the server's codec makes in one call at most, also when it then raises."""
    made = [0]
    for stage in engines.server.pipeline.stages:
        inner = stage.decode

        def decode(frame: Frame, budget: int, inner: Any = inner) -> Any:
            result = inner(frame, budget)
            if isinstance(result, Frame):
                made[0] = max(made[0], len(result.payload))
            elif not isawaitable(result):
                result = list(result)
                made[0] = max([made[0], *(len(item.payload) for item in result)])
            return result

        stage.decode = decode
    return lambda: made[0]
