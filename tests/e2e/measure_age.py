"""How old is what a slow reader gets of a room that coalesces 1,000 updates a second of 20 symbols.

    python -m tests.e2e.measure_age [SECONDS]

A server in a process of its own says the updates; a reader on a plain socket takes fewer messages a
second than are said. The age is from the call of `broadcast` to where the reader has the message;
both clocks are the machine's monotonic one. Of each run the first third is left out.

What the reader's own kernel has taken in, no server can take back. That is most of the age for a
reader that answers no pings: the server cannot know how much that is. (Measured with a server that
does nothing but write the newest update whenever `TCP_NOTSENT_LOWAT` lets it: 60 ms at SO_RCVBUF
4 KiB and 500 messages a second, 280 ms at 16 KiB, 830 ms at the system's own size.)

The same is measured with clients of `wsext.connect` and `websockets` that sleep between messages.
Both read ahead into a queue of their own, and answer pings when they read them into it.
"""

from __future__ import annotations

import asyncio
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import websockets

import wsext
from tests.e2e.processes import serving
from tests.raw import REQUEST, masked

__all__ = ["APP", "measure"]

APP = """
import asyncio
import json
import time

from wsext import App, Session

app = App()
tickers = set()


async def tick():
    room = app.room("prices")
    began = time.monotonic()
    said = 0
    while True:
        for number in range(said, int((time.monotonic() - began) * 1000)):
            symbol = f"SYMBOL{number % 20:02}"
            update = {"symbol": symbol, "price": 100 + number % 7, "time": time.monotonic()}
            room.broadcast_nowait(json.dumps(update | {"note": "x" * 20}), key=symbol)
            said = number + 1
        await asyncio.sleep(0.001)


@app.websocket("/")
async def prices(session: Session) -> None:
    if not tickers:
        tickers.add(asyncio.create_task(tick()))
    async with app.room("prices").join(session, overflow="coalesce"):
        async for _ in session:
            pass
"""


class SlowReader:
    """Reads frame after frame, and no byte ahead; answers pings where it finds them.

    Args:
        url: The server's address.
        receive_buffer: ``SO_RCVBUF``; ``None`` leaves it to the system.
        answers: Whether it answers pings at all.
    """

    def __init__(self, url: str, receive_buffer: int | None, answers: bool = True) -> None:
        self._answers = answers
        parts = urlsplit(url)
        self.sock = socket.socket()
        if receive_buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(10)
        self.sock.connect((parts.hostname, parts.port))
        self.sock.sendall(REQUEST.format(path="/", more="").encode())
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._exactly(1)
        assert b" 101 " in head

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.sock.recv(size - len(data))
            assert more, "the server has closed"
            data += more
        return data

    def message(self) -> bytes:
        """The next text message."""
        while True:
            first, size = self._exactly(2)
            if size == 126:
                size = int.from_bytes(self._exactly(2), "big")
            payload = self._exactly(size)
            if first == 0x81:
                return payload
            assert first != 0x88, f"closed with {int.from_bytes(payload[:2], 'big')}"
            if first == 0x89 and self._answers:
                self.sock.sendall(masked(10, payload))


def measure(
    url: str, receive_buffer: int | None, rate: int, seconds: float, answers: bool = True
) -> list[float]:
    """The ages in seconds of what a reader of ``rate`` messages a second gets, without the first
    third."""
    reader = SlowReader(url, receive_buffer, answers)
    ages: list[float] = []
    with closing(reader.sock):
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            while len(ages) < (now - began) * rate:
                sent = json.loads(reader.message())["time"]
                ages.append(time.monotonic() - sent)
            time.sleep(0.005)
    return ages[len(ages) // 3 :]


async def measure_client(connect: Any, url: str, rate: int, seconds: float) -> list[float]:
    """`measure` with a client of a library, which sleeps between messages."""
    ages: list[float] = []
    async with connect(url) as session:
        receive = session.recv if hasattr(session, "recv") else session.receive
        began = time.monotonic()
        while (now := time.monotonic()) < began + seconds:
            while len(ages) < (now - began) * rate:
                ages.append(time.monotonic() - json.loads(await receive())["time"])
            await asyncio.sleep(0.005)
    return ages[len(ages) // 3 :]


def small(url: str) -> Any:
    """`wsext.connect` with room for 8 messages."""
    return wsext.connect(url, options=wsext.WebSocketOptions(incoming_capacity=8))


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10
    readers: dict[str, Callable[[str, int], list[float]]] = {}
    for size, name in ((None, "default"), (1 << 14, "16 KiB"), (1 << 12, "4 KiB")):
        for answers in (True, False):
            readers[f"SO_RCVBUF {name}{'' if answers else ', answers no pings'}"] = (
                lambda url, rate, size=size, answers=answers: measure(  # type: ignore[misc]
                    url, size, rate, seconds, answers
                )
            )
    for name, connect in (
        ("wsext.connect", wsext.connect),
        ("wsext.connect, incoming_capacity=8", small),
        ("websockets", websockets.connect),
    ):
        readers[name] = lambda url, rate, connect=connect: asyncio.run(  # type: ignore[misc]
            measure_client(connect, url, rate, seconds)
        )
    for name, read in readers.items():
        for rate in (200, 500):
            with (
                tempfile.TemporaryDirectory() as folder,
                serving("prices:app", cwd=write_app(folder)) as served,
            ):
                ages = read(served.ws, rate)
            print(
                f"{name}, {rate} read/s, {seconds:.0f} s:"
                f" median {statistics.median(ages):.3f} s, max {max(ages):.3f} s",
                flush=True,
            )


def write_app(folder: str) -> Path:
    """Put the app into a folder."""
    (Path(folder) / "prices.py").write_text(APP)
    return Path(folder)


if __name__ == "__main__":
    main()
