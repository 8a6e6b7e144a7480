"""The opening handshake: what a server refuses and how, and what a client refuses."""

from __future__ import annotations

import pytest
from websockets.utils import accept_key

from wsext import HandshakeRejected, InvalidHandshake, InvalidStatus, Request
from wsext.protocol import handshake
from wsext.protocol.headers import Headers
from wsext.protocol.http import Response, ResponseReader

GOOD = {
    "Host": "example.com",
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def request(method: str = "GET", version: str = "HTTP/1.1", **changes: str | None) -> Request:
    headers = Headers()
    for name, value in {**GOOD, **{k.replace("_", "-"): v for k, v in changes.items()}}.items():
        if value is not None:
            headers[name] = value
    return Request(method, "/chat", headers, version=version)


def test_the_rfcs_own_example() -> None:
    response = handshake.accept_response(request(), subprotocol="chat")
    assert response.startswith(b"HTTP/1.1 101 ")
    assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in response
    assert b"Sec-WebSocket-Protocol: chat\r\n" in response


@pytest.mark.parametrize(
    ("changes", "status", "header"),
    [
        ({"method": "POST"}, 405, ("Allow", "GET")),
        ({"version": "HTTP/1.0"}, 400, None),
        ({"Upgrade": None}, 426, ("Upgrade", "websocket")),
        ({"Upgrade": "h2c"}, 426, ("Upgrade", "websocket")),
        ({"Connection": "close"}, 426, ("Upgrade", "websocket")),
        ({"Host": None}, 400, None),
        ({"Sec_WebSocket_Version": None}, 400, None),
        ({"Sec_WebSocket_Version": "8"}, 426, ("Sec-WebSocket-Version", "13")),
        ({"Sec_WebSocket_Key": None}, 400, None),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, None),
        ({"Sec_WebSocket_Key": "not base64 at all!"}, 400, None),
    ],
)
def test_a_request_that_is_no_handshake_gets_its_status(
    changes: dict[str, str | None], status: int, header: tuple[str, str] | None
) -> None:
    with pytest.raises(HandshakeRejected) as caught:
        handshake.check_upgrade(request(**changes))  # type: ignore[arg-type]
    assert caught.value.status == status
    assert caught.value.reason
    if header is not None:
        assert caught.value.headers[header[0]] == header[1]


def test_a_repeated_key_is_refused() -> None:
    bad = request()
    bad.headers["Sec-WebSocket-Key"] = GOOD["Sec-WebSocket-Key"]
    with pytest.raises(HandshakeRejected, match="exactly one"):
        handshake.check_upgrade(bad)


@pytest.mark.parametrize(
    ("allowed", "origin", "ok"),
    [
        (None, "https://evil.example", True),
        (["https://a.example"], "https://a.example", True),
        (["https://a.example"], "https://evil.example", False),
        (["https://a.example"], None, False),
        (["https://a.example", None], None, True),
    ],
)
def test_origins(allowed: list[str | None] | None, origin: str | None, ok: bool) -> None:
    asked = request(Origin=origin)
    if ok:
        handshake.check_origin(asked, allowed)
    else:
        with pytest.raises(HandshakeRejected) as caught:
            handshake.check_origin(asked, allowed)
        assert caught.value.status == 403


@pytest.mark.parametrize(
    ("origin", "host", "secure", "ok"),
    [
        ("http://example.com", "example.com", False, True),
        ("https://example.com", "example.com", True, True),
        ("http://example.com:80", "example.com", False, True),
        ("https://example.com", "example.com:443", True, True),
        ("HTTPS://Example.com", "example.COM", True, True),
        ("http://[::1]:8765", "[::1]:8765", False, True),
        ("http://example.com", "example.com", True, False),  # a page that anybody can have changed
        ("https://example.com", "example.com", False, False),
        ("http://example.com:443", "example.com", True, False),
        ("https://example.com", "example.com:80", True, False),
        ("http://example.com:8765", "example.com", False, False),
        ("http://example.com.evil", "example.com", False, False),
        ("ws://example.com", "example.com", False, False),
        ("null", "example.com", False, False),
        ("http://example.com:99999", "example.com", False, False),
        ("http://[::1", "[::1]", False, False),
        ("http://a, http://a", "a", False, False),
    ],
)
def test_a_page_of_the_same_origin_may_connect(
    origin: str, host: str, secure: bool, ok: bool
) -> None:
    asked = request(Origin=origin, Host=host)
    asked.secure = secure
    if ok:
        handshake.check_origin(asked, ["same"])
    else:
        with pytest.raises(HandshakeRejected) as caught:
            handshake.check_origin(asked, ["same"])
        assert caught.value.status == 403


def test_subprotocols_go_by_the_servers_preference() -> None:
    offered = handshake.offered_subprotocols(request(Sec_WebSocket_Protocol="v1, v2"))
    assert handshake.select_subprotocol(offered, ["v2", "v1"]) == "v2"
    assert handshake.select_subprotocol([], ["v1"]) is None
    assert handshake.select_subprotocol(["v1"], []) is None
    with pytest.raises(HandshakeRejected, match="v3"):
        handshake.select_subprotocol(offered, ["v3"])
    with pytest.raises(HandshakeRejected):
        handshake.offered_subprotocols(request(Sec_WebSocket_Protocol="a b"))


# --- client -----------------------------------------------------------------------------------


def answer(asked: Request, status: int = 101, **changes: str | None) -> bytes:
    fields: dict[str, str | None] = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": accept_key(asked.headers["Sec-WebSocket-Key"]),
        **{name.replace("_", "-"): value for name, value in changes.items()},
    }
    headers = {name: value for name, value in fields.items() if value is not None}
    return Response(status, b"no" if status != 101 else b"", headers=headers).serialize()


def check(asked: Request, data: bytes) -> object:
    reader = ResponseReader()
    response = reader.feed(data) or reader.feed_eof()
    assert response is not None
    return handshake.check_response(asked, response, ["v1"])


def test_a_client_checks_the_servers_answer() -> None:
    asked = handshake.build_request("h", "/", subprotocols=["v1"])
    assert check(asked, answer(asked, Sec_WebSocket_Protocol="v1")) == ("v1", [])
    for changes, problem in (
        ({"Upgrade": None}, "Upgrade"),
        ({"Connection": "close"}, "Connection"),
        ({"Sec_WebSocket_Accept": None}, "Accept"),
        ({"Sec_WebSocket_Accept": "x"}, "Accept"),
        ({"Sec_WebSocket_Protocol": "v2"}, "v2"),
    ):
        with pytest.raises(InvalidHandshake, match=problem):
            check(asked, answer(asked, **changes))


def test_another_status_comes_with_headers_and_body() -> None:
    asked = handshake.build_request("h", "/")
    with pytest.raises(InvalidStatus) as caught:
        check(asked, answer(asked, 403, X_Why="because"))
    assert (caught.value.status, caught.value.body) == (403, b"no")
    assert caught.value.headers["X-Why"] == "because"


def test_headers_of_the_handshake_itself_cannot_be_added() -> None:
    with pytest.raises(ValueError, match=r"connect\(subprotocols="):
        handshake.build_request("h", "/", headers=[("Sec-WebSocket-Protocol", "x")])
