"""Cases about the codec: any message, any fragments, any damage."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterable, Iterator
from inspect import isawaitable
from typing import Any, ClassVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wsext.errors import ProtocolError
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame, Message
from wsext.protocol.wire import apply_mask, frame_header
from wsext.sdk.codec import Codec, MessageCodec
from wsext.sdk.extension import Extension
from wsext.testing.cases_base import Cases, fragments, skip
from wsext.testing.engines import Engines, parse_wire, run_async

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


class CodecCases(Cases):
    """What both peers may rely on once it is agreed."""

    inflates: ClassVar[bool | None] = None
    detects_corruption: ClassVar[bool] = False

    def engines(self, limit: int | None = None, **options: Any) -> Engines:
        """A client and a server that have agreed on the extension."""
        more = {} if limit is None else {"limit": limit}
        engines = Engines([self.make(**options)], [self.make(**options)], **more)
        if not engines.agreed:
            skip("nothing is agreed with the default options")
        return engines

    # --- messages -----------------------------------------------------------------------------

    @_property(conversation=_conversation)
    def test_messages_round_trip(self, conversation: Any) -> None:
        """Any messages in any fragments, with pings between them, come out as they went in."""
        engines = self.engines()
        for sender, payload, cuts, text in conversation:
            if text:
                payload = payload.decode("latin-1").encode()
            frames: list[Frame] = []
            for frame in fragments(payload, cuts, 1 if text else 2):
                frames += [frame, Frame(9, b"kit")]
            got = self._transfer(engines, sender, frames)
            expected = payload.decode() if text else payload
            assert got == [expected], f"{expected!r:.60} in {len(frames) // 2} came as {got!r:.60}"
        engines.close()

    def test_empty_messages(self) -> None:
        """Messages and fragments without data arrive, again and again, between others."""
        engines = self.engines()
        for sender in ("client", "server"):
            for payload, cuts in ((b"", []), (b"", [0]), (b"x", []), (b"", []), (b"ab", [0, 1, 2])):
                got = self._transfer(engines, sender, fragments(payload, cuts))
                assert got == [payload], f"{payload!r} came as {got!r}"
        engines.close()

    def test_opcodes_and_metadata_survive(self) -> None:
        """Text stays text, binary stays binary, and what `send` was given beside it does no
        harm."""
        engines = self.engines()
        frames = [
            Frame(1, b"text", hints={"kit": 1}, meta={"kit": "meta"}),
            Frame(2, b"binary", hints={"compress": False}),
        ]
        got = self._transfer(engines, "client", frames)
        assert got == ["text", b"binary"], f"['text', b'binary'] came as {got!r}"
        engines.close()

    def test_what_goes_in_is_not_changed(self) -> None:
        """A codec makes new frames: the caller's frame and buffer stay as they were."""
        engines = self.engines()
        payload = bytearray(b"the caller's own buffer " * 20)
        frame = Frame(2, payload)
        run_async(engines.send("client", [frame]))
        assert bytes(payload) == b"the caller's own buffer " * 20, "encode changed the payload"
        assert (frame.opcode, frame.fin, frame.rsv) == (2, True, 0), "encode changed the frame"
        engines.close()

    def test_control_frames_pass(self) -> None:
        """Pings and pongs pass unchanged, also in the middle of a message."""
        engines = self.engines()
        seen = []
        for frame in (Frame(2, b"half", False), Frame(9, b"ping"), Frame(10, b"pong")):
            events = run_async(engines.pass_on("client", [frame]))
            seen += [(e.opcode, bytes(e.payload)) for e in events if isinstance(e, Frame)]
        assert (9, b"ping") in seen, f"the ping came as {seen}"
        assert (10, b"pong") in seen, f"the pong came as {seen}"
        engines.close()

    # --- reserved bits ------------------------------------------------------------------------

    def test_only_claimed_bits_are_set(self) -> None:
        """Outgoing frames carry no reserved bit that the extension did not claim, continuations
        none where the codec says so, and control frames none."""
        engines = self.engines()
        (agreed,) = engines.on_server.agreed
        claimed = int(agreed.extension.rsv)
        for payload in self.messages:
            data = self._send(engines, "server", [*fragments(payload, [3]), Frame(9, b"")])
            for frame in parse_wire(data, masked=False):
                allowed = claimed
                if (frame.opcode >= 8 and not agreed.codec.control_frames) or (
                    frame.opcode == 0 and agreed.codec.first_frame_rsv
                ):
                    allowed = 0
                assert not frame.rsv & ~allowed, f"{frame!r}: it claims {RSV(claimed).names()!r}"
        engines.close()

    def test_unmarked_messages_pass(self) -> None:
        """With a reserved bit of its own, a message without the bit is not touched."""
        engines = self.engines()
        if not self._claims(engines):
            skip("it claims no reserved bit, so every message is its own")
        self._transfer(engines, "client", [Frame(2, b"a marked message before")])
        for sender, masked in (("client", True), ("server", False)):
            source, _ = Engines([], []).ends(sender)
            source.send_frame(Frame(2, b"plain"))
            data = b"".join(bytes(chunk) for chunk in source.data_to_send())
            assert parse_wire(data, masked)[0].rsv == 0
            events = run_async(engines.receive(sender, data))
            got = [event.data for event in events if isinstance(event, Message)]
            assert got == [b"plain"], f"an unmarked message came as {got!r}"
        got = self._transfer(engines, "client", [Frame(2, b"a marked message after")])
        assert got == [b"a marked message after"], "the next marked message was damaged"
        engines.close()

    def test_a_bit_in_the_wrong_place_is_refused(self) -> None:
        """A bit that nobody claimed is 1002; so is the own bit on a continuation where only first
        frames carry it."""
        for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3):
            engines = self.engines()
            (agreed,) = engines.on_server.agreed
            if bit & agreed.extension.rsv:
                if not agreed.codec.first_frame_rsv:
                    continue
                frames = [(2, b"start", False, 0), (0, b"rest", True, int(bit))]
            else:
                frames = [(2, b"message", True, int(bit))]
            code = self._code(engines, _masked(frames))
            assert code == 1002, f"{RSV(bit).names()} out of place gave {code}, not 1002"
            engines.close()

    # --- limits and damage --------------------------------------------------------------------

    def test_the_budget_is_kept(self) -> None:
        """A message that grows beyond the limit fails with 1009, whole or in fragments, and the
        codec does not make much more than its budget before it stops."""
        size = 2_000_000
        engines = self.engines()
        wire = self._send(engines, "client", [Frame(2, bytes(size))])
        if self.inflates is False or (self.inflates is None and len(wire) > size // 2):
            skip("its messages do not grow when they are decoded")
        for cuts in ([], [100_000], [1, 10, 500_000]):
            sender = self.engines()
            data = self._send(sender, "client", fragments(bytes(size), cuts))
            receiver = self.engines(limit=100_000)
            made = _measure(receiver)
            code = self._code(receiver, data)
            assert code == 1009, f"{size} bytes against a limit of 100000 gave {code}, not 1009"
            assert made() <= 400_000, f"decode made {made()} bytes of a budget of 100000"
            sender.close()
            receiver.close()
        engines.close()

    def test_the_budget_is_enough(self) -> None:
        """A message of exactly the limit passes."""
        engines = self.engines(limit=10_000)
        payload = random.Random(0).randbytes(10_000)
        got = self._transfer(engines, "client", [Frame(2, payload)])
        assert got == [payload], "a message of exactly the limit was not passed on"
        engines.close()

    def test_the_bound_of_encoding_holds(self) -> None:
        """No message is encoded to more than `encoded_bound` allows: the peer would refuse it."""
        for size in (0, 1, 100, 5000, 70_000):
            engines = self.engines()
            bound = engines.on_client.agreed[0].codec.encoded_bound(size)
            for payload in (random.Random(size).randbytes(size), bytes(size)):
                data = self._send(engines, "client", [Frame(2, payload)])
                total = sum(len(frame.payload) for frame in parse_wire(data, masked=True))
                assert total <= bound, f"{size} bytes became {total}; encoded_bound says {bound}"
            engines.close()

    @_property(payload=_payloads, seed=st.integers(0, 1 << 16), kind=st.sampled_from("cfg"))
    def test_damage_is_a_protocol_error(self, payload: bytes, seed: int, kind: str) -> None:
        """Truncated, changed or random bytes end in a message or in a close code, never in
        another exception."""
        engines = self.engines()
        rng = random.Random(seed)
        codec = engines.on_server.agreed[0].codec
        rsv = int(engines.on_server.agreed[0].extension.rsv)
        data = self._send(engines, "client", [Frame(2, payload)])
        frames = parse_wire(data, masked=True)
        body = b"".join(bytes(frame.payload) for frame in frames)
        body = _damage(body, kind, rng)
        try:
            for frame in _decode(codec, Frame(2, body, True, rsv), 1 << 20):
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
        finally:
            engines.close()

    @_property(
        unless=lambda case: (
            None if case.detects_corruption else "it promises no integrity (detects_corruption)"
        ),
        payload=st.binary(min_size=1, max_size=200),
        seed=st.integers(0, 1 << 16),
    )
    def test_corruption_is_detected(self, payload: bytes, seed: int) -> None:
        """Where it promises integrity: no message comes out other than it went in."""
        engines = self.engines()
        (sent,) = parse_wire(self._send(engines, "client", [Frame(2, payload)]), masked=True)
        body = _damage(bytes(sent.payload), "c", random.Random(seed))
        try:
            events = run_async(engines.receive("client", _masked([(2, body, True, sent.rsv)])))
        except ProtocolError:
            return
        finally:
            engines.close()
        # A bit that nobody reads, such as padding, may change without harm.
        got = [event.data for event in events if isinstance(event, Message)]
        assert got == [payload], f"{payload!r} was changed on the wire and came as {got!r}"

    # --- state --------------------------------------------------------------------------------

    def test_messages_that_pass_by_leave_the_state_alone(self) -> None:
        """Asking `wants` changes nothing, and a message that it lets by is sent as it is."""
        engines = self.engines()
        codec = engines.on_client.agreed[0].codec
        for payload in (b"first message " * 9, b"second message " * 9):
            for hints in ({}, {"compress": False}, {"compress": True}, {"kit": object()}):
                wanted = codec.wants(Frame(2, payload), hints)
                assert isinstance(wanted, bool), f"wants() returned {wanted!r}"
            got = self._transfer(engines, "client", [Frame(2, payload, hints={"compress": False})])
            assert got == [payload], f"{payload!r:.40} with a hint came as {got!r:.40}"
            got = self._transfer(engines, "client", [Frame(2, payload)])
            assert got == [payload], f"{payload!r:.40} after one with a hint came as {got!r:.40}"
        engines.close()

    def test_connections_do_not_share_state(self) -> None:
        """What one connection has sent does not change what another one sends."""
        one, other = self.make(), self.make()
        busy, fresh, again = (Engines([one], [other]) for _ in range(3))
        expected = _bodies(self._send(fresh, "client", [Frame(2, b"the message " * 9)]))
        for payload in self.messages:
            self._transfer(busy, "client", [Frame(2, payload)])
        got = _bodies(self._send(again, "client", [Frame(2, b"the message " * 9)]))
        data = self._send(again, "client", [Frame(2, b"once more")])
        assert data, "nothing was sent"
        if self._deterministic():
            assert got == expected, "another connection's messages changed what this one sends"
        for engines in (busy, fresh, again):
            engines.close()

    def test_equal_share_keys_mean_equal_bytes(self) -> None:
        """Where `share_key` is not None: whatever two connections have sent, with equal keys
        `encode_shared` makes equal bytes of equal messages."""
        for first, second in self._sharing():
            for payload in (b"history of the first only " * 30, b"more of it " * 30):
                self._send(first, "server", [Frame(2, payload)])
            for payload in (b"history of the first only " * 30, *self.messages):
                sent = [_shared(_server_codec(e), payload) for e in (first, second)]
                assert sent[0] == sent[1], (
                    f"equal share keys, and {payload!r:.40} is encoded differently"
                )

    def test_shared_frames_fit_into_every_connection(self) -> None:
        """What `encode_shared` made on one connection arrives on every one with an equal key,
        between messages of their own."""
        for pair in self._sharing():
            for turn, payload in enumerate((b"one for all " * 30, *self.messages) * 2):
                own = b"only for some " * turn
                got = self._transfer(pair[turn % 2], "server", [Frame(2, own)])
                assert got == [own], f"{own!r:.40} between shared ones came as {got!r:.40}"
                data = _shared(_server_codec(pair[turn % 3 % 2]), payload)
                for engines in pair:
                    _server_codec(engines).skip_shared()
                    try:
                        events = run_async(engines.receive("server", data))
                    except ProtocolError as error:
                        raise AssertionError(f"a shared message was refused: {error}") from error
                    got = [event.data for event in events if isinstance(event, Message)]
                    assert got == [payload], f"shared {payload!r:.40} came as {got!r:.40}"

    def _sharing(self) -> Iterator[tuple[Engines, Engines]]:
        """Pairs of connections with equal share keys."""
        for variant in self.all_variants():
            pair = self.engines(**variant), self.engines(**variant)
            keys = [_server_codec(engines).share_key for engines in pair]
            if keys[0] is not None and keys[0] == keys[1]:
                hash(keys[0])
                yield pair
            for engines in pair:
                engines.close()

    def test_close_frees_at_any_time(self) -> None:
        """`close()` works before the first frame, in the middle of a message and at its end, and
        is called exactly once."""
        for frames in ([], [Frame(2, b"half", False)], [Frame(2, b"whole " * 50)]):
            engines = self.engines()
            counts = []
            for side in (engines.on_client, engines.on_server):
                counts.append(_count_closes(side.agreed[0].codec))
            run_async(engines.pass_on("client", frames))
            engines.close()
            engines.close()
            assert counts == [[1], [1]], f"close() was called {counts} times"

    def test_it_stacks_with_others_in_every_order(self) -> None:
        """Between two other extensions, in every order of the offers, messages round-trip."""
        one = self.make()
        bits = [bit for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3) if not bit & one.rsv]
        others = [_suffix("x-kit-a", bits[0] if bits else RSV.NONE, b"A")(), _reverse()()]
        for order in itertools.permutations([one, *others]):
            engines = Engines(order, order)
            names = [item.name for item in engines.on_server.agreed]
            assert len(names) == 3, f"only {names} agreed"
            for sender in ("client", "server"):
                for payload in self.messages[:4]:
                    got = self._transfer(engines, sender, fragments(payload, [2]))
                    assert got == [payload], f"in {names} {payload!r:.40} came as {got!r:.40}"
            engines.close()

    # --- helpers ------------------------------------------------------------------------------

    def _transfer(self, engines: Engines, sender: str, frames: list[Frame]) -> list[Any]:
        try:
            return run_async(engines.messages(sender, frames))
        except ProtocolError as error:
            raise AssertionError(f"a good message was refused: {error}") from error

    def _send(self, engines: Engines, sender: str, frames: list[Frame]) -> bytes:
        try:
            return run_async(engines.send(sender, frames))
        except ProtocolError as error:
            raise AssertionError(f"a good message could not be sent: {error}") from error

    def _code(self, engines: Engines, data: bytes) -> int | None:
        """The close code that the server answers some bytes with."""
        try:
            run_async(engines.receive("client", data))
        except ProtocolError as error:
            return error.code
        return None

    def _claims(self, engines: Engines) -> bool:
        return bool(engines.on_server.agreed[0].extension.rsv)

    def _deterministic(self) -> bool:
        sent = []
        for _ in range(2):
            engines = self.engines()
            sent.append(_bodies(self._send(engines, "client", [Frame(2, b"the message " * 9)])))
            engines.close()
        return sent[0] == sent[1]


