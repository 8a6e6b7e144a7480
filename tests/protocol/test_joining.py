"""How the fragments of a message become the message."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.engines import messages, pair, pass_on
from wsext import CloseCode, Frame, Message, Opcode
from wsext.protocol.connection import Connection


@given(
    text=st.text(min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 240), max_size=8),
    pings=st.booleans(),
)
def test_fragments_may_split_characters_and_let_pings_through(
    text: str, cuts: list[int], pings: bool
) -> None:
    client, server = pair()
    payload = text.encode()
    edges = sorted({0, len(payload), *(cut for cut in cuts if cut < len(payload))})
    parts = [payload[a:b] for a, b in itertools.pairwise(edges)]
    events = []
    for at, part in enumerate(parts):
        opcode = Opcode.CONTINUATION if at else Opcode.TEXT
        client.send_frame(Frame(opcode, part, at == len(parts) - 1))
        if pings:
            client.send_control(Opcode.PING, b"%d" % at)
        events += pass_on(client, server)
    assert messages(events) == [text]
    if pings:
        pongs = [event for event in pass_on(server, client) if isinstance(event, Frame)]
        assert [pong.payload for pong in pongs] == [b"%d" % at for at in range(len(parts))]


@pytest.mark.parametrize("fragments", [1, 2, 11])
def test_a_message_over_the_limit_is_1009_however_it_is_cut(fragments: int) -> None:
    client, server = Connection("client"), Connection("server", max_message_size=10)
    payload = b"x" * 11
    edges = [at * 11 // fragments for at in range(fragments + 1)]
    for at, (start, end) in enumerate(itertools.pairwise(edges)):
        opcode = Opcode.CONTINUATION if at else Opcode.BINARY
        client.send_frame(Frame(opcode, payload[start:end], at == fragments - 1))
    assert messages(pass_on(client, server)) == []
    assert server.local_close is not None
    assert server.local_close[0] == CloseCode.MESSAGE_TOO_BIG


def test_streaming_hands_out_fragments_and_never_half_a_character() -> None:
    client, server = pair()
    server.streaming = True
    payload = "héllo €".encode()
    events = []
    for at in range(len(payload)):
        frame = Frame(0 if at else 1, payload[at : at + 1], at == len(payload) - 1)
        client.send_frame(frame)
        events += pass_on(client, server)
    pieces = [event for event in events if isinstance(event, Message)]
    assert "".join(str(piece.data) for piece in pieces) == "héllo €"
    assert pieces[0].first
    assert [piece.fin for piece in pieces] == [False] * (len(pieces) - 1) + [True]


def test_a_thousand_one_byte_fragments_cost_their_bytes() -> None:
    client, server = pair()
    client.send_frame(Frame(1, b"", False))
    for _ in range(1000):
        client.send_frame(Frame(0, b"x", False))
    pass_on(client, server)
    assert server.held_bytes == 1000
