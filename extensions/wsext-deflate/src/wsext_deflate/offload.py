"""The codec that compresses and decompresses large frames in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from wsext import Frame
from wsext_deflate.backends import squeeze
from wsext_deflate.codec import DeflateCodec, LiveCompressors, Settings, compressed_frame

__all__ = ["OffloadingDeflateCodec"]


class OffloadingDeflateCodec(DeflateCodec):
    """A `DeflateCodec` whose large frames do not stop the event loop.

    The libraries give up the GIL while they work. The core waits for one frame of a direction
    before it passes the next, so the order is kept.

    Args:
        settings: What was agreed.
        live: Where the number of compressors is bounded.
        above: Bytes; a larger payload goes to the event loop's default executor. Of an incoming
            frame that is the compressed size.
    """

    def __init__(
        self, settings: Settings, live: LiveCompressors | None = None, *, above: int = 0
    ) -> None:
        super().__init__(settings, live)
        self.above = above
        self._closed = False

    # The core awaits what a codec's coroutine functions return.
    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        payload = frame.payload
        if len(payload) <= self.above:
            return super().encode(frame)
        run = asyncio.get_running_loop().run_in_executor
        if self._own_reset and frame.fin and frame.opcode:
            return compressed_frame(frame, await run(None, self.deflater.whole, payload))
        compressor = self._take()
        try:
            data = await run(None, squeeze, compressor, payload, frame.fin)
        except asyncio.CancelledError:
            # The frame will not be sent, and a thread still has the compressor: start anew.
            self._history = b""
            raise
        if not self._closed:
            self._sent(frame, compressor)
        return compressed_frame(frame, data)

    async def decode(  # type: ignore[override]
        self, frame: Frame, budget: int
    ) -> Frame | Iterable[Frame]:
        if len(frame.payload) <= self.above:
            return super().decode(frame, budget)
        return await asyncio.get_running_loop().run_in_executor(None, super().decode, frame, budget)

    def close(self) -> None:
        self._closed = True
        super().close()
