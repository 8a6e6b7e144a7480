"""The sending half: what may be sent when, and what has travelled."""

from __future__ import annotations

import pytest

from tests.protocol.engines import pair, pass_on, take
from wsext import Frame, Interceptor, LocalProtocolError, Opcode, RemoteProtocolError, hookimpl
from wsext.protocol.states import State
from wsext.sdk.installed import Installed
from wsext.testing.engines import parse_wire


def test_this_side_keeps_the_rules_too() -> None:
    client, _ = pair()
    with pytest.raises(LocalProtocolError, match="continuation"):
        client.send_frame(Frame(0, b"x"))
    client.send_frame(Frame(1, b"x", False))
    with pytest.raises(LocalProtocolError, match="half way"):
        client.send_message("another")
    with pytest.raises(LocalProtocolError, match="125"):
        client.send_frame(Frame(9, b"x" * 126))
    client.send_close()
    with pytest.raises(LocalProtocolError, match="closing"):
        client.send_frame(Frame(0, b"x"))


def test_data_of_another_type_is_refused() -> None:
    client, _ = pair()
    with pytest.raises(TypeError, match="int"):
        client.send_message(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("code", [999, 1004, 1005, 1006, 1015, 2000, 5000])
def test_codes_that_may_not_travel_cannot_be_sent(code: int) -> None:
    client, _ = pair()
    if code == 1005:
        assert client.send_close(code)
        assert take(client)[1] == 0x80  # without a code
    else:
        with pytest.raises(ValueError, match=str(code)):
            client.send_close(code)


def test_a_long_reason_is_cut_between_characters() -> None:
    client, server = pair()
    client.send_close(1000, "é" * 100)
    pass_on(client, server)
    assert server.remote_close == (1000, "é" * 61)


def test_while_the_peer_does_not_read_only_the_last_ping_is_answered() -> None:
    client, server = pair()
    server.hold_pongs(True)
    for number in range(1000):
        client.send_control(Opcode.PING, b"%d" % number)
    pass_on(client, server)
    assert not server.has_output
    server.hold_pongs(False)
    assert take(server) == b"\x8a\x03999"


def test_a_lost_transport_is_1006() -> None:
    client, _ = pair()
    client.lose(ConnectionResetError("gone"))
    info = client.close_info()
    assert (info.code, info.clean) == (1006, False)
    assert isinstance(info.exception, ConnectionResetError)


def test_a_close_frame_that_was_still_waiting_has_not_travelled() -> None:
    for unsent in (False, True):
        client, _ = pair()
        client.send_close(4000)
        if unsent:
            assert client.has_output
        else:
            take(client)
        client.lose()
        assert client.close_info().local == (None if unsent else (4000, ""))


def test_bytes_are_handed_out_once_and_in_order() -> None:
    _, server = pair()
    for data in ("one", b"two", b"x" * 20_000, "four"):
        server.send_message(data)
    assert server.pending_bytes > 20_000
    frames = parse_wire(take(server), masked=False)
    assert [bytes(frame.payload) for frame in frames] == [b"one", b"two", b"x" * 20_000, b"four"]
    assert not server.has_output
    assert take(server) == b""
    assert (server.messages_out, server.app_bytes_out) == (4, 20_010)


def test_what_an_interceptor_drops_is_not_counted_as_sent() -> None:
    _, server = pair()
    server.pipeline.set_hooks((), [lambda frame: () if frame.payload == b"no" else None])
    for data in ("no", "yes", b"no"):
        server.send_message(data)
    assert (server.messages_out, server.app_bytes_out) == (1, 3)
    assert [bytes(frame.payload) for frame in parse_wire(take(server), masked=False)] == [b"yes"]


def test_a_streamed_message_that_an_interceptor_drops_is_not_counted_as_sent() -> None:
    class Refuses(Interceptor):
        name = "refuses"

        @hookimpl
        def wsext_message_sending(self, message: str | bytes) -> tuple[()] | None:
            return () if message == "not this" else None

    installed = Installed()
    installed.install(Refuses)
    _, server = pair()
    installed.set_frame_hooks(None, server.pipeline)
    for first, last in ((b"not ", b"this"), (b"but ", b"that")):
        server.send_frame(Frame(1, first, False))
        assert server.is_halfway
        server.send_frame(Frame(0, last))
        assert not server.is_halfway
    assert (server.messages_out, server.app_bytes_out) == (1, 8)
    assert [bytes(frame.payload) for frame in parse_wire(take(server), masked=False)] == [
        b"but that"
    ]


def test_only_a_client_masks() -> None:
    client, server = pair()
    for connection, bit in ((client, 0x80), (server, 0)):
        connection.send_message("x")
        assert take(connection)[1] & 0x80 == bit


def test_a_failure_tells_the_peer_its_code_once() -> None:
    _, server = pair()
    for code in (1009, 1002):
        server.fail(RemoteProtocolError(code, "too much"))
    (frame,) = parse_wire(take(server), masked=False)
    assert frame == Frame(8, b"\x03\xf1too much")
    assert server.state is State.FAILED
    assert not server.send_close()
