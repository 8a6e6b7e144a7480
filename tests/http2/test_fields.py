"""Requests and responses as header fields."""

from __future__ import annotations

import pytest

from wsext import HandshakeRejected, Headers, InvalidHandshake, Request
from wsext.http2 import fields
from wsext.protocol.handshake import build_request


def test_a_handshake_becomes_an_extended_connect_and_is_read_again() -> None:
    asked = build_request("example.com", "/chat?x=1", subprotocols=["v1"])
    asked.secure = True
    fields.as_connect(asked)
    sent = fields.request_fields(asked)
    assert sent[:5] == [
        (":method", "CONNECT"),
        (":protocol", "websocket"),
        (":scheme", "https"),
        (":authority", "example.com"),
        (":path", "/chat?x=1"),
    ]
    assert ("sec-websocket-protocol", "v1") in sent
    assert not {"host", "upgrade", "connection", "sec-websocket-key"} & {name for name, _ in sent}
    read = fields.read_request([(name.encode(), value.encode()) for name, value in sent])
    assert (read.method, read.target, read.version) == ("CONNECT", "/chat?x=1", "HTTP/2")
    assert (read.protocol, read.host) == ("websocket", "example.com")
    assert read.is_upgrade


@pytest.mark.parametrize(
    ("target", "method", "more", "status"),
    [
        ("/", "GET", {}, None),
        ("nowhere", "GET", {}, 400),
        ("/#x", "GET", {}, 400),
        ("/a HTTP/1.1", "GET", {}, 400),
        ("/\x1b", "GET", {}, 400),
        ("/ü", "GET", {}, 400),
        ("/", "GE T", {}, 400),
        ("/", "", {}, 400),
        ("/" + "x" * 100, "GET", {}, 431),
        ("/", "GET", {"x": "y" * 100}, 431),
        ("/", "GET", {"a": "1", "b": "2", "c": "3"}, 431),
    ],
)
def test_a_request_is_held_to_the_limits(
    target: str, method: str, more: dict[str, str], status: int | None
) -> None:
    asked = Request(method, target, Headers(more), version="HTTP/2")
    if status is None:
        fields.check_request(asked, 100, 2)
        return
    with pytest.raises(HandshakeRejected) as caught:
        fields.check_request(asked, 100, 2)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, b"1") for name in (b"x\r\ny", b"X", b"x y", b"", b"x(", b"\xc3\xbc", b"x:y")),
        *((b"x", value) for value in (b"a\r\nb", b"a\0", b"\x1b[31m", b"\x7f")),
        (b":path", b"/\n"),
    ],
)
def test_malformed_fields_are_refused(name: bytes, value: bytes) -> None:
    with pytest.raises(HandshakeRejected) as caught:
        fields.read_request([(b":method", b"GET"), (name, value)])
    assert caught.value.status == 400
    with pytest.raises(InvalidHandshake):
        fields.read_response([(b":status", b"200"), (name, value)])


@pytest.mark.parametrize("scheme", [b"", b"wss", b"ftp", b"HTTP"])
def test_a_scheme_that_is_none_of_http_is_refused(scheme: bytes) -> None:
    with pytest.raises(HandshakeRejected, match="malformed :scheme"):
        fields.read_request([(b":method", b"GET"), (b":scheme", scheme)])


@pytest.mark.parametrize("status", [b"", b"99", b"1e3", b"099", b"2000", b"\xb2\xb2\xb2"])
def test_a_malformed_status_is_an_invalid_handshake(status: bytes) -> None:
    with pytest.raises(InvalidHandshake, match="status"):
        fields.read_response([(b":status", status)])


def test_a_tunnel_for_tcp_is_refused() -> None:
    asked = fields.read_request([(b":method", b"CONNECT"), (b":authority", b"example.com:443")])
    with pytest.raises(HandshakeRejected) as caught:
        fields.check_request(asked, 1000, 10)
    assert (caught.value.status, caught.value.headers["Allow"]) == (405, "GET, HEAD")


def test_responses() -> None:
    sent = fields.response_fields(200, [("X-A", "b"), ("Connection", "close"), ("Upgrade", "x")])
    assert sent == [(":status", "200"), ("x-a", "b")]
    read = fields.read_response([(b":status", b"404"), (b"x-a", b"b")])
    assert (read.status_code, read.headers["X-A"]) == (404, "b")


def test_other_bytes_are_latin_1_as_in_http_1() -> None:
    assert fields.read_request([(b"x", b"\xfc\xff")]).headers["x"] == "üÿ"
