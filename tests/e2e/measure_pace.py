"""What pacing costs: broadcasts to fast readers in a room that coalesces, with and without it.

    python -m tests.e2e.measure_pace [ROUNDS]

A server in a process of its own says messages, 20 in each turn of its event loop, whenever no
member has more than 64 KiB waiting. The readers are `wsext.connect` sessions in this process. The
figures are the server's processor time for each message that a member gets, and the rate at which
they arrive. Runs with and without pacing take turns.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path

import wsext
from tests.e2e.processes import serving

__all__ = ["APP"]

APP = """
import asyncio
import os
import time

from wsext import App, Session
from wsext.runtime.link import Link

app = App()


class NoPace:
    def __new__(cls, link):
        return None


if PACED:
    pass
else:
    import wsext.runtime.link
    wsext.runtime.link.Pace = NoPace


@app.websocket("/<int:members>/<int:messages>/<int:size>")
async def prices(session: Session, members: int, messages: int, size: int) -> None:
    room = app.room("prices")
    async with room.join(session, overflow="coalesce", queue_bytes=1 << 24):
        if len(room) == members:
            await asyncio.sleep(0.2)
            began = time.process_time()
            everybody = room.members()
            said = 0
            while said < messages:
                if any(one.waiting_bytes > 1 << 16 for one in everybody):
                    await asyncio.sleep(0.0005)
                    continue
                for _ in range(20):
                    room.broadcast_nowait("x" * size)
                    said += 1
                await asyncio.sleep(0)
            while any(one.waiting_bytes for one in everybody):
                await asyncio.sleep(0.0005)
            room.broadcast_nowait(f"done {time.process_time() - began}")
        async for _ in session:
            pass
"""


async def _measure(url: str, members: int, messages: int, size: int) -> tuple[float, float]:
    """Seconds of the server's processor and of the clock, per message that a member gets."""

    async def read() -> float:
        async with wsext.connect(f"{url}/{members}/{messages}/{size}") as session:
            count = 0
            async for message in session:
                if message.startswith("done"):
                    assert count == messages
                    return float(message.split()[1])
                count += 1
                if count == 1:
                    began.append(time.monotonic())
        raise AssertionError("the server has closed")

    began: list[float] = []
    used = await asyncio.gather(*(read() for _ in range(members)))
    return used[0] / members / messages, (time.monotonic() - began[0]) / members / messages


def main() -> None:
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for members, messages, size in ((10, 40_000, 64), (50, 8_000, 64), (10, 10_000, 4096)):
        found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
        for _ in range(rounds):
            for paced in (False, True):
                with tempfile.TemporaryDirectory() as folder:
                    (Path(folder) / "fast.py").write_text(f"PACED = {paced}\n" + APP)
                    with serving("fast:app", cwd=Path(folder)) as served:
                        url = served.ws.rstrip("/")
                        found[paced].append(
                            asyncio.run(_measure(url, members, messages, size))
                        )
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
