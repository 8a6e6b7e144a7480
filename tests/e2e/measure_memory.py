"""What compressed messages cost a server whose application reads nothing, and what stays of it.

    python -m tests.e2e.measure_memory [deflate|zstd|async ...]

Each message is small and inflates to 512 KiB. One session gets 1 MiB of them, then 50 sessions get
256 KiB each. The server runs in a process of its own, whose address space is limited: an
implementation without bounds would take all of the machine's memory.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

import zstandard

from tests.codecs import deflated
from tests.e2e.processes import ENV, serving
from tests.raw import fetch, masked, raw_peer
from tests.waiting import until

__all__ = ["ATTACKS", "KINDS", "MIB", "Attack", "Figures", "Target", "attacked", "serving_bombs"]

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30

APP = """
import json

from tests.codecs import AsyncInflate
from wsext import App, Response, ServerOptions

app = App(server=ServerOptions(handshake_rate=None))
for extension in ("permessage-deflate", "permessage-zstd", AsyncInflate):
    app.install(extension)
sessions = set()


@app.http("/waiting")
def waiting(request):
    return Response(200, json.dumps([session.stats.waiting_in for session in sessions]))


@app.http("/end")
def end(request):
    for session in sessions:
        session.abort()
    return Response(200, "[]")


@app.websocket("/echo")
async def echo(session):
    sessions.add(session)
    try:
        async for message in session:
            await session.send(message)
    finally:
        sessions.remove(session)


@app.websocket("/")
async def reads_nothing(session):
    sessions.add(session)
    try:
        await session.wait_closed()
    finally:
        sessions.remove(session)
"""

INFLATED = bytes(512 * KIB)


def _zstd(data: bytes) -> bytes:
    """As permessage-zstd compresses a message without context takeover."""
    parameters = zstandard.ZstdCompressionParameters.from_level(
        3, format=zstandard.FORMAT_ZSTD1_MAGICLESS, window_log=17, write_content_size=0
    )
    return zstandard.ZstdCompressor(compression_params=parameters).compress(data)


class Kind(NamedTuple):
    """A way to compress: the client's offer, and a message."""

    offer: str
    message: bytes


KINDS = {
    "deflate": Kind("permessage-deflate", masked(2, deflated(INFLATED), rsv=0x40)),
    "zstd": Kind(
        "permessage-zstd; client_no_context_takeover", masked(2, _zstd(INFLATED), rsv=0x40)
    ),
    "async": Kind("x-async-inflate", masked(2, deflated(INFLATED))),
}


class Attack(NamedTuple):
    """So many sessions, and bytes for each."""

    sessions: int
    size: int


ATTACKS = [Attack(1, MIB), Attack(50, 256 * KIB)]


class Target(NamedTuple):
    """The server under attack."""

    port: int
    pid: int

    def _status(self, name: str) -> int:
        for line in Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith(name + ":"):
                return int(line.split()[1]) * KIB
        raise LookupError(name)

    def memory(self) -> int:
        """Its resident memory, in bytes."""
        return self._status("VmRSS")

    def forget_peak(self) -> None:
        """Let the peak begin anew."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def peak(self) -> int:
        """The most memory that was resident since then."""
        return self._status("VmHWM")

    async def waiting(self) -> list[int]:
        """How many messages wait, in each session."""
        return sorted(await self._ask("waiting"))

    async def end_all(self) -> None:
        """Have the server end all sessions, and wait until they have ended."""
        await self._ask("end")
        async with asyncio.timeout(10):
            await until(self._is_idle, every=0.02)

    async def _is_idle(self) -> bool:
        return not await self.waiting()

    async def _ask(self, what: str) -> list[int]:
        request = f"GET /{what} HTTP/1.1\r\nHost: localhost\r\n\r\n"
        _, _, body = await fetch(self.port, request.encode())
        found: list[int] = json.loads(body)
        return found


class Figures(NamedTuple):
    """What an attack has cost, in bytes beyond the memory before it."""

    peak: int
    left: int  # at the end of the time that it gets for it


@contextmanager
def serving_bombs(folder: Path, address_space: int) -> Iterator[Target]:
    """The server, which dies rather than take more than ``address_space``."""
    (folder / "bombed.py").write_text(APP)
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    plugins = "permessage-deflate,permessage-zstd"
    env = {**ENV, "PYTHONPATH": path, "WSEXT_PLUGINS": plugins}

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))

    quiet = subprocess.DEVNULL  # a line for each MemoryError is too many
    with serving("bombed:app", cwd=folder, env=env, preexec_fn=limit, stderr=quiet) as served:
        yield Target(int(served.ws.rpartition(":")[2]), served.process.pid)


async def attacked(
    target: Target,
    kind: str,
    attack: Attack,
    *,
    enough: int = 1 << 62,
    left: int = 0,
    seconds: float = 5,
) -> Figures:
    """Attack the server, then end all sessions.

    Args:
        target: The server.
        kind: Of `KINDS`.
        attack: How much.
        enough: Bytes of memory for which nothing more has to be awaited.
        left: What may be left; it is waited for.
        seconds: How long, at most.
    """
    offer, message = KINDS[kind]
    await target.waiting()  # whatever the first request costs
    before = target.memory()
    target.forget_peak()
    async with AsyncExitStack() as stack:
        peers = []
        for _ in range(attack.sessions):
            peer = await stack.enter_async_context(raw_peer(target.port))
            head = await peer.shake(more=f"Sec-WebSocket-Extensions: {offer}\r\n")
            assert offer.split(";")[0] in head
            peers.append(peer)
        for peer in peers:
            peer.send(message * (attack.size // len(message)))
        await _settled(target, attack.sessions, lambda: target.peak() - before > enough)
        if target.peak() - before <= enough:
            await target.end_all()
    peak = target.peak() - before
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await until(lambda: target.memory() - before <= left, every=0.05)
    return Figures(peak, target.memory() - before)


async def _settled(target: Target, sessions: int, is_enough: Callable[[], bool]) -> None:
    """Wait until every session has something, and no session gets more."""
    last: tuple[list[int], int] = ([], 0)
    same = 0
    async with asyncio.timeout(60):
        while same < 10 and not is_enough():
            try:
                waiting = await target.waiting()
            except (OSError, EOFError):  # it has taken more than it may, and broken down
                if is_enough():
                    return
                raise
            now = (waiting, target.peak())
            is_same = now == last and len(waiting) == sessions and min(waiting) > 0
            same = same + 1 if is_same else 0
            last = now
            await asyncio.sleep(0.02)


async def _main() -> None:
    for kind in sys.argv[1:] or KINDS:
        for attack in ATTACKS:
            with (
                tempfile.TemporaryDirectory() as folder,
                serving_bombs(Path(folder), 6 * GIB) as target,
            ):
                figures = await attacked(target, kind, attack, enough=4 * GIB)
            print(
                f"{kind:8} {attack.sessions:2} sessions, {attack.size >> 10:4} KiB each in messages"
                f" of {len(KINDS[kind].message):3} bytes: peak {figures.peak / MIB:+6.0f} MiB,"
                f" left after 5 s {figures.left / MIB:+5.0f} MiB",
                flush=True,
            )


if __name__ == "__main__":
    asyncio.run(_main())
