"""Every byte of a connection, in a form that people read."""

from __future__ import annotations

from wsext import Frame
from wsext.testing import Transcript
from wsext.testing.engines import MASK, write_wire


def shaken() -> Transcript:
    transcript = Transcript()
    transcript.record("client", b"GET /echo HTTP/1.1\r\nHost: x\r\n\r\n")
    transcript.record("server", b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    return transcript


def test_a_conversation_is_in_the_order_in_which_it_was_written() -> None:
    transcript = shaken()
    transcript.record("client", write_wire([Frame(1, b"hello")], MASK))
    transcript.record("server", write_wire([Frame(2, bytes(range(30)), False, 0x60), Frame(9)]))
    transcript.record("server", write_wire([Frame(8, b"\x03\xe8bye")]))
    assert str(transcript).splitlines() == [
        "→ GET /echo HTTP/1.1",
        "→ Host: x",
        "← HTTP/1.1 101 Switching Protocols",
        "→ TEXT         FIN           5  'hello'",
        "← BINARY       ... RSV1+RSV2     30  " + bytes(range(24)).hex(" ") + " ...",
        "← PING         FIN           0",
        "← CLOSE        FIN           5  1000 bye",
    ]
    assert [frame.opcode for frame in transcript.frames("server")] == [2, 9, 8]
    assert transcript.frames("client") == [Frame(1, b"hello")]


def test_it_does_not_matter_how_bytes_are_cut() -> None:
    whole, cut = shaken(), Transcript()
    data = write_wire([Frame(1, b"one"), Frame(1, b"two")], MASK)
    whole.record("client", data)
    everything = whole.raw("client")
    cut.record("server", whole.raw("server"))
    for at in range(len(everything)):
        cut.record("client", everything[at : at + 1])
    assert cut.frames("client") == whole.frames("client")
    assert cut.raw("client") == everything


def test_the_first_frames_may_come_with_the_handshake() -> None:
    transcript = Transcript()
    transcript.record("server", b"HTTP/1.1 101 x\r\n\r\n" + write_wire([Frame(1, b"early")]))
    assert transcript.frames("server") == [Frame(1, b"early")]


def test_what_is_no_frame_is_shown_as_such() -> None:
    transcript = shaken()
    transcript.record("client", write_wire([Frame(1, b"not masked")]))
    transcript.record("client", b"and more")
    assert str(transcript).splitlines()[-2:] == [
        "→ 12 bytes, frame from a client is not masked",
        "→ 8 bytes, after an error",
    ]


def test_text_is_shown_in_short_and_only_where_it_is_text() -> None:
    transcript = shaken()
    sent = [Frame(1, b"x" * 100), Frame(1, b"\xff"), Frame(1, b"a\x1b[31m"), Frame(11, b"ok")]
    transcript.record("server", write_wire(sent))
    shown = [line.rpartition("  ")[2] for line in str(transcript).splitlines()[-4:]]
    assert shown == ["'" + "x" * 57 + "...'", "ff", b"a\x1b[31m".hex(" "), "'ok'"]
