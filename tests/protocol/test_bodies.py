"""The body of a request: in any pieces, within its limit, and one way only to read its end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import HandshakeRejected, Headers
from wsext.protocol.bodies import BodyReader, body_length, parse_form

CHUNKED = {"Transfer-Encoding": "chunked"}


def read(
    headers: dict[str, str], data: bytes, step: int = 1 << 20, limit: int = 100
) -> bytes | None:
    """The body, if it is whole."""
    reader = BodyReader(Headers(headers), "HTTP/1.1", limit)
    whole = reader.feed(b"")
    for at in range(0, len(data), step):
        if whole is None:
            whole = reader.feed(data[at : at + step])
    return whole


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize(
    ("headers", "data", "body"),
    [
        ({}, b"what comes behind", b""),
        ({"Content-Length": "0"}, b"", b""),
        ({"Content-Length": "3"}, b"abcGET / HTTP/1.1", b"abc"),
        ({"Content-Length": "0003"}, b"abc", b"abc"),
        ({"Content-Length": "3"}, b"ab", None),
        (CHUNKED, b"0\r\n\r\n", b""),
        (CHUNKED, b"3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\nxyz", b"abc0123456789"),
        ({"transfer-encoding": "Chunked"}, b"1\r\nx\r\n0\r\n\r\n", b"x"),
        (CHUNKED, b"3;a=b\r\nabc\r\n0;c\r\nX: y\r\nZ:\r\n\r\n", b"abc"),
        (CHUNKED, b"3 ;a\r\nabc\r\n00\r\n\r\n", b"abc"),
        (CHUNKED, b"3\r\nabc\r\n0\r\n", None),
    ],
)
def test_a_body_may_come_in_any_pieces(
    headers: dict[str, str], data: bytes, body: bytes | None, step: int
) -> None:
    assert read(headers, data, step) == body


@pytest.mark.parametrize(
    ("lines", "version", "status"),
    [
        ([("Content-Length", "3"), ("Transfer-Encoding", "chunked")], "HTTP/1.1", 400),
        ([("Transfer-Encoding", "chunked"), ("Transfer-Encoding", "chunked")], "HTTP/1.1", 400),
        ([("Transfer-Encoding", "chunked")], "HTTP/1.0", 400),
        ([("Transfer-Encoding", "chunked, identity")], "HTTP/1.1", 400),
        ([("Transfer-Encoding", "\tchunked")], "HTTP/1.1", 501),
        ([("Transfer-Encoding", "gzip, chunked")], "HTTP/1.1", 501),
        ([("Transfer-Encoding", "xchunked")], "HTTP/1.1", 501),
        ([("Transfer-Encoding", "")], "HTTP/1.1", 400),
        ([("Content-Length", "3"), ("Content-Length", "3")], "HTTP/1.1", 400),
        *[
            ([("Content-Length", value)], "HTTP/1.1", 400)
            for value in ("+3", "-3", "3, 3", "0x3", "3.0", "1_0", "", "\u00b3", "9" * 19)
        ],
    ],
)
def test_no_two_readers_find_two_ends(
    lines: list[tuple[str, str]], version: str, status: int
) -> None:
    with pytest.raises(HandshakeRejected) as caught:
        body_length(Headers(lines), version)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"3\nabc\r\n0\r\n\r\n", 400),
        (b"3\r\nabc\n0\r\n\r\n", 400),
        (b"3\r\nabcd\r\n0\r\n\r\n", 400),
        (b"3 \r\nabc\r\n0\r\n\r\n", 400),
        (b" 3\r\nabc\r\n0\r\n\r\n", 400),
        (b"+3\r\nabc\r\n0\r\n\r\n", 400),
        (b"0x3\r\nabc\r\n0\r\n\r\n", 400),
        (b"-1\r\n", 400),
        (b"\r\n", 400),
        (b"3;a\rb\r\nabc\r\n0\r\n\r\n", 400),
        (b"0" * 17 + b"\r\n\r\n", 400),
        (b"0\r\nno trailer\r\n\r\n", 400),
        (b"0\r\n folded: x\r\n\r\n", 400),
        (b"0\r\nX : y\r\n\r\n", 400),
        (b"65\r\n", 413),
        (b"ffffffffffffffff\r\n", 413),
        (b"32\r\n" + b"x" * 50 + b"\r\n33\r\n", 413),
        (b"1;" + b"x" * 9000, 413),
        (b"0\r\n" + b"X: y\r\n" * 200, 413),
        (b"0\r\n" + b"a", None),
    ],
)
@pytest.mark.parametrize("step", [7, 1 << 20])
def test_chunks_are_those_of_the_grammar_and_few(
    data: bytes, status: int | None, step: int
) -> None:
    if status is None:
        assert read(CHUNKED, data, step) is None
        return
    with pytest.raises(HandshakeRejected) as caught:
        read(CHUNKED, data, step)
    assert caught.value.status == status


def test_one_byte_in_each_chunk_is_too_much_work() -> None:
    assert read(CHUNKED, b"1\r\nx\r\n" * 200 + b"0\r\n\r\n", limit=1000) == b"x" * 200
    with pytest.raises(HandshakeRejected, match="too many chunks"):
        read(CHUNKED, b"1\r\nx\r\n" * 10_000, limit=10_000)


def test_the_limit_holds_to_the_byte() -> None:
    assert read({"Content-Length": "100"}, b"x" * 100) == b"x" * 100
    assert read(CHUNKED, b"64\r\n" + b"x" * 100 + b"\r\n0\r\n\r\n") == b"x" * 100
    with pytest.raises(HandshakeRejected) as caught:
        read({"Content-Length": "101"}, b"")  # nothing of it is waited for
    assert caught.value.status == 413


def test_over_http2_the_stream_ends_the_body() -> None:
    reader = BodyReader(Headers(), "HTTP/2", 5)
    assert reader.feed(b"ab") is None
    assert reader.feed(b"") is None
    assert reader.feed(b"cde", end=True) == b"abcde"
    reader = BodyReader(Headers(), "HTTP/2", 5)
    with pytest.raises(HandshakeRejected) as caught:
        reader.feed(b"abcdef")
    assert caught.value.status == 413
    with pytest.raises(HandshakeRejected):
        BodyReader(Headers({"Content-Length": "6"}), "HTTP/2", 5)


@pytest.mark.parametrize(
    ("value", "version", "awaited"),
    [
        (None, "HTTP/1.1", False),
        ("100-continue", "HTTP/1.1", True),
        ("100-Continue", "HTTP/2", True),
        ("100-continue", "HTTP/1.0", False),
    ],
)
def test_who_waits_for_continue_is_known(value: str | None, version: str, awaited: bool) -> None:
    headers = Headers({} if value is None else {"Expect": value})
    assert BodyReader(headers, version, 9).is_awaited is awaited


def test_nothing_else_can_be_expected() -> None:
    with pytest.raises(HandshakeRejected) as caught:
        read({"Expect": "a pony", "Content-Length": "1"}, b"")
    assert caught.value.status == 417


def test_a_form_has_its_type_and_few_fields() -> None:
    kind = "Application/X-WWW-Form-Urlencoded ; charset=utf-8"
    assert parse_form(kind, b"a=1&a=%C3%A9&b=&c&d=+") == {
        "a": ["1", "\u00e9"],
        "b": [""],
        "c": [""],
        "d": [" "],
    }
    for wrong, body, status in (
        ("", b"a=1", 415),
        ("multipart/form-data; boundary=x", b"", 415),
        (kind, b"a=\xff", 400),
        (kind, b"&".join([b"a=1"] * 1001), 400),
    ):
        with pytest.raises(HandshakeRejected) as caught:
            parse_form(wrong, body)
        assert caught.value.status == status


PARTS = [
    *(b"0\r\n", b"\r\n", b"3\r\n", b"abc", b"\r", b"\n", b"X: y\r\n", b";a", b"64\r\n", b"3"),
    *(b" ", b"0", b"abcabc", b"G"),
]


@given(st.lists(st.sampled_from(PARTS), max_size=10), st.integers(1, 5))
def test_pieces_change_nothing(parts: list[bytes], step: int) -> None:
    def outcome(step: int) -> object:
        try:
            return read(CHUNKED, data, step, limit=20)
        except HandshakeRejected as error:
            return error.status

    data = b"".join(parts)
    assert outcome(step) == outcome(len(data) or 1)
