"""How long a connection that was reset goes unnoticed while its session's inbox is full.

python -m tests.e2e.measure_reset [SECONDS]
"""

from __future__ import annotations

import asyncio
import json
import socket
import struct
import sys
import tempfile
import time
from pathlib import Path

from tests.e2e.processes import serving
from tests.raw import fetch, masked, raw_peer
from tests.waiting import until

APP = """
import json
import time

from wsext import App, Response, hookimpl

app = App()
sessions = set()
ended = []


class Ends:
    @hookimpl
    def wsext_session_closed(self, session, info):
        ended.append(time.monotonic())


app.install(Ends())


@app.http("/ended")
def tell(request):
    return Response(200, json.dumps([ended, [session.stats.waiting_in for session in sessions]]))


@app.websocket("/")
async def reads_nothing(session):
    sessions.add(session)
    await session.wait_closed()
    sessions.discard(session)
"""


async def _state(port: int) -> tuple[list[float], list[int]]:
    _, _, body = await fetch(port, b"GET /ended HTTP/1.1\r\nHost: localhost\r\n\r\n")
    ended, waiting = json.loads(body)
    return ended, waiting


async def measure(port: int, count: int, patience: float) -> float | None:
    """Seconds from a reset to the session's end; ``None`` if it took longer than the patience."""
    async with raw_peer(port) as peer:
        await peer.shake()
        peer.send(masked(1, b"x" * 200) * count)

        async def is_full() -> bool:
            return any(number >= 256 for number in (await _state(port))[1])

        await until(is_full, every=0.05)
        await asyncio.sleep(2.5)  # so that it is not the last data that lets it be noticed
        before = len((await _state(port))[0])
        sock = peer.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.writer.transport.abort()
        await asyncio.sleep(0)
        began = time.monotonic()
    while time.monotonic() < began + patience:
        ended, _ = await _state(port)
        if len(ended) > before:
            return ended[-1] - began
        await asyncio.sleep(0.05)
    return None


async def _main() -> None:
    patience = float(sys.argv[1]) if len(sys.argv) > 1 else 30
    for count in (257, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "resets.py").write_text(APP)
            with serving("resets:app", cwd=Path(folder)) as served:
                took = await measure(int(served.ws.rpartition(":")[2]), count, patience)
        noticed = f"more than {patience:.0f} s" if took is None else f"{took:.2f} s"
        print(f"{count} messages sent, then reset: noticed after {noticed}", flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
