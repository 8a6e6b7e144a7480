"""Requests and responses, and the reader of responses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

import wsext
from tests.raw import fetch
from wsext import App, InvalidHandshake, Request
from wsext.protocol.headers import Headers
from wsext.protocol.http import ResponseReader


def test_what_a_request_knows() -> None:
    asked = Request(
        "GET", "/a%20b?x=1&x=2&y=", Headers({"Cookie": "a=1; b=2", "Origin": "https://o"})
    )
    assert asked.path == "/a b"
    assert asked.query == {"x": "1", "y": ""}
    assert asked.query_lists == {"x": ["1", "2"], "y": [""]}
    assert asked.cookies == {"a": "1", "b": "2"}
    assert asked.origin == "https://o"


@pytest.mark.parametrize(
    ("header", "token"),
    [
        ("Bearer abc", "abc"),
        ("bearer  abc ", "abc"),
        ("BEARER a b", "a b"),
        ("Basic abc", ""),
        ("Bearer", ""),
        ("", ""),
    ],
)
def test_the_token_of_a_bearer(header: str, token: str) -> None:
    assert Request("GET", "/", Headers({"Authorization": header})).bearer_token == token
    assert Request("GET", "/", Headers()).bearer_token == ""


@pytest.mark.parametrize(
    ("lines", "cookies"),
    [
        (["a=1; b=2", "c=3"], {"a": "1", "b": "2", "c": "3"}),
        (["a=1; b[]=2; ü=3; d"], {"a": "1", "b[]": "2", "ü": "3"}),
        (["{=1; session=mine"], {"{": "1", "session": "mine"}),
        (['q="a b\\054c"; e=; f=x=y'], {"q": "a b,c", "e": "", "f": "x=y"}),
        (['broken="; session=mine'], {"broken": '"', "session": "mine"}),
        (["a=1; a=2"], {"a": "1"}),
        ([";;;", ""], {}),
    ],
)
def test_cookies_are_read_one_by_one(lines: list[str], cookies: dict[str, str]) -> None:
    headers = Headers()
    for line in lines:
        headers["Cookie"] = line
    assert Request("GET", "/", headers).cookies == cookies


@pytest.mark.parametrize(
    "data",
    [b"", b"nonsense\r\n\r\n", b"HTTP/1.1 101 x\r\n", b"HTTP/1.1 101 x\r\n" + b"a: b\r\n" * 200],
)
def test_a_malformed_answer_is_an_invalid_handshake(data: bytes) -> None:
    reader = ResponseReader()
    with pytest.raises(InvalidHandshake):
        reader.feed(data) or reader.feed_eof()


async def cookies_of(header: str) -> dict[str, str]:
    """What an app finds in a request with this ``Cookie`` header."""
    app = App()
    found: list[dict[str, str]] = []

    @app.http("/")
    def show(request: Request) -> str:
        found.append(dict(request.cookies))
        return "seen"

    async with wsext.serve(app) as server:
        head = f"GET / HTTP/1.1\r\nHost: localhost\r\nCookie: {header}\r\n\r\n"
        status, _, _ = await fetch(server.port, head.encode())
        assert status == 200
    return found[0]


@pytest.mark.parametrize(
    "odd",
    [
        "odd{name}=1",
        "odd[0]=1",
        "odd@name=1",
        "odd name=1",
        'odd="not closed',
        'odd={"json": true}',
        "odd",
        "=odd",
        "path=/somewhere",
        "expires=never",
        "httponly",
        "",
    ],
)
@pytest.mark.parametrize("place", ["first", "between", "last"])
async def test_an_odd_cookie_hides_no_other_from_an_app(odd: str, place: str) -> None:
    cookies = ["session=abc", "lang=de"]
    cookies.insert(["first", "between", "last"].index(place), odd)
    found = await cookies_of("; ".join(cookies))
    assert (found.get("session"), found.get("lang")) == ("abc", "de")


async def test_several_and_quoted_cookies_are_read() -> None:
    assert await cookies_of('a=1; b="two words"; c=x=y; d=') == {
        "a": "1",
        "b": "two words",
        "c": "x=y",
        "d": "",
    }


def cookies_in(*lines: str) -> dict[str, str]:
    return dict(Request("GET", "/", Headers([("Cookie", line) for line in lines])).cookies)


def test_quotes_join_no_cookies() -> None:
    assert cookies_in('a="; sid=secret; b="')["sid"] == "secret"


def test_the_first_cookie_of_a_name_wins() -> None:
    assert cookies_in("sid=mine; sid=other", "sid=third; b=2") == {"sid": "mine", "b": "2"}


@given(st.text(st.characters(exclude_categories=["C", "Z"], max_codepoint=0xFF), max_size=40))
def test_no_text_hides_the_cookie_behind_it(text: str) -> None:
    assert cookies_in(f"{text}; zz-sid=secret")["zz-sid"] == "secret"
