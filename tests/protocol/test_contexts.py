"""A context: every message arrives at every member, whatever happened to it before.

SHOW=full python -m pytest tests/protocol/test_contexts.py -n0 -s
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wsext_deflate.codec import DeflateCodec, Settings

from wsext import RSV, Codec, Frame, PreparedMessage, SharedContext, SharedHistory
from wsext.protocol.connection import Connection
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage

#: Things that happen in one example, and how many examples there are.
STEPS, EXAMPLES = (500, 200) if os.environ.get("SHOW") == "full" else (200, 30)
TAIL = b"\x00\x00\xff\xff"


def price(at: int) -> bytes:
    """One of many messages that are much like each other."""
    random = Random(at)
    value = {"symbol": random.choice(["AA", "BB", "CC"]), "price": random.random(), "at": at}
    return json.dumps(value).encode()


class Inflater:
    """Reads what a server has written, and knows nothing of wsext.

    Args:
        bits: Of the window that was agreed.
        keeps: Whether it keeps its window from one message to the next.
    """

    def __init__(self, bits: int = 12, keeps: bool = True) -> None:
        self._new = lambda: zlib.decompressobj(-bits)
        self._inflater = self._new()
        self._keeps = keeps
        self._parts: list[bytes] = []
        self._is_compressed = False
        self.compressed_sizes: list[int] = []

    def messages(self, data: bytes) -> Iterator[bytes]:
        """The messages in some whole frames (RFC 6455 §5.2)."""
        while data:
            first, size = data[0], data[1]
            at = 2
            if size == 126:
                size, at = int.from_bytes(data[2:4], "big"), 4
            elif size == 127:
                size, at = int.from_bytes(data[2:10], "big"), 10
            payload, data = data[at : at + size], data[at + size :]
            if first & 0x0F:
                self._parts, self._is_compressed = [], bool(first & 0x40)
            self._parts.append(payload)
            if first & 0x80:
                yield self._decoded(b"".join(self._parts))

    def _decoded(self, payload: bytes) -> bytes:
        if not self._is_compressed:
            return payload
        self.compressed_sizes.append(len(payload))
        if not self._keeps:
            self._inflater = self._new()
        return self._inflater.decompress(payload + TAIL)


class Member:
    """One connection of a group, and what waits for it."""

    def __init__(self, bits: int = 12, reset: bool = False, *others: Stage) -> None:
        agreed = Settings(own_bits=bits, own_reset=reset, backend="zlib")
        deflate = Stage("permessage-deflate", DeflateCodec(agreed), RSV.RSV1)
        self.connection = Connection("server", Pipeline([deflate, *others]))
        self.inflater = Inflater(bits, not reset)
        self.waiting: list[PreparedMessage] = []
        self.is_slow = self.is_streaming = False
        self.expected: list[bytes] = []

    def tell(self, message: PreparedMessage) -> None:
        self.waiting.append(message)
        if not self.is_slow:
            self.catch_up()

    def catch_up(self) -> None:
        while self.waiting and not self.is_streaming:
            message = self.waiting.pop(0)
            wire = self.connection.share_message(message)
            assert wire is not None
            self.connection.send_shared(wire)
            self.expected.append(bytes(message.data))

    def say(self, data: bytes, hints: dict[str, Any] | None = None) -> None:
        """Send to this member alone."""
        self.catch_up()
        self.connection.send_message(data, hints)
        self.expected.append(data)

    def begin(self, data: bytes) -> None:
        """Begin a streamed message, which the end is missing of."""
        self.catch_up()
        self.connection.send_frame(Frame(2, data, False))
        self.is_streaming = True
        self.expected.append(data + data)
        self.half = data

    def end(self) -> None:
        self.connection.send_frame(Frame(0, self.half, True))
        self.is_streaming = False
        if not self.is_slow:
            self.catch_up()

    def check(self) -> None:
        """Whatever was written is what was said, in that order."""
        wire = b"".join(map(bytes, self.connection.data_to_send()))
        for message in self.inflater.messages(wire):
            assert message == self.expected.pop(0)
        assert len(self.expected) == self.is_streaming


class Group:
    """Members, and what they are told."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.context = SharedContext()
        self.members: list[Member] = []
        self.said: list[PreparedMessage] = []
        self.count = 0

    def step(self) -> None:
        """Something happens; half of the time, something is said to all."""
        names = [name for name in dir(self) if name.startswith("do_")]
        weights = [len(names) if name == "do_say" else 1 for name in names]
        getattr(self, self.random.choices(names, weights)[0])()
        for member in self.members:
            member.check()

    def text(self) -> bytes:
        self.count += 1
        return price(self.count) * self.random.choice([1, 1, 1, 1, 20, 300])

    def any_member(self) -> Member:
        if not self.members:
            self.do_join()
        return self.random.choice(self.members)

    def do_join(self) -> None:
        if len(self.members) < 8:
            bits = self.random.choice([12, 12, 12, 9, 15])
            self.members.append(Member(bits, self.random.random() < 0.2))
            for message in self.said[-self.random.choice([0, 0, 3, 30]) :]:
                self.members[-1].tell(message)

    def do_leave(self) -> None:
        if self.members:
            self.members.remove(self.any_member())

    def do_say(self) -> None:
        hints = self.random.choice([None, None, None, {"compress": False}, {"compress": True}])
        message = PreparedMessage(self.text(), hints=hints).within(self.context)
        self.said.append(message)
        excluded = self.any_member() if self.random.random() < 0.05 else None
        for member in self.members:
            if member is not excluded:
                member.tell(message)

    def do_say_again(self) -> None:
        """Once more, or to one that has had it, or has not."""
        if self.said and self.random.random() < 0.5:
            message = self.random.choice(self.said).within(self.context)
            for member in self.members:
                member.tell(message)
        elif self.said:
            self.any_member().tell(self.random.choice(self.said))

    def do_say_elsewhere(self) -> None:
        self.any_member().tell(PreparedMessage(self.text()).within(SharedContext()))

    def do_say_without_context(self) -> None:
        self.any_member().tell(PreparedMessage(self.text()))

    def do_say_privately(self) -> None:
        member = self.any_member()
        if not member.is_streaming:
            hints = self.random.choice([None, None, {"compress": True}, {"compress": False}])
            member.say(self.text(), hints)

    def do_stream(self) -> None:
        member = self.any_member()
        if member.is_streaming:
            member.end()
        else:
            member.begin(self.text())

    def do_become_slow(self) -> None:
        self.any_member().is_slow = True

    def do_catch_up(self) -> None:
        for member in self.members:
            if member.is_slow:
                member.is_slow = False
                member.catch_up()

    def do_drop(self) -> None:
        """As the policies ``drop-oldest`` and ``coalesce`` do."""
        member = self.any_member()
        if member.waiting:
            member.waiting.pop(self.random.randrange(len(member.waiting)))

    def do_forget(self) -> None:
        if self.random.random() < 0.2:
            self.context.close()

    def do_end(self) -> None:
        for member in self.members:
            if member.is_streaming:
                member.end()