def _masked(frames: Iterable[tuple[int, bytes, bool, int]]) -> bytes:
    key = b"\x11\x22\x33\x44"
    return b"".join(
        frame_header(opcode, len(body), fin, rsv, True) + key + apply_mask(body, key)
        for opcode, body, fin, rsv in frames
    )


def _bodies(data: bytes) -> list[tuple[int, int, bool, bytes]]:
    """Frames without their masks, which differ every time."""
    masked = bool(data) and bool(data[1] & 0x80)
    return [(f.opcode, f.rsv, f.fin, bytes(f.payload)) for f in parse_wire(data, masked)]


def _damage(body: bytes, kind: str, rng: random.Random) -> bytes:
    if kind == "g":
        return rng.randbytes(rng.randrange(1, 200))
    if kind == "f" or not body:
        return body[: rng.randrange(len(body) + 1)]
    at = rng.randrange(len(body))
    return body[:at] + bytes([body[at] ^ rng.randrange(1, 256)]) + body[at + 1 :]


def _decode(codec: Any, frame: Frame, budget: int) -> list[Frame]:
    async def work() -> list[Frame]:
        result = codec.decode(frame, budget)
        if isawaitable(result):
            result = await result
        return [result] if isinstance(result, Frame) else list(result)

    return run_async(work())


