"""A wire extension in one file: every message carries a checksum, negotiated as x-crc32.

python examples/custom_extension.py
"""

import asyncio
import zlib
from typing import ClassVar

import wsext
from wsext import (
    RSV,
    App,
    Codec,
    Extension,
    MessageCodec,
    NegotiationContext,
    Params,
    Phase,
    RemoteProtocolError,
    Session,
)


class Crc32Codec(MessageCodec):
    """Appends four bytes to every message, and checks them on the other side."""

    mandatory = True  # a message that has lost its mark is refused, not passed on unchecked

    def encode_message(self, data: bytes) -> bytes:
        return data + zlib.crc32(data).to_bytes(4, "big")

    def decode_message(self, data: bytes, budget: int) -> bytes:
        body, checksum = data[:-4], data[-4:]
        if zlib.crc32(body).to_bytes(4, "big") != checksum:
            raise RemoteProtocolError(1002, "the checksum is wrong")
        return body


class Crc32(Extension):
    """x-crc32: a checksum per message."""

    name: ClassVar[str] = "x-crc32"
    phase: ClassVar[Phase] = Phase.INTEGRITY  # after compression, so that it guards the wire
    rsv: ClassVar[RSV] = RSV.RSV2  # marks the messages that carry a checksum

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return Crc32Codec()


app = App()
app.install("permessage-deflate")
app.install(Crc32)


@app.websocket("/")
async def echo(session: Session) -> None:
    async for message in session:
        await session.send(message)


async def main() -> None:
    async with wsext.serve(app) as server:
        offers = ["permessage-deflate", Crc32]
        async with wsext.connect(server.url, extensions=offers) as session:
            print("agreed:", session.negotiation.header)
            session.trace(lambda way, stage, frame: print(f"{way:3} {stage:18} {frame}"))
            await session.send("hello " * 100)
            echoed = await session.receive()
            session.trace(None)
            print("echoed:", echoed == "hello " * 100)


if __name__ == "__main__":
    asyncio.run(main())