@settings(max_examples=EXAMPLES, deadline=None, database=None)
@given(st.randoms(use_true_random=False), st.integers(STEPS // 2, STEPS))
def test_whatever_happens_every_member_gets_what_was_said(random: Random, steps: int) -> None:
    group = Group(Random(random.getrandbits(64)))
    for _ in range(steps):
        group.step()
    group.do_end()
    group.do_catch_up()
    for member in group.members:
        member.check()
        assert not member.waiting


def told(count: int, *members: Member, context: SharedContext | None = None) -> list[bytes]:
    """Say so many messages to some members; what was said."""
    context = context or SharedContext()
    messages = [PreparedMessage(price(at)).within(context) for at in range(count)]
    for message in messages:
        for member in members:
            member.tell(message)
            member.check()
    return [bytes(message.data) for message in messages]


def test_messages_that_are_alike_become_much_smaller() -> None:
    one, other, alone = Member(), Member(), Member(reset=True)
    told(200, one, other)
    told(200, alone)
    sizes = one.inflater.compressed_sizes
    assert sizes == other.inflater.compressed_sizes
    assert sum(sizes) < 0.55 * sum(alone.inflater.compressed_sizes)


def test_who_comes_later_is_told_at_once_and_is_inside_soon() -> None:
    context, one, late = SharedContext(), Member(), Member()
    told(10, one, context=context)
    told(110, one, late, context=context)
    assert late.inflater.compressed_sizes[0] > 1.5 * one.inflater.compressed_sizes[10]
    assert late.inflater.compressed_sizes[-5:] == one.inflater.compressed_sizes[-5:]


@pytest.mark.parametrize("hints", [{"compress": False}, None])
def test_a_small_private_message_leaves_a_member_inside(hints: dict[str, Any] | None) -> None:
    context, one, other = SharedContext(), Member(), Member()
    told(5, one, other, context=context)
    other.say(b"for you alone", hints)
    other.check()
    told(5, one, other, context=context)
    assert one.inflater.compressed_sizes == other.inflater.compressed_sizes


@pytest.mark.parametrize(("data", "hints"), [(price(1) * 50, None), (b"x", {"compress": True})])
def test_a_compressed_private_message_takes_a_member_out(data: bytes, hints: Any) -> None:
    context, one, other = SharedContext(), Member(), Member()
    told(5, one, other, context=context)
    other.say(data, hints)
    other.check()
    del other.inflater.compressed_sizes[5:]
    told(5, one, other, context=context)
    assert sum(other.inflater.compressed_sizes[5:]) > 1.5 * sum(one.inflater.compressed_sizes[5:])


def test_one_that_keeps_nothing_may_encode_for_one_that_does() -> None:
    forgetful, member = Member(reset=True), Member()
    for at in range(4):
        member.say(price(at), {"compress": True})
        message = PreparedMessage(price(10 + at))
        forgetful.tell(message)
        member.tell(message)
        member.check()


def test_what_is_not_to_be_compressed_is_no_part_of_the_context() -> None:
    context, member = SharedContext(), Member()
    secret = bytes(Random(1).randbytes(200))
    for data, hints in ((secret, {"compress": False}), (b"first", None), (secret, None)):
        member.tell(PreparedMessage(data, hints=hints).within(context))
        member.check()
    assert member.inflater.compressed_sizes[-1] > len(secret)


def test_one_context_knows_nothing_of_another() -> None:
    member, secret = Member(), bytes(Random(1).randbytes(200))
    for _ in range(3):
        member.tell(PreparedMessage(secret).within(SharedContext()))
        member.check()
    assert min(member.inflater.compressed_sizes) > len(secret)


def test_a_context_tells_what_it_holds_and_is_bounded() -> None:
    context = SharedContext()
    assert context.held_bytes == 0
    told(3, Member(), context=context)
    one = context.held_bytes
    assert one > 1000
    told(3, *[Member(bits) for bits in range(9, 16)] * 2, context=context)
    assert one < context.held_bytes < 16 * one
    context.close()
    assert context.held_bytes == 0


# --- foreign codecs ---------------------------------------------------------------------------


class _Delta(SharedHistory):
    """Sends what follows the part that a message begins with like the one before it."""

    def __init__(self, closed: list[object]) -> None:
        self._last = b""
        self._closed = closed

    def encode(self, frame: Frame) -> Frame:
        pairs = zip(self._last, bytes(frame.payload), strict=False)
        same = next((at for at, (old, new) in enumerate(pairs) if old != new), 0)
        self._last = bytes(frame.payload)
        return frame.replace(payload=bytes([min(same, 255)]) + self._last[min(same, 255) :])

    def close(self) -> None:
        self._closed.append(self)


class _DeltaCodec(Codec):
    share_key = "delta"  # type: ignore[assignment]
    has_history = True
    history: Any = _Delta

    def __init__(self) -> None:
        self.last, self.closed, self.told = b"", [], 0  # type: ignore[var-annotated]

    def encode(self, frame: Frame) -> Frame:
        self.last = b""
        return frame.replace(payload=b"\0" + bytes(frame.payload))

    def skip_shared(self) -> None:
        self.told += 1

    def make_history(self) -> Any:
        return self.history(self.closed)


class _Listener:
    """Decodes a delta."""

    def __init__(self, codec: _DeltaCodec) -> None:
        self.connection = Connection("server", Pipeline([Stage("x-delta", codec, RSV.NONE)]))
        self.last = b""

    def hears(self, message: PreparedMessage) -> bytes:
        wire = self.connection.share_message(message)
        assert wire is not None
        (payload,) = Inflater().messages(wire)
        self.last = self.last[: payload[0]] + payload[1:]
        return self.last


def test_another_codec_has_a_history_of_its_own() -> None:
    context, codec = SharedContext(), _DeltaCodec()
    listener = _Listener(codec)
    for at in range(3):
        message = PreparedMessage(b"a long beginning, and then %d" % at).within(context)
        assert listener.hears(message) == message.data
    assert codec.told == 1
    context.close()
    context.close()
    assert len(codec.closed) == 1


class _Broken(_Delta):
    def encode(self, frame: Frame) -> Any:
        if not self._last:
            return super().encode(frame)
        raise OSError("broken")


class _Halves(_Delta):
    def encode(self, frame: Frame) -> Any:
        return frame.replace(fin=False)


async def _later(*args: object) -> Any:
    return _Delta([])


def _fails(*args: object) -> Any:
    raise SystemExit("no history")


@pytest.mark.parametrize("history", [_Broken, _Halves, _later, _fails, object, lambda _: None])
def test_a_history_that_fails_is_done_without(history: Any, caplog: Any) -> None:
    context = SharedContext()
    kind = type("Faulty", (_DeltaCodec,), {"history": staticmethod(history)})
    listeners = [_Listener(kind()), _Listener(kind())]
    for at in range(4):
        message = PreparedMessage(b"message %d" % at).within(context)
        for listener in listeners:
            assert listener.hears(message) == message.data
            assert listener.connection.is_open
    assert len([r for r in caplog.records if r.levelname == "ERROR"]) == 1
    assert "x-delta" in caplog.text