def _server_codec(engines: Engines) -> Any:
    return engines.on_server.agreed[0].codec


def _shared(codec: Any, payload: bytes) -> bytes:
    """What a server sends to every connection when it encodes a message once."""

    async def work() -> Any:
        frame = Frame(2, payload)
        if not codec.wants(frame, {}):
            return frame
        result = codec.encode_shared(frame)
        return await result if isawaitable(result) else result

    result = run_async(work())
    frames = [result] if isinstance(result, Frame) else list(result)
    return b"".join(
        frame_header(f.opcode, len(f.payload), f.fin, f.rsv, False) + bytes(f.payload)
        for f in frames
    )


def _measure(engines: Engines) -> Callable[[], int]:
    """Watch how much the server's codec makes in one call at most, also when it then raises."""
    made = [0]
    pipeline = engines.server.pipeline
    for stage in pipeline.stages:
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


def _count_closes(codec: Any) -> list[int]:
    count = [0]
    inner = codec.close

    def close() -> None:
        count[0] += 1
        inner()

    codec.close = close
    return count


def _suffix(token: str, bits: RSV, suffix: bytes) -> type[Extension]:
    class _SuffixCodec(MessageCodec):
        def encode_message(self, data: bytes) -> bytes:
            return data + suffix

        def decode_message(self, data: bytes, budget: int) -> bytes:
            return data.removesuffix(suffix)

    class _SuffixExtension(Extension):
        """A helper of the kit."""

        name = token
        rsv = bits

        def make_codec(self, params: Any, ctx: Any) -> Codec:
            return _SuffixCodec()

    return _SuffixExtension


def _reverse() -> type[Extension]:
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

    return _FlipExtension
