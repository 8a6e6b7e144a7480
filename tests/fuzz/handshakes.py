"""Handshakes: what a server reads, what a client reads, and what they negotiate."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from websockets.utils import accept_key

from tests.fuzz.source import LIMIT, Source
from wsext import (
    RSV,
    Frame,
    HandshakeRejected,
    InvalidHandshake,
    NegotiationContext,
    NegotiationError,
    WsextError,
    connect,
)
from wsext.protocol.handshake import check_upgrade, offered_subprotocols
from wsext.protocol.heads import RequestReader
from wsext.protocol.http import ResponseReader
from wsext.protocol.negotiation import confirm, make_offers, negotiate, offers_header, parse_offers
from wsext.protocol.origins import check_origin
from wsext.sdk.installed import Installed, make_pipeline

__all__ = ["client", "handshake", "negotiation"]


def _request(chunks: list[bytes]) -> Any:
    reader = RequestReader(max_size=2048, max_count=20)
    try:
        for chunk in chunks:
            if (request := reader.feed(chunk)) is not None:
                return request
    except HandshakeRejected as error:
        assert 400 <= error.status < 500
        return error.status
    return None


def _response(chunks: list[bytes]) -> Any:
    reader = ResponseReader()
    try:
        for chunk in chunks:
            if (response := reader.feed(chunk)) is not None:
                return response.status_code, list(response.headers.raw_items())
        if (response := reader.feed_eof()) is not None:
            return response.status_code, list(response.headers.raw_items())
    except InvalidHandshake:
        return "invalid"
    return None


def handshake(data: bytes) -> None:
    """Requests to a server: only documented errors, whatever the cuts; every property of a request
    can be asked for."""
    chunks = list(Source(data).cuts())
    request, again = _request([b"".join(chunks)]), _request(chunks)
    assert type(request) is type(again), "cutting changes nothing"
    if request is None or isinstance(request, int):
        return
    assert list(request.headers.raw_items()) == list(again.headers.raw_items())
    _ask_everything(request)


def _ask_everything(request: Any) -> None:
    _ = (request.path, request.query, request.cookies, request.origin, request.host)
    _ = (request.subprotocols, request.is_upgrade, request.query_lists)
    fields = list(request.headers.raw_items())
    request.pack()
    assert list(request.headers.raw_items()) == fields, "packed headers come back as they were"
    for check in (
        check_upgrade,
        offered_subprotocols,
        lambda request: check_origin(request, ["same"]),
    ):
        try:
            check(request)
        except HandshakeRejected as error:
            assert 400 <= error.status <= 501
    try:
        offers = parse_offers(request.headers.get_all("Sec-WebSocket-Extensions"))
    except NegotiationError:
        return
    negotiate(offers, _EXTENSIONS, _SERVER).close()


def client(data: bytes) -> None:
    """Responses to a client: only documented errors, whatever the cuts; whoever connects gets a
    session or one of them."""
    source = Source(data)
    choice = source.byte()
    chunks = list(source.cuts())
    assert _response([b"".join(chunks)]) == _response(chunks)
    asyncio.run(_connect(b"".join(chunks), own_key=bool(choice & 1)))


async def _connect(answer: bytes, own_key: bool) -> None:
    """Connect to a server that gives this answer, and no other."""
    here, there = socket.socketpair()
    there.setblocking(False)
    loop = asyncio.get_running_loop()

    async def respond() -> None:
        asked = b""
        while b"\r\n\r\n" not in asked:
            asked += await loop.sock_recv(there, 65536)
        key = asked.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
        accept = accept_key(key.decode()).encode()
        await loop.sock_sendall(there, answer.replace(b"@", accept) if own_key else answer)
        there.shutdown(socket.SHUT_WR)

    connecting = connect(
        "ws://localhost/", sock=here, extensions=_EXTENSIONS, subprotocols=["chat"], proxy=None
    )
    responding = asyncio.create_task(respond())
    try:
        async with connecting as session:
            await session.receive()
    except (WsextError, EOFError):
        pass
    finally:
        await responding
        there.close()


# --- negotiation ------------------------------------------------------------------------------


def _extensions() -> tuple[Any, ...]:
    installed = Installed()
    for name in (
        "permessage-deflate",
        "permessage-zstd",
        "permessage-checksum",
        "permessage-meta",
        "permessage-fragment",
    ):
        installed.install(name)
    return installed.extensions


_EXTENSIONS = _extensions()
_SERVER, _CLIENT = (NegotiationContext(role, LIMIT) for role in ("server", "client"))


def negotiation(data: bytes) -> None:
    """Offers and answers: a server declines what is wrong and never raises; what it agrees to, a
    client can read; a client takes an answer or says what is wrong with it."""
    source = Source(data)
    choice = source.byte()
    values = [value.decode("latin-1") for value in source.rest.split(b"\n")]
    try:
        offers = parse_offers(values)
    except NegotiationError:
        offers = []  # the handshake fails
    assert len(offers) <= 33
    outcome = negotiate(offers, _EXTENSIONS, _SERVER, prefer="server" if choice & 1 else "client")
    try:
        assert len(outcome.records) == len(offers)
        assert not any("failed" in record.reason for record in outcome.records)
        claimed = RSV.NONE
        for agreed in outcome.agreed:
            assert not claimed & agreed.extension.rsv, "no bit is handed out twice"
            claimed |= agreed.extension.rsv
        if outcome.header is not None:
            read = parse_offers([outcome.header])
            assert [offer.name for offer in read] == [agreed.name for agreed in outcome.agreed]
            assert all(offer.problem is None for offer in read)
        _use(outcome)
    finally:
        outcome.close()
    own = make_offers(_EXTENSIONS)
    assert parse_offers([offers_header(own) or ""]) == own
    try:
        confirm(own, values, _EXTENSIONS, _CLIENT).close()
    except NegotiationError as error:
        assert error.problem


def _use(outcome: Any) -> None:
    """A message survives whatever was agreed."""
    pipeline = make_pipeline(outcome, LIMIT)
    frames = pipeline.encode(Frame(1, b"a message " * 20))
    assert frames
