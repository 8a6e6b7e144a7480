"""Origins: which pages may connect, and what an operator may write."""

from __future__ import annotations

import pytest

from wsext import HandshakeRejected, OptionError, WebSocketOptions
from wsext.protocol.headers import Headers
from wsext.protocol.http import Request
from wsext.protocol.origins import check_origin, read_origins


def request(origin: str | None, host: str = "example.com", *, secure: bool = True) -> Request:
    headers = Headers()
    headers["Host"] = host
    if origin is not None:
        headers["Origin"] = origin
    asked = Request("GET", "/", headers)
    asked.secure = secure
    return asked


def is_allowed(asked: Request, allowed: tuple[str, ...] | None) -> bool:
    try:
        check_origin(asked, allowed)
        return True
    except HandshakeRejected as refused:
        return refused.status != 403


@pytest.mark.parametrize(
    ("allowed", "origin", "ok"),
    [
        (None, "https://evil.example", True),
        ("*", "https://evil.example", True),
        ("*", "null", True),
        ("*", None, True),
        ("https://a.example", "https://a.example", True),
        ("https://a.example", "https://evil.example", False),
        ("https://a.example", "http://a.example", False),
        ("https://a.example", "https://a.example:8443", False),
        ("https://a.example", None, False),
        ("https://a.example, same", None, True),
        ("https://a.example", "null", False),
        ("null", "null", True),
        ("file://", "file://", True),
        ("same", "same", False),
        ("https://A.Example:443", "https://a.example", True),
        ("https://kiosk.example", "https://KIOSK.example:443", True),
        ("https://b\u00fccher.example", "https://xn--bcher-kva.example", True),
        ("https://*.Stra\u00dfe.example", "https://a.xn--strae-oqa.example", True),
        ("http://[0:0::1]:80", "http://[::1]", True),
        ("chrome-extension://abcdef", "chrome-extension://abcdef", True),
        ("https://my_host.local.", "https://my_host.local", True),
        ("https://*.a.example", "https://b.a.example", True),
        ("https://*.a.example", "https://c.b.a.example", True),
        ("https://*.a.example", "https://a.example", False),
        ("https://*.a.example", "https://evila.example", False),
        ("https://*.a.example", "http://b.a.example", False),
        ("https://*.a.example", "https://b.a.example:8443", False),
        ("https://*.a.example:8443", "https://b.a.example:8443", True),
        ("https://*.a.example", "https://evil.example#.a.example", False),
        ("https://*.a.example", "https://evil.example/.a.example", False),
        ("https://*.a.example", "https://evil.example:80.a.example", False),
        ("https://*.a.example", "https://*.a.example", False),
        ("https://*.a.example", "https://.a.example", False),
    ],
)
def test_a_list_says_which_pages_may_connect(
    allowed: str | None, origin: str | None, ok: bool
) -> None:
    """As text, the way a file, the environment or the command line has it."""
    options = WebSocketOptions.parse({"origins": allowed})
    assert is_allowed(request(origin, "server.example"), options.origins) is ok


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("https://a.example/", "https://a.example"),
        ("https://a.example/chat?x=1", "https://a.example"),
        ("https://ada:hunter2@a.example", "https://a.example"),
        ("a.example", "https://a.example"),
        ("*.a.example", "https://*.a.example"),
        ("localhost:3000", "http://localhost:3000"),
        ("127.0.0.1:3000", "http://127.0.0.1:3000"),
        ("ws://a.example", "http://a.example"),
        ("wss://a.example:444", "https://a.example:444"),
        ("smae", "same"),
        ("https://*", None),
        ("https://a.*.example", None),
        ("https://a.example:99999", None),
        ("https://a.example:*", None),
        ("http://[::1", None),
        ("http://[::z]", None),
        ("https://a b", None),
        ("https://", None),
        ("https://\u00fc\u2044.example", None),
        ("none", None),
    ],
)
def test_what_is_no_origin_is_refused_with_the_one_that_is_meant(
    wrong: str, meant: str | None
) -> None:
    with pytest.raises(
        OptionError, match=r"scheme://host:port.*https://\*\.example\.com"
    ) as caught:
        read_origins(["same", wrong])
    assert caught.value.suggestion == meant
    assert (caught.value.owner, caught.value.field) == ("websocket", "origins")
    shown = wrong.replace("ada:hunter2", "…")  # a password is not shown
    assert repr(shown) in caught.value.problem


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
    assert is_allowed(request(origin, host, secure=secure), ("same",)) is ok
