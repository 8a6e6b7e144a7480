"""Stacks of codecs: order, bits, fragments, budgets, failures, and asynchronous codecs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.extensions import Append, Reverse, Slow, Split
from wsext import RSV, Codec, Frame, LocalProtocolError, NegotiationContext, RemoteProtocolError
from wsext.protocol.negotiation import confirm, make_offers, negotiate
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage
from wsext.sdk.installed import make_pipeline

LIMIT = 1 << 20


def agreed_pair(*installed: object) -> tuple[Pipeline, Pipeline, str]:
    """The pipelines of a client and a server that have negotiated, and the response."""
    offers = make_offers(installed)  # type: ignore[arg-type]
    server = negotiate(offers, installed, NegotiationContext("server", LIMIT))  # type: ignore[arg-type]
    header = server.header or ""
    client = confirm(offers, [header], installed, NegotiationContext("client", LIMIT))  # type: ignore[arg-type]
    return make_pipeline(client, LIMIT), make_pipeline(server, LIMIT), header


def decode(pipeline: Pipeline, frames: list[Frame]) -> bytes:
    out = [item for frame in frames for item in pipeline.decode(frame)]
    assert all(not frame.rsv for frame in out)
    return b"".join(bytes(frame.payload) for frame in out)


def test_two_extensions_that_do_not_commute_run_in_the_order_of_the_response() -> None:
    client, server, header = agreed_pair(Reverse(), Append(suffix="z"))
    assert header == "x-reverse, x-append; suffix=z"
    for sender, receiver in ((client, server), (server, client)):
        (frame,) = sender.encode(Frame(1, b"abc"))
        assert (frame.payload, frame.rsv) == (b"cbaz", RSV.RSV2 | RSV.RSV3)
        assert decode(receiver, [frame]) == b"abc"


def test_the_other_order_gives_other_bytes_and_the_same_message() -> None:
    client, server, header = agreed_pair(Append(suffix="z"), Reverse())
    assert header == "x-append; suffix=z, x-reverse"
    (frame,) = client.encode(Frame(1, b"abc"))
    assert frame.payload == b"zcba"
    assert decode(server, [frame]) == b"abc"


@given(
    parts=st.lists(st.binary(max_size=20), min_size=1, max_size=5),
    stack=st.permutations(["append", "reverse", "split"]),
)
def test_any_stack_and_any_fragmentation_round_trips(parts: list[bytes], stack: list[str]) -> None:
    made = {"append": Append(), "reverse": Reverse(), "split": Split()}
    client, server, _ = agreed_pair(*(made[name] for name in stack))
    for sender, receiver in ((client, server), (server, client)):
        out = []
        for at, part in enumerate(parts):
            frame = Frame(0 if at else 2, part, at == len(parts) - 1)
            out += sender.encode(frame)
            out += sender.encode(Frame(9, b"ping"))  # control frames pass between
        data = [frame for frame in out if frame.opcode < 8]
        assert [frame.opcode for frame in data] == [2] + [0] * (len(data) - 1)
        assert [frame.fin for frame in data] == [False] * (len(data) - 1) + [True]
        assert all(not frame.rsv for frame in data[1:])
        assert decode(receiver, data) == b"".join(parts)


def test_a_codec_may_not_send_bits_that_it_did_not_claim() -> None:
    class Loud(Codec):
        def encode(self, frame: Frame) -> Frame:
            return frame.replace(rsv=RSV.RSV3)

    pipeline = Pipeline([Stage("x-loud", Loud(), RSV.RSV1)])
    with pytest.raises(LocalProtocolError, match="RSV3"):
        pipeline.encode(Frame(1, b"a"))


def test_a_codec_that_leaves_its_bit_set_is_found() -> None:
    pipeline = Pipeline([Stage("x-lazy", Codec(), RSV.RSV1)])
    with pytest.raises(RemoteProtocolError, match="RSV1"):
        pipeline.decode(Frame(1, b"a", rsv=RSV.RSV1))


async def test_asynchronous_codecs_keep_the_order() -> None:
    client, server, _ = agreed_pair(Slow(), Reverse())
    assert client.is_async
    out = []
    for number in range(6):
        out += await client.aencode(Frame(1, b"%d" % number))
    received = [item for frame in out for item in await server.adecode(frame)]
    assert [frame.payload for frame in received] == [b"%d" % number for number in range(6)]


def test_a_trace_sees_every_stage_in_both_directions() -> None:
    client, server, _ = agreed_pair(Append(suffix="z"), Reverse())
    seen: list[tuple[str, str, bytes]] = []
    for pipeline in (client, server):
        pipeline.set_trace(lambda way, stage, f: seen.append((way, stage, bytes(f.payload))))
    (frame,) = client.encode(Frame(1, b"ab"))
    server.decode(frame)
    assert seen == [
        ("out", "app", b"ab"),
        ("out", "x-append", b"abz"),
        ("out", "x-reverse", b"zba"),
        ("out", "wire", b"zba"),
        ("in", "wire", b"zba"),
        ("in", "x-reverse", b"abz"),
        ("in", "x-append", b"ab"),
        ("in", "app", b"ab"),
    ]


def test_hooks_see_replace_drop_and_add() -> None:
    pipeline = Pipeline()

    def double(frame: Frame) -> list[Frame]:
        return [frame, frame]

    def drop(frame: Frame) -> tuple[()] | None:
        return () if frame.payload == b"drop" else None

    pipeline.set_hooks([drop, double], [lambda frame: frame.replace(payload=b"new")])
    assert [f.payload for f in pipeline.decode(Frame(1, b"a"))] == [b"a", b"a"]
    assert pipeline.decode(Frame(1, b"drop")) == []
    assert pipeline.encode(Frame(1, b"a"))[0].payload == b"new"


def test_a_codec_that_overrides_nothing_costs_nothing() -> None:
    inert = Stage("inert", Codec(), RSV.NONE)
    pipeline = Pipeline([inert], max_message_size=100)
    assert pipeline.passive
    assert pipeline.wire_limit == 100
    assert pipeline.shared_key == ()
    stages: list[str] = []
    pipeline.set_trace(lambda direction, stage, frame: stages.append(stage))
    assert not pipeline.passive
    frame = Frame(1, b"abc")
    assert pipeline.encode(frame) == pipeline.decode(frame) == [frame]
    assert stages == ["app", "inert", "wire", "wire", "inert", "app"]
    pipeline.set_trace(None)
    assert pipeline.passive


def test_bits_that_a_codec_claims_and_never_clears_are_refused() -> None:
    pipeline = Pipeline([Stage("inert", Codec(), RSV.RSV2)])
    assert not pipeline.passive
    with pytest.raises(RemoteProtocolError, match="RSV2") as caught:
        pipeline.decode(Frame(1, b"abc", rsv=int(RSV.RSV2)))
    assert caught.value.code == 1002
