"""The opening handshake: what a server refuses and how, and what a client refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import accept_key

from wsext import HandshakeRejected, InvalidHandshake, InvalidStatus, Request
from wsext.protocol import handshake
from wsext.protocol.headers import Headers
from wsext.protocol.heads import RequestReader
from wsext.protocol.http import Response, ResponseReader, serialize_request

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


BAD = ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "a\x1bb", "a\x7fb", "\u20ac", "\udc80"]


@pytest.mark.parametrize("bad", BAD, ids=ascii)
def test_nothing_gets_into_a_request_that_would_end_its_line(bad: str) -> None:
    build = handshake.build_request
    for part, make in {
        "'Authorization'": lambda: build("h", "/", headers=[("Authorization", f"secret {bad}")]),
        "'Cookie'": lambda: build("h", "/", headers=[("Cookie", f"secret={bad}")]),
        "begins with 'X-A'": lambda: build("h", "/", headers=[(f"X-A: secret{bad}", "1")]),
        "a header's name has": lambda: build("h", "/", headers=[(f" {bad}secret", "1")]),
        "'Origin'": lambda: build("h", "/", origin=f"https://secret{bad}"),
        "'User-Agent'": lambda: build("h", "/", user_agent=f"secret{bad}"),
        "'Sec-WebSocket-Extensions'": lambda: build("h", "/", extensions=f"x; a=secret{bad}"),
        "subprotocols": lambda: build("h", "/", subprotocols=["v1", f"secret{bad}"]),
        "host": lambda: build(f"secret{bad}", "/"),
        "path": lambda: build("h", f"/secret{bad}"),
    }.items():
        with pytest.raises(ValueError, match=part) as caught:
            make()
        assert "secret" not in str(caught.value)


@pytest.mark.parametrize("target", ["", "x", "/a b", "/a#b", "*", "http://h/", "/\u00e9", " /"])
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    with pytest.raises(ValueError, match="percent-encode"):
        handshake.build_request("h", target)


@pytest.mark.parametrize("host", ["", "a b", "a/b", "a@b", "a\tb", "h?", "h#"])
def test_a_host_that_is_none_is_refused(host: str) -> None:
    with pytest.raises(ValueError, match="host"):
        handshake.build_request(host, "/")


@pytest.mark.parametrize("names", [["a b"], ["a,b"], [""], ["a", "a"], ["a/b"], ["\u00e9"]])
def test_subprotocols_are_tokens_and_stand_once(names: list[str]) -> None:
    with pytest.raises(ValueError, match="subprotocols"):
        handshake.build_request("h", "/", subprotocols=names)


@pytest.mark.parametrize(
    "name", ["Content-Length", "transfer-encoding", "HOST", "Expect", "Trailer"]
)
def test_headers_that_change_what_the_request_is_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="itself"):
        handshake.build_request("h", "/", headers=[(name, "5")])


@pytest.mark.parametrize("name", ["Authorization", "Cookie", "User-Agent"])
def test_a_header_of_which_one_counts_is_given_once(name: str) -> None:
    with pytest.raises(ValueError, match="twice") as caught:
        handshake.build_request("h", "/", headers=[(name, "secret"), (name.lower(), "secret")])
    assert "secret" not in str(caught.value)


def test_what_may_stand_in_a_request_is_sent_as_it_is() -> None:
    headers = [("X-A", " a\tb \u00e9"), ("X-A", ""), ("x!#$%&'*+.^_`|~-1", "1")]
    asked = handshake.build_request("[::1]:80", "/a%20b?c=d&\"'|", headers=headers)
    assert asked.headers.get_all("X-A") == ["a\tb \u00e9", ""]
    data = serialize_request(asked)
    assert data.startswith(b"GET /a%20b?c=d&\"'| HTTP/1.1\r\nHost: [::1]:80\r\n")
    assert b"\r\nX-A: a\tb \xe9\r\n" in data


#: Short texts of what may stand in a request and what may not.
TEXT = st.text('ab1-\u00e9\t :,;/#"\r\n\0\x85\u2028', max_size=4)


@given(
    TEXT,
    TEXT,
    st.lists(st.tuples(TEXT, TEXT), max_size=3),
    st.lists(TEXT, max_size=2),
    st.none() | TEXT,
)
def test_a_request_has_the_lines_that_it_should(
    host: str, path: str, headers: list[tuple[str, str]], names: list[str], origin: str | None
) -> None:
    try:
        asked = handshake.build_request(
            host, f"/{path}", headers=headers, subprotocols=names, origin=origin
        )
    except ValueError:
        return
    read = RequestReader().feed(serialize_request(asked))
    assert read is not None
    assert read.target == asked.target
    assert len([*read.headers.raw_items()]) == 5 + len(headers) + bool(names) + (origin is not None)
