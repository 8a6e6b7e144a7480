"""Requests as applications see them."""

from __future__ import annotations

import pytest

import wsext
from tests.raw import fetch
from wsext import App, Request


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
async def test_an_odd_cookie_hides_no_other(odd: str, place: str) -> None:
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
