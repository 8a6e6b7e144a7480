"""Large frames in a thread: the order is kept, and a cancelled send leaves the context right."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
from typing import Any

import pytest
from wsext_deflate import DeflateCodec, PermessageDeflate, offload
from wsext_deflate.codec import LiveCompressors, Settings

import wsext
from wsext import App, Frame, Session

RANDOM = random.Random(5)
WORDS = [RANDOM.randbytes(3).hex() for _ in range(200)]


def text(size: int) -> str:
    return " ".join(RANDOM.choice(WORDS) for _ in range(size // 7))


@pytest.mark.parametrize("reset", [False, True])
async def test_large_and_small_messages_keep_their_order(
    reset: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[str] = set()
    decode = DeflateCodec.decode

    def watched(self: DeflateCodec, *args: Any) -> Any:
        threads.add(threading.current_thread().name)
        return decode(self, *args)

    monkeypatch.setattr(DeflateCodec, "decode", watched)
    app = App()
    options = {"server_no_context_takeover": reset, "client_no_context_takeover": reset}
    app.install("permessage-deflate", offload_above=2000, **options)

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    messages = [text(size) for size in (50, 200_000, 10, 30_000, 1000, 100_000, 20)]
    async with wsext.serve(app) as server:
        mine = PermessageDeflate(offload_above=2000, **options)
        async with wsext.connect(server.url, extensions=[mine]) as session:
            for message in messages:
                await session.send(message)
            assert [await session.receive() for _ in messages] == messages
    assert "MainThread" in threads
    assert len(threads) > 1


async def test_a_cancelled_send_leaves_the_context_right(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started, goes_on = threading.Event(), threading.Event()
    squeeze = offload.squeeze

    def slow(*args: Any) -> bytes:
        started.set()
        assert goes_on.wait(10)
        return squeeze(*args)

    live = LiveCompressors(4)
    settings = Settings(backend=backend)
    sender = offload.OffloadingDeflateCodec(settings, live, above=100)
    receiver = DeflateCodec(settings)

    async def passes(data: bytes) -> None:
        frame = await sender.encode(Frame(2, data))
        got = receiver.decode(frame, 1 << 20)
        assert isinstance(got, Frame)
        assert got.payload == data

    first, lost = text(3000).encode(), text(4000).encode()
    await passes(first)
    monkeypatch.setattr(offload, "squeeze", slow)
    sending = asyncio.create_task(sender.encode(Frame(2, lost)))
    await asyncio.to_thread(started.wait, 10)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    monkeypatch.undo()
    await passes(lost)  # while the thread still has the old compressor
    goes_on.set()
    await passes(first)
    sender.close()
    assert len(live) == 0


async def test_a_codec_that_is_closed_meanwhile_keeps_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    live = LiveCompressors(4)
    codec = offload.OffloadingDeflateCodec(Settings(), live)
    sending = asyncio.create_task(codec.encode(Frame(2, text(50_000).encode())))
    await asyncio.sleep(0)  # it has begun
    codec.close()
    await sending
    assert len(live) == 0
    assert not any(isinstance(item, bytes) and item for item in gc.get_referents(codec))
