"""The head of a request: in any pieces, and nothing but the grammar."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import HandshakeRejected, Request
from wsext.protocol.heads import RequestReader

GOOD = (
    b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n"
    b"Connection: keep-alive, Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    b"Sec-WebSocket-Version: 13\r\n\r\n"
)


def read(data: bytes, step: int = 1 << 20, **limits: int) -> Request | None:
    reader = RequestReader(**limits)
    for at in range(0, len(data), step):
        found = reader.feed(data[at : at + step])
        if found is not None:
            return found
    return None


@pytest.mark.parametrize("step", [1, 7, 1000])
def test_a_request_may_come_in_any_pieces(step: int) -> None:
    data = GOOD + b"\x81\x80abcd"
    reader = RequestReader()
    found = None
    for at in range(0, len(data), step):
        if found is None:
            found = reader.feed(data[at : at + step])
        else:
            reader.keep(data[at : at + step])
    assert found is not None
    assert found.path == "/chat"
    assert reader.take_rest() == b"\x81\x80abcd"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nX: a\x00b\r\n\r\n", 400),
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"GET /\x1b[31m HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /a\rb HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\x7f HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET /\xc2\x85 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"G\x1bT / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b" GET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\nHost: x\n\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n\nlater", 400),
        (b"\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1 \r\nHost: x\r\n\r\n", 400),
        (b"GET / http/1.1\r\nHost: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n Host: x\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\n: y\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\rb\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX\xe9: a\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (b"DELETE / HTTP/1.1\r\nHost: x\r\nbroken\r\n\r\n", 405),
        (b"\x16\x03\x01\x02\x00\x01\x00\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 400),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 101 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\n" + (b"X: " + b"y" * 1000 + b"\r\n") * 20 + b"\r\n", 431),
        (b"GET / HTTP/1.1\r\nX: " + b"y" * 9000, 431),
    ],
)
def test_a_malformed_or_large_request_gets_its_status(data: bytes, status: int) -> None:
    for step in (len(data), 13):
        with pytest.raises(HandshakeRejected) as caught:
            read(data, step)
        assert caught.value.status == status


#: What a request may be made of, whole or broken.
PARTS = [
    *(b"GET / HTTP/1.1\r\n", b"Host: x\r\n", b"A: 1\r\n", b"A:\t 2 \r\n", b"B:\xe9\r\n", b"\r\n"),
    *(b"\n", b"\r", b" ", b"A: 3\n", b" fold\r\n", b"C : 4\r\n", b"D: \0\r\n", b"\x81\x80abcd"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=8), st.integers(1, 9))
def test_pieces_change_nothing(parts: list[bytes], step: int) -> None:
    def outcome(data: bytes, step: int) -> object:
        try:
            found = read(data, step)
        except HandshakeRejected as error:
            return error.status
        return None if found is None else (found.target, list(found.headers.raw_items()))

    data = PARTS[0] + PARTS[1] + b"".join(parts)
    assert outcome(data, step) == outcome(data, len(data))
    assert outcome(data + PARTS[-1], step) == outcome(data + PARTS[-1], 1 << 20)


def test_spaces_around_a_value_do_not_count() -> None:
    found = read(b"GET / HTTP/1.1\r\nHost: x\r\nA:b\r\nC: \t d e \t\r\nF:\r\nG:  \r\n\r\n")
    assert found is not None
    assert dict(found.headers) == {"host": "x", "a": "b", "c": "d e", "f": "", "g": ""}


def test_limits_hold_to_the_byte_and_to_the_line() -> None:
    head = b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n\r\n"
    assert read(head, max_size=len(head), max_count=2) is not None
    for limits, status in (({"max_size": len(head) - 1}, 431), ({"max_count": 1}, 431)):
        for step in (1, len(head)):
            with pytest.raises(HandshakeRejected) as caught:
                read(head, step, **limits)
            assert caught.value.status == status
    line = b"A: " + b"b" * (8192 - 5) + b"\r\n"
    assert read(head[:-2] + line + b"\r\n") is not None
    with pytest.raises(HandshakeRejected):
        read(head[:-2] + b"A" + line + b"\r\n")
