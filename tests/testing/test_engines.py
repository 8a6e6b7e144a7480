"""Two engines that have negotiated, and a wire between them that can be bent."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs import Counting
from tests.extensions import Append, Reverse
from wsext import (
    Agreement,
    Codec,
    Extension,
    Frame,
    NegotiationContext,
    NegotiationError,
    Params,
    ProtocolError,
)
from wsext.testing.engines import MASK, Engines, agree, messages_of, parse_wire, write_wire

bits = st.sampled_from([0, 0x40, 0x20, 0x10, 0x70])
frames = st.builds(
    Frame, st.integers(0, 7), st.binary(max_size=200), st.booleans(), bits
) | st.builds(Frame, st.integers(8, 15), st.binary(max_size=125), st.just(True), bits)


@given(sent=st.lists(frames, max_size=5), masked=st.booleans())
def test_any_frame_can_be_written_and_is_read_as_it_was(sent: list[Frame], masked: bool) -> None:
    assert parse_wire(write_wire(sent, MASK if masked else b""), masked) == sent


async def test_messages_go_through_what_is_agreed_in_both_directions() -> None:
    with Engines([Append(suffix="z")], [Append()]) as engines:
        assert engines.agreed
        for sender, masked in (("client", True), ("server", False)):
            data = await engines.send(sender, [Frame(1, b"abc")])
            assert [bytes(frame.payload) for frame in parse_wire(data, masked)] == [b"abcz"]
            assert messages_of(await engines.receive(sender, data)) == ["abc"]


async def test_nothing_in_common_is_no_agreement_and_works_as_well() -> None:
    with Engines([Append()], [Reverse()]) as engines:
        assert not engines.agreed
        assert messages_of(await engines.pass_on("server", [Frame(2, b"x")])) == [b"x"]


async def test_what_the_other_side_refuses_is_raised_with_its_code() -> None:
    with Engines([Append()], [Append()]) as engines:
        data = write_wire([Frame(1, b"no suffix", rsv=0x20)], MASK)
        with pytest.raises(ProtocolError, match="suffix is missing") as caught:
            await engines.receive("client", data)
        assert caught.value.code == 1007


def test_a_server_answers_bytes_with_a_close_code_or_takes_them() -> None:
    with Engines([], []) as engines:
        assert engines.close_code(write_wire([Frame(1, b"fine")], MASK)) is None
        assert engines.close_code(write_wire([Frame(1, b"not masked")])) == 1002


class _Leisurely(Codec):
    closed: ClassVar[list[str]] = []

    async def close(self) -> None:  # type: ignore[override]
        await asyncio.sleep(0)
        self.closed.append("at last")


class Leisurely(Extension):
    """Negotiates and closes asynchronously."""

    name: ClassVar[str] = "x-leisurely"

    async def accept(  # type: ignore[override]
        self, offer: Params, ctx: NegotiationContext
    ) -> Agreement:
        await asyncio.sleep(0)
        return Agreement(_Leisurely())

    async def confirm(self, *arguments: Any) -> Codec:  # type: ignore[override]
        await asyncio.sleep(0)
        return _Leisurely()


def test_what_is_asynchronous_is_awaited() -> None:
    with Engines([Leisurely()], [Leisurely()]) as engines:
        assert engines.agreed
    assert _Leisurely.closed == ["at last"] * 2


class _Stuck(Codec):
    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        await asyncio.Event().wait()
        return frame


class Stuck(Extension):
    """Waits for what never comes."""

    name: ClassVar[str] = "x-stuck"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _Stuck()


def test_what_never_comes_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("wsext.testing.engines.PATIENCE", 0.01)
    with (
        Engines([Stuck()], [Stuck()]) as engines,
        pytest.raises(AssertionError, match=r"has not come in 0\.01 s"),
    ):
        engines.finish(engines.send("client", [Frame(1, b"x")]))


def test_every_codec_is_closed_at_the_end_and_when_an_answer_is_refused() -> None:
    counting = Counting()
    with Engines([counting], [counting]):
        assert (counting.made, counting.closed) == (2, 0)
    assert counting.closed == 2

    class Refuses(Counting):
        def confirm(self, *arguments: object) -> None:  # type: ignore[override]
            raise NegotiationError("not this answer")

    with pytest.raises(NegotiationError, match="not this answer"):
        agree([Refuses()], [counting])
    assert (counting.made, counting.closed) == (3, 3)
