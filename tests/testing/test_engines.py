"""Two engines that have negotiated, and a wire between them that can be bent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.codecs import Counting
from tests.extensions import Append, Reverse
from wsext import Frame, NegotiationError, ProtocolError
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
