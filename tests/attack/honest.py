"""How long honest sessions wait while somebody attacks: a process of its own.

A few sessions send a message fifty times a second each, and wait for its echo. The time counts
from the moment when the message was due, so that one long wait counts for all messages that it
held up. A newcomer comes twice a second: it connects, does the handshake, and waits for an echo.

It reads lines: ``begin`` forgets what was measured, ``report`` prints the figures as JSON.
"""

from __future__ import annotations

import asyncio
import json
import signal
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass

from tests.attack.peers import Peer, Spent, dial
from tests.e2e.processes import Forked
from tests.raw import masked

__all__ = ["Honest", "Waits", "honest"]

SESSIONS, RATE, NEWCOMERS_EVERY, PATIENCE = 4, 50, 0.5, 5.0
MESSAGE = b"an honest message of sixty-four bytes, and nothing else at all.."


@dataclass(frozen=True)
class Waits:
    """What honest sessions met; times are in seconds."""

    p50: float = 0.0
    p99: float = 0.0
    longest: float = 0.0
    echoes: int = 0
    errors: int = 0
    served: int = 0
    refused: int = 0
    newcomer: float = 0.0  # the longest wait of a newcomer


class Honest:
    """The other end of the process."""

    def __init__(self, process: Forked) -> None:
        self._process = process

    def begin(self) -> None:
        self._ask("begin")

    def report(self) -> Waits:
        return Waits(**json.loads(self._ask("report")))

    def _ask(self, what: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(what + "\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()


@contextmanager
def honest(port: int, certificate: str | None) -> Iterator[Honest]:
    """Run the process until the block ends."""
    with Forked(_live, port, certificate, stdin=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            yield Honest(process)
        finally:
            process.kill()


class Measuring:
    """The sessions, and what they meet."""

    def __init__(self, port: int, context: ssl.SSLContext | None) -> None:
        self._port = port
        self._context = context
        self._due: dict[int, float] = {}
        self.forget()

    def forget(self) -> None:
        self._waits: list[float] = []
        self._newcomers: list[float] = []
        self._errors = self._refused = 0

    def report(self) -> Waits:
        """The figures; what is still awaited counts as if it came now."""
        now = time.monotonic()
        waits = sorted(self._waits + [now - due for due in self._due.values() if due < now])
        at = len(waits) - 1
        return Waits(
            waits[at // 2] if waits else 0.0,
            waits[round(at * 0.99)] if waits else 0.0,
            waits[-1] if waits else 0.0,
            len(waits),
            self._errors,
            len(self._newcomers),
            self._refused,
            max(self._newcomers, default=0.0),
        )

    async def _open(self) -> Peer:
        peer = Peer(*await dial(("127.0.0.1", self._port), self._context, Spent()))
        if not (await peer.shake()).startswith("HTTP/1.1 101"):
            peer.close()
            raise ConnectionRefusedError
        return peer

    async def _echo(self, peer: Peer) -> None:
        await peer.push(masked(1, MESSAGE))
        while frame := await peer.frame():
            if frame.opcode == 9:
                await peer.push(masked(10, bytes(frame.payload)))
            elif frame.opcode == 1:
                return
            else:
                break
        raise ConnectionResetError

    async def session(self, number: int, opened: asyncio.Event) -> None:
        """Be one session, again and again if it is ended."""
        while True:
            with suppress(OSError, EOFError, ssl.SSLError):
                peer = await self._open()
                opened.set()
                try:
                    await self._talk(number, peer)
                finally:
                    peer.close()
            self._errors += 1
            await asyncio.sleep(0.2)

    async def _talk(self, number: int, peer: Peer) -> None:
        due = time.monotonic() + number / RATE / SESSIONS
        while True:
            await asyncio.sleep(due - time.monotonic())
            self._due[number] = due
            await self._echo(peer)
            self._waits.append(time.monotonic() - due)
            due += 1 / RATE

    async def newcomers(self) -> None:
        while True:
            await asyncio.sleep(NEWCOMERS_EVERY)
            began = time.monotonic()
            try:
                async with asyncio.timeout(PATIENCE):
                    peer = await self._open()
                    try:
                        await self._echo(peer)
                    finally:
                        peer.close()
            except (OSError, EOFError, ssl.SSLError):
                self._refused += 1
            else:
                self._newcomers.append(time.monotonic() - began)


async def main(port: int, certificate: str | None) -> None:
    context = None if certificate is None else ssl.create_default_context(cafile=certificate)
    measuring = Measuring(port, context)
    opened = [asyncio.Event() for _ in range(SESSIONS)]
    tasks = [
        asyncio.create_task(measuring.session(number, event)) for number, event in enumerate(opened)
    ]
    for event in opened:
        await event.wait()
    tasks.append(asyncio.create_task(measuring.newcomers()))
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        if line == "begin\n":
            measuring.forget()
            print("begun", flush=True)
        else:
            print(json.dumps(asdict(measuring.report())), flush=True)


def _live(port: int, certificate: str | None) -> None:
    # Ctrl-C is for the program that runs the attacks. Another terminal session (`os.setsid`) would
    # also do, but Linux divides the processor among those first, and lets one that mostly sleeps
    # wait for its turn: up to 150 ms that the server has nothing to do with.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    asyncio.run(main(port, certificate))
