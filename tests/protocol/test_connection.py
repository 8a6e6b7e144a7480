"""The engine: messages, fragments, UTF-8, control frames, limits and the closing handshake."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.engines import from_client, from_server, messages, pair, pass_on, take
from wsext import RSV, CloseCode, Codec, Frame, Message, Opcode
from wsext.protocol.connection import Connection
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage
from wsext.protocol.states import State


@given(data=st.one_of(st.text(max_size=200), st.binary(max_size=200)), masked=st.booleans())
def test_a_message_arrives_as_it_was_sent(data: str | bytes, masked: bool) -> None:
    client, server = pair()
    sender, receiver = (client, server) if masked else (server, client)
    sender.send_message(data)
    assert messages(pass_on(sender, receiver)) == [data]


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(1, b"\xff")],
        [Frame(1, b"\xc3")],
        [Frame(1, b"\xed\xa0\x80")],
        [Frame(1, b"ok", False), Frame(0, b"\xff", False)],
        [Frame(1, b"\xe2\x82", False), Frame(0, b"\x28", False)],
        [Frame(1, b"\xe2\x82", False), Frame(0, b"", True)],
        [Frame(8, b"\x03\xe8\xff")],
    ],
)
def test_text_that_is_not_utf8_is_1007_at_once(frames: list[Frame]) -> None:
    client = from_server(*frames)
    assert client.local_close is not None
    assert client.local_close[0] == CloseCode.INVALID_DATA
    assert client.state is State.FAILED


@pytest.mark.parametrize(
    "frames",
    [
        [Frame(0, b"x")],
        [Frame(1, b"a", False), Frame(1, b"b")],
        [Frame(1, b"a", False), Frame(2, b"b", False)],
        [Frame(8, b"\x03")],
        [Frame(8, b"\x03\xed")],
        [Frame(8, (999).to_bytes(2, "big"))],
        [Frame(8, (1006).to_bytes(2, "big"))],
        [Frame(8, (2999).to_bytes(2, "big"))],
        [Frame(8, (5000).to_bytes(2, "big"))],
    ],
)
def test_broken_fragments_and_close_frames_are_1002(frames: list[Frame]) -> None:
    client = from_server(*frames)
    assert client.local_close is not None
    assert client.local_close[0] == CloseCode.PROTOCOL_ERROR


def test_a_frame_limit_of_its_own() -> None:
    client, server = Connection("client"), Connection("server", max_frame_size=200)
    client.send_message(b"x" * 201)
    pass_on(client, server)
    assert server.local_close == (1009, "frame of 201 bytes; the limit is 200")


@pytest.mark.parametrize("role", ["client", "server"])
def test_the_closing_handshake_is_clean_whoever_begins(role: str) -> None:
    client, server = pair()
    first, second = (client, server) if role == "client" else (server, client)
    assert first.send_close(3001, "done")
    assert first.state is State.CLOSE_SENT
    pass_on(first, second)
    pass_on(second, first)
    assert first.state is second.state is State.CLOSED
    for connection in (first, second):
        info = connection.close_info()
        assert (info.code, info.reason, info.clean) == (3001, "done", True)
    assert first.close_info().local_first
    assert not second.close_info().local_first
    assert not first.send_close(1000)


def test_both_may_close_at_the_same_time() -> None:
    client, server = pair()
    client.send_close(1000)
    server.send_close(1001)
    ours, theirs = take(client), take(server)
    client.receive_data(theirs)
    server.receive_data(ours)
    assert client.state is server.state is State.CLOSED
    assert client.close_info().clean


def test_what_the_peer_was_sending_when_we_closed_still_arrives() -> None:
    client, server = pair()
    client.send_message("last words")
    server.send_close()
    assert messages(pass_on(client, server)) == ["last words"]


def test_nothing_counts_after_the_peers_close() -> None:
    client, server = pair()
    client.send_close()
    data = take(client)
    assert messages(list(server.receive_data(data + from_client(Frame(1, b"zombie"))))) == []
    assert server.state is State.CLOSED


def test_an_empty_close_is_answered_with_an_empty_close() -> None:
    server = Connection("server")
    server.receive_data(from_client(Frame(8, b"")))
    assert take(server) == b"\x88\x00"
    assert server.close_info().code == CloseCode.NO_STATUS
    assert server.close_info().ok


def test_a_raw_connection_hands_out_every_frame_and_answers_none() -> None:
    server = Connection("server", raw=True)
    sent = [Frame(1, b"a", False), Frame(9, b"p"), Frame(0, b"b"), Frame(8, b"\x03\xe8")]
    assert server.receive_data(from_client(*sent)) == sent
    assert not server.has_output


@given(garbage=st.binary(max_size=300))
def test_no_bytes_raise(garbage: bytes) -> None:
    server = Connection("server")
    server.receive_data(garbage)
    server.receive_data(garbage)
    info = server.close_info()
    assert info.local is None or info.local[0] in (1000, 1002, 1007, 1009) or info.remote


def test_what_follows_a_close_frame_is_discarded() -> None:
    """RFC 6455 §1.4; in one read with it, too, and whatever it is."""
    client = Connection("client")
    events = client.receive_data(b"\x88\x02\x03\xe8" + b"\xff" * 20)
    assert [event.opcode for event in events if isinstance(event, Frame)] == [Opcode.CLOSE]
    assert client.close_info().clean
    assert client.failure is None


class Moody(Codec):
    """Refuses some payloads, takes others apart, lets some pass, makes new ones of the rest."""

    def decode(self, frame: Frame, budget: int) -> Frame | Iterable[Frame]:
        payload = bytes(frame.payload)
        if payload == b"refuse":
            raise ValueError("no")
        if payload.startswith(b"two") and frame.fin:
            return [frame.replace(payload=b"first", fin=False), Frame(0, payload[3:])]
        return frame if payload.startswith(b"pass") else frame.replace(payload=payload + b".")


@given(
    frames=st.lists(
        st.builds(
            Frame,
            st.sampled_from([1, 1, 1, 2, 0, 9, 10, 8]),
            st.sampled_from([b"", b"refuse", b"two", b"two\xff", b"pass", b"\xff", b"\xc3"]),
            st.sampled_from([True, True, False]),
        ),
        max_size=4,
    ),
    cut=st.integers(1, 40),
)
def test_it_does_not_matter_how_frames_are_spread_over_reads(frames: list[Frame], cut: int) -> None:
    data = from_client(*frames)
    ends = []
    for size in (len(data) or 1, cut, 1):
        server = Connection("server", Pipeline([Stage("moody", Moody(), RSV(0))]))
        events = []
        for at in range(0, len(data), size):
            events += server.receive_data(data[at : at + size])
        assert all(isinstance(event, Message | Frame) for event in events)
        told = [event.data if isinstance(event, Message) else event for event in events]
        ends.append((told, server.state, server.close_info().code, take(server)))
    assert ends[0] == ends[1] == ends[2]
