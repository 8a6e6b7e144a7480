"""Configuring permessage-deflate: for the app, for one route, for one message.

python examples/deflate.py        and: wsext connect ws://127.0.0.1:8765/prices
"""

import asyncio

from wsext_deflate import PermessageDeflate

from wsext import App, Frame, Opcode, Session, WebSocketOptions


def text_only(frame: Frame) -> bool:
    return frame.opcode == Opcode.TEXT


app = App(options=WebSocketOptions(max_message_size=256 * 1024))
# Small messages are not worth it, and binary ones are pictures here.
app.install("permessage-deflate", level=6, threshold=128, compress_if=text_only)

# Prices resemble each other: a large window, and the context is kept.
feed = PermessageDeflate(level=3, mem_level=8, server_max_window_bits=15)


@app.websocket("/prices", extensions=[feed])
async def prices(session: Session) -> None:
    for tick in range(100):
        await session.send_json({"symbol": "WSX", "bid": 100 + tick, "ask": 101 + tick})
        await asyncio.sleep(0)
    stats = session.stats
    await session.send(f"{stats.app_bytes_out} bytes went as {stats.wire_bytes_out}")


@app.websocket("/login")
async def login(session: Session) -> None:
    # A secret beside text that somebody else chooses: do not compress it (RFC 7692 section 8).
    await session.send("token=" + "x" * 200, hints={"compress": False})
    await session.send("welcome " * 50)


@app.websocket("/pictures", extensions=False)
async def pictures(session: Session) -> None:
    async for picture in session:
        await session.send(picture)


if __name__ == "__main__":
    app.run()
