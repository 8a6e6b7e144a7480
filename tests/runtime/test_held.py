"""What a session holds: each part tells, and no peer makes it more than was computed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import wsext
from tests.codecs import Gated, History, deflated
from tests.raw import REQUEST, masked, raw_peer
from tests.runtime.sessions import SOON, app_of
from tests.waiting import until
from wsext import Held, Session, WebSocketOptions

KIB = 1 << 10


def held_of(**parts: int) -> Held:
    """Some parts hold something, and the others nothing."""
    return Held(*[parts.get(name, 0) for name in Held.__annotations__])


async def never_reads(session: Session) -> None:
    await session.wait_closed()


#: What a peer sends, what it has agreed to, and what the session then holds.
CASES: dict[str, tuple[bytes, Any, dict[str, int]]] = {
    "nothing": (b"", None, {}),
    "messages": (masked(2, bytes(1000)) * 3, None, {"inbox": 3000}),
    "a frame": (masked(2, bytes(5000))[:-1], None, {"partial": 5003}),
    "fragments": (masked(1, b"x" * 700, False) * 1, None, {"partial": 700}),
    "messages beyond the inbox": (
        masked(2, bytes(100)) * 10,
        None,
        {"inbox": 400, "undecoded": 6 * 106},
    ),
    "fragments of a codec": (masked(2, bytes(900), False), History, {"codecs": 900}),
}


@pytest.mark.parametrize("case", CASES)
async def test_each_part_tells_what_it_holds(case: str) -> None:
    sent, extension, expected = CASES[case]
    options = {"incoming_capacity": 3} if "beyond" in case else {}
    app = app_of(never_reads, *([extension] if extension else []), **options)
    more = f"Sec-WebSocket-Extensions: {extension.name}\r\n" if extension else ""
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more=more)
        (session,) = server.sessions
        peer.send(sent)

        def is_held() -> bool:
            """Buffers may be larger than what is in them."""
            held = Held.of(session)
            return all(
                size == 0 if name not in expected else size >= expected[name]
                for name, size in zip(Held.__annotations__, held, strict=True)
            )

        async with asyncio.timeout(SOON):
            await until(is_held)
        assert Held.of(session).total >= sum(expected.values())
        session.abort()
        await session.wait_closed()
        assert Held.of(session) == held_of(inbox=expected.get("inbox", 0))


async def test_what_waits_to_be_sent_is_told() -> None:
    gated = Gated()

    async def handler(session: Session) -> None:
        gated.may_encode.clear()
        for _ in range(3):
            session.send_nowait(bytes(1000))
        await gated.encoding.wait()
        held.append(Held.of(session))
        gated.may_encode.set()

    held: list[Held] = []
    async with wsext.serve(app_of(handler, gated)) as server, raw_peer(server.port) as peer:
        await peer.shake(more="Sec-WebSocket-Extensions: x-gated\r\n")
        assert await peer.close_code() == 1000
    assert held == [held_of(outbox=2000)]


async def test_what_the_peer_does_not_read_is_told() -> None:
    held: list[Held] = []

    async def handler(session: Session) -> None:
        while not Held.of(session).outbox:
            sending = asyncio.ensure_future(session.send(bytes(64 * KIB)))
            await asyncio.sleep(0)
        held.append(Held.of(session))
        session.abort()
        await asyncio.gather(sending, return_exceptions=True)

    async with wsext.serve(app_of(handler)) as server, raw_peer(server.port) as peer:
        peer.writer.transport.pause_reading()  # type: ignore[attr-defined]
        peer.send(REQUEST.format(path="/", more="").encode())
        async with asyncio.timeout(SOON):
            await until(lambda: bool(held))
    assert held[0].outbox == 64 * KIB
    assert 128 * KIB <= held[0].transport <= 200 * KIB


async def test_the_state_of_compression_is_told() -> None:
    app = app_of(never_reads, "permessage-deflate")
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake(more="Sec-WebSocket-Extensions: permessage-deflate\r\n")
        (session,) = server.sessions
        before = Held.of(session).codecs
        peer.send(masked(1, deflated(b"hello"), rsv=0x40))
        async with asyncio.timeout(SOON):
            await until(lambda: Held.of(session).inbox == 5)
        assert Held.of(session).codecs >= before + 30 * KIB


# --- the bound ------------------------------------------------------------------------------------


def test_the_bound_follows_from_the_options() -> None:
    usual = Held.at_most(WebSocketOptions())
    assert usual.total <= 8 << 20
    small = WebSocketOptions(
        max_message_size=1000, incoming_bytes=1000, incoming_capacity=1, outgoing_bytes=1024
    )
    assert Held.at_most(small).total < 800 * KIB  # most of it: two reads, and tiny messages
    assert Held.at_most(WebSocketOptions(), rooms=1 << 20).outbox > usual.outbox + (1 << 20)
    gated = Gated()
    assert Held.at_most(WebSocketOptions(), [gated]).codecs >= 1 << 20


@pytest.mark.parametrize(
    "text", ["x" * 9999 + "\N{GRINNING FACE}", "\N{CJK UNIFIED IDEOGRAPH-4E00}"]
)
async def test_texts_wait_as_what_they_were_sent_as(text: str) -> None:
    """Python may take four bytes for each character: a queue of such texts is no larger for it."""
    got: list[str] = []
    go_on = asyncio.Event()

    async def handler(session: Session) -> None:
        await go_on.wait()
        for _ in range(3):
            got.append((await session.receive_message()).data)  # type: ignore[arg-type]
        got.extend([message async for message in session])

    async with wsext.serve(app_of(handler)) as server, wsext.connect(server.url) as session:
        (served,) = server.sessions
        for _ in range(5):
            await session.send(text)
        async with asyncio.timeout(SOON):
            await until(lambda: Held.of(served).inbox == 5 * len(text.encode()))
        go_on.set()
        await session.close()
        await served.wait_closed()
    assert got == [text] * 5


@pytest.mark.parametrize("capacity", [256, 2])
async def test_what_waits_when_the_handler_returns_is_kept_for_nobody(capacity: int) -> None:
    done = asyncio.Event()

    async def handler(session: Session) -> None:
        await done.wait()

    app = app_of(handler, incoming_capacity=capacity, close_timeout=SOON)
    async with wsext.serve(app) as server, raw_peer(server.port) as peer:
        await peer.shake()
        (session,) = server.sessions
        peer.send(masked(2, bytes(1000)) * 9)
        await until(lambda: Held.of(session).total >= 9000)
        done.set()
        await until(lambda: Held.of(session).total < 1000)
        peer.send(masked(2, bytes(1000)) * 9)  # what still comes is not kept either
        peer.send(masked(8, b"\x03\xe8"))
        async with asyncio.timeout(SOON):
            info = await session.wait_closed()
    assert (info.code, info.remote, session.stats.messages_in) == (1000, (1000, ""), 18)
