"""The opening handshake: which answers a client refuses, and what it offers."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from contextlib import suppress

import pytest
import trustme

import wsext
from tests.client.servers import accept, answering
from tests.extensions import Append
from wsext import (
    App,
    InvalidHandshake,
    InvalidStatus,
    NegotiationError,
    Session,
    testing,
)
from wsext.client.opening import check_http2


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda key: accept("another key in base64=="), InvalidHandshake, "Accept"),
        (lambda key: accept(key, "Sec-WebSocket-Protocol: v9\r\n"), InvalidHandshake, "v9"),
        (
            lambda key: accept(key, "Sec-WebSocket-Extensions: x-what\r\n"),
            NegotiationError,
            "x-what",
        ),
        (
            lambda key: accept(key, "Sec-WebSocket-Extensions: x-append; bogus\r\n"),
            NegotiationError,
            "bogus",
        ),
        (lambda key: b"HTTP/1.1 302 Found\r\nLocation: /x\r\n\r\n", InvalidStatus, "302"),
        (lambda key: b"nonsense\r\n\r\n", InvalidHandshake, "malformed"),
        (lambda key: b"", InvalidHandshake, "line|ended"),
        (lambda key: b"HTTP/1.1 101 x\r\n" + b"A: b\r\n" * 5000, InvalidHandshake, "headers"),
    ],
)
async def test_a_broken_answer_is_refused(
    make: Callable[[str], bytes], error: type[Exception], words: str
) -> None:
    async with answering(make) as url:
        with pytest.raises(error, match=words):
            await wsext.connect(url, extensions=[Append])


async def test_tls_where_there_is_none_and_none_where_there_is_tls() -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(tls)
    async with wsext.serve(App(), ssl=tls) as secure, wsext.serve(App()) as plain:
        for http2 in (False, True):
            with pytest.raises(InvalidHandshake, match="write wss:// in place of ws://") as caught:
                await wsext.connect(f"ws://127.0.0.1:{secure.port}/", http2=http2)
            assert caught.value.cut_off
            with pytest.raises(ssl.SSLError, match="write ws:// in place of wss://"):
                await wsext.connect(f"wss://127.0.0.1:{plain.port}/", http2=http2)


async def test_a_server_that_answers_and_vanishes_is_no_session() -> None:
    app = App()

    @app.websocket("/")
    async def vanish(session: Session) -> None:
        session.abort()

    with pytest.raises(InvalidHandshake, match="the connection ended"):
        async with testing.connect(app):
            pass


def test_the_choice_of_http2_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [check_http2(choice) for choice in (False, True, "auto")] == [False, True, "auto"]
    with pytest.raises(ValueError, match="not 'h2'"):
        check_http2("h2")  # type: ignore[arg-type]
    monkeypatch.setattr("wsext.http2.is_available", lambda: False)
    assert check_http2("auto") is False
    with pytest.raises(ValueError, match=r"wsext\[http2\]"):
        check_http2(True)


@pytest.mark.parametrize("turns", range(1, 14))
async def test_after_a_cancelled_tls_handshake_the_next_connection_is_not_disturbed(
    turns: int,
) -> None:
    """A socket that is closed under its transport stays registered in the event loop."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trust = ssl.create_default_context()
    authority.configure_trust(trust)
    app = App()

    @app.websocket("/")
    async def hold(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app, ssl=context) as server:
        for _ in range(3):
            opening = asyncio.ensure_future(wsext.connect(server.url, ssl=trust).__aenter__())
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            with suppress(asyncio.CancelledError):
                (await opening).abort()
        async with wsext.connect(server.url, ssl=trust) as session:
            assert session.is_open
