"""What pacing costs: broadcasts to fast readers in a room that coalesces, with and without it.

    python -m tests.e2e.measure_pace [ROUNDS]

A server in a process of its own says messages, 20 in each turn of its event loop, whenever no
member has more than 64 KiB waiting. The readers do next to nothing but answer pings. The figures
are the server's processor time for each message that a member gets, without the first quarter,
and the rate at which they arrive. Runs with and without pacing take turns.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from tests.e2e.processes import serving
from tests.raw import REQUEST, masked

__all__ = ["APP"]

APP = """
import asyncio
import time

import wsext.runtime.link
from wsext import App, Session

app = App()


class NoPace:
    def __new__(cls, link):
        return None


if not PACED:
    wsext.runtime.link.Pace = NoPace


@app.websocket("/<int:members>/<int:messages>/<int:size>")
async def prices(session: Session, members: int, messages: int, size: int) -> None:
    room = app.room("prices")
    async with room.join(session, overflow="coalesce", queue_bytes=1 << 24):
        if len(room) == members:
            await asyncio.sleep(0.2)
            everybody = room.members()
            said = 0
            while said < messages:
                if said <= messages // 4:
                    began = time.process_time()  # the first quarter is for warming up
                if any(one.waiting_bytes > 1 << 16 for one in everybody):
                    await asyncio.sleep(0.0005)
                    continue
                for _ in range(20):
                    room.broadcast_nowait("x" * size)
                    said += 1
                await asyncio.sleep(0)
            while any(one.waiting_bytes for one in everybody):
                await asyncio.sleep(0.0005)
            room.broadcast_nowait(f"done {time.process_time() - began:010.6f}")
        async for _ in session:
            pass
"""


class FastReader(asyncio.Protocol):
    """Looks for nothing but pings, which it answers, and for the last message.

    Nothing else that the server sends has the first byte of a ping.
    """

    def __init__(self, request: bytes) -> None:
        self.done: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._request = request
        self._rest = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        at = self._find(data)
        if at >= 0 or self._rest:
            data, self._rest = self._rest + data, b""
            while (at := self._find(data)) >= 0:
                is_ping = data[at] == 0x89
                end = at + 15
                if is_ping and len(data) > at + 1:
                    end = at + 2 + data[at + 1]
                if len(data) < end:
                    self._rest = data[at:]  # the rest is still to come
                    return
                if not is_ping:
                    self.done.set_result(float(data[at + 5 : end]))
                    return
                self.transport.write(masked(10, data[at + 2 : end]))
                data = data[end:]

    @staticmethod
    def _find(data: bytes) -> int:
        ping = data.find(b"\x89")
        return ping if ping >= 0 else data.find(b"done ")


async def _measure(url: str, members: int, messages: int, size: int) -> tuple[float, float]:
    """Seconds of the server's processor and of the clock, per message that a member gets."""
    parts = urlsplit(url)
    request = REQUEST.format(path=f"/{members}/{messages}/{size}", more="").encode()
    loop = asyncio.get_running_loop()
    readers = []
    assert parts.hostname is not None
    assert parts.port is not None
    for _ in range(members):
        _, reader = await loop.create_connection(
            lambda: FastReader(request), parts.hostname, parts.port
        )
        readers.append(reader)
    began = time.monotonic()
    used = await asyncio.gather(*(reader.done for reader in readers))
    for reader in readers:
        reader.transport.abort()
    return used[0] / members / messages / 0.75, (
        time.monotonic() - began - 0.2
    ) / members / messages


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for members, messages, size in ((10, 300_000, 64), (100, 40_000, 64), (10, 60_000, 4096)):
        found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for number in range(rounds):
            for paced in (False, True) if number % 2 else (True, False):
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "fast.py").write_text(f"PACED = {paced}\n" + APP)
                    with serving("fast:app", cwd=Path(folder)) as served:
                        url = served.ws.rstrip("/")
                        found[paced].append(asyncio.run(_measure(url, members, messages, size)))
        print(f"{members} members, {messages} messages of {size} bytes:")
        for paced, name in ((False, "without"), (True, "with")):
            cpu = [one[0] * 1e9 for one in found[paced]]
            rate = [1 / one[1] for one in found[paced]]
            print(
                f"  {name:7} {statistics.median(cpu):6.0f} ns ({min(cpu):.0f} to {max(cpu):.0f}),"
                f" {statistics.median(rate):10,.0f} messages/s",
                flush=True,
            )


if __name__ == "__main__":
    main()
