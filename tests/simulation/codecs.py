"""Codecs that notice when anything of a direction is lost, doubled or out of order."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from wsext import RSV, Codec, Extension, MessageCodec, Phase, RemoteProtocolError

__all__ = ["STACKS", "AsyncHistory", "History", "Slow"]


class _HistoryCodec(MessageCodec):
    """Numbers messages, as a compressor with a history does in its way: who misses one cannot read
    the next."""

    def __init__(self) -> None:
        super().__init__()
        self.sent = 0
        self.received = 0

    def encode_message(self, data: bytes) -> Any:
        number, self.sent = self.sent, self.sent + 1
        return number.to_bytes(4, "big") + data

    def decode_message(self, data: bytes, budget: int) -> Any:
        number = int.from_bytes(data[:4], "big")
        if number != self.received:
            raise RemoteProtocolError(1007, f"message {number} came in place of {self.received}")
        self.received += 1
        return data[4:]


class _AsyncHistoryCodec(_HistoryCodec):
    """Takes its time between changing its state and handing out the message."""

    async def encode_message(self, data: bytes) -> bytes:
        encoded: bytes = super().encode_message(data)
        await asyncio.sleep(0.003)
        return encoded

    async def decode_message(self, data: bytes, budget: int) -> bytes:
        await asyncio.sleep(0.002)
        decoded: bytes = super().decode_message(data, budget)
        return decoded


class _SlowCodec(MessageCodec):
    """Only takes its time."""

    async def encode_message(self, data: bytes) -> bytes:
        await asyncio.sleep(0.005 if len(data) % 2 else 0)
        return data

    async def decode_message(self, data: bytes, budget: int) -> bytes:
        await asyncio.sleep(0)
        return data


class History(Extension):
    """A synchronous codec with a history."""

    name: ClassVar[str] = "x-history"
    rsv: ClassVar[RSV] = RSV.RSV1

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _HistoryCodec()


class AsyncHistory(Extension):
    """An asynchronous codec with a history."""

    name: ClassVar[str] = "x-async-history"
    rsv: ClassVar[RSV] = RSV.RSV2

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _AsyncHistoryCodec()


class Slow(Extension):
    """An asynchronous codec nearer to the wire than the others."""

    name: ClassVar[str] = "x-slow-wire"
    phase: ClassVar[Phase] = Phase.WIRE

    def make_codec(self, params: Any, ctx: Any) -> Codec:
        return _SlowCodec()


#: Name → what both sides install.
STACKS: dict[str, list[type[Extension]]] = {
    "plain": [],
    "history": [History],
    "slow": [Slow],
    "history over slow": [History, Slow],
    "asynchronous history": [AsyncHistory],
    "all": [History, AsyncHistory, Slow],
}
