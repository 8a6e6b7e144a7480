"""Sessions on a network that breaks: nothing is lost or doubled, each handler runs once."""

from __future__ import annotations

import asyncio
import os
import ssl
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

import wsext
from tests.attack.meter import MIB, Meter
from tests.chaos.network import Network
from tests.chaos.served import FAST, codecs, options, records, resume
from tests.chaos.talk import Heard, say
from tests.e2e.processes import Served, serving
from tests.relay import listening
from tests.waiting import until
from wsext import Session, WebSocketOptions

__all__ = ["Outcome", "cut"]

#: Seconds without a word after which a session counts as stuck.
LATE = 30.0

#: What a session may cost beside what its extensions state: tasks, buffers, TLS.
SESSION = 128 << 10


@dataclass
class Outcome:
    """What one run has shown.

    Attributes:
        wrong: What is not as it is promised.
    """

    sessions: int
    messages: int = 0
    seconds: float = 0.0
    resumptions: int = 0
    memory: int = 0
    bound: int = 0
    endings: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        how = ", ".join(f"{count} {name}" for name, count in sorted(self.endings.items()))
        return (
            f"{self.sessions} sessions, {self.endings.total()} cuts ({how}), "
            f"{self.resumptions} resumptions, {self.messages} messages, {self.seconds:.0f} s, "
            f"server +{self.memory / MIB:.1f} MiB (bound {self.bound / MIB:.0f}), "
            f"{len(self.wrong)} wrong"
        )


def cut(
    kind: str,
    workers: int,
    sessions: int,
    cuts: int,
    seed: int,
    pause: float = 1.0,
    reach: int = 4000,
) -> Outcome:
    """Serve in processes of its own, cut, and judge.

    Args:
        kind: ``plain``, ``tls``, ``deflate``, ``zstd`` or ``seal``.
        workers: Processes that serve.
        sessions: How many there are at the same time.
        cuts: How many connections are ended.
        seed: Of the network's choices.
        pause: The most seconds between two bursts of one side.
        reach: The most bytes of one direction before a connection ends; twice that with TLS.
    """
    codec = "plain" if kind == "tls" else kind
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        args = ["tests.chaos.served:app", "--log-level", "warning"]
        args += ["--workers", str(workers)]
        context = None
        if kind == "tls":
            authority = trustme.CA()
            certificate = authority.issue_cert("localhost")
            certificate.private_key_and_cert_chain_pem.write_to_path(str(folder / "pem"))
            args += ["--ssl-cert", str(folder / "pem"), "--ssl-key", str(folder / "pem")]
            context = ssl.create_default_context()
            authority.configure_trust(context)
        log = stack.enter_context((folder / "log").open("w"))
        env = {
            **os.environ,
            "WSEXT_PLUGINS": "presets",
            "CHAOS_CODEC": codec,
            "CHAOS_FILE": str(folder / "record"),
            "CHAOS_PAUSE": str(pause),
        }
        served = stack.enter_context(serving(*args, env=env, stderr=log))
        run = _Run(folder, codec, context, sessions, seed, pause)
        outcome = asyncio.run(run.all(served, cuts, reach * (2 if context else 1)))
    return outcome


class _Run:
    """The clients' side of one run."""

    def __init__(
        self,
        folder: Path,
        codec: str,
        context: ssl.SSLContext | None,
        sessions: int,
        seed: int,
        pause: float,
    ) -> None:
        self._folder = folder
        self._codec = codec
        self._context = context
        self._seed = seed
        self._pause = pause
        self._stop = asyncio.Event()
        self._outcome = Outcome(sessions)
        self._heard: dict[str, Heard] = {}
        self._done: dict[str, tuple[int, int]] = {}  # sent and received

    async def all(self, served: Served, cuts: int, reach: int) -> Outcome:
        outcome = self._outcome
        meter = Meter(served.process.pid, self._folder / "log")
        async with listening(Network(served.port, self._seed, cuts, reach)) as network:
            opened = [await self._open(network, n) for n in range(outcome.sessions)]
            meter.begin()
            began = time.monotonic()
            talks = [
                asyncio.create_task(self._talk(session, str(number)))
                for number, session in enumerate(opened)
            ]
            network.begin()
            watch = asyncio.create_task(self._watch(network, opened))
            await until(lambda: network.is_quiet or bool(outcome.wrong), every=0.02)
            self._stop.set()
            _, late = await asyncio.wait(talks, timeout=LATE if not outcome.wrong else 1)
            watch.cancel()
            for talk in late:
                talk.cancel()
            if late:
                outcome.wrong.append(f"{len(late)} sessions did not end")
                outcome.wrong += [
                    f"{name}: connected {session.connected}, {session.resumptions} resumptions, "
                    f"heard {self._heard[str(name)].count}, {session.stats}"
                    for name, session in enumerate(opened)
                    if not talks[name].done() or talks[name].cancelled()
                ]
            outcome.seconds = time.monotonic() - began
            outcome.memory = meter.end().memory
            stated = sum(one.memory_estimate() or 0 for one in (resume(), *codecs(self._codec)))
            outcome.bound = outcome.sessions * (stated + SESSION) + 16 * MIB
            outcome.endings = network.done
        self._judge(meter.said())
        return outcome

    async def _watch(self, network: Network, opened: list[Session]) -> None:
        """Notice when a session hears nothing for very long, though it is never silent."""
        before: dict[str, int] = {}
        while True:
            await asyncio.sleep(LATE)  # so long is too long
            now = {name: heard.count for name, heard in self._heard.items()}
            for name, session in enumerate(opened):
                if before.get(str(name)) == now[str(name)] and str(name) not in self._done:
                    self._outcome.wrong.append(
                        f"{name}: nothing for {LATE} s after {now[str(name)]}, connected "
                        f"{session.connected}, {session.resumptions} resumptions {session.stats}"
                    )
            before = now

    async def _open(self, network: Network, number: int) -> Session:
        scheme = "wss" if self._context else "ws"
        how: dict[str, Any] = {"ssl": self._context} if self._context else {}
        return await wsext.connect(
            f"{scheme}://localhost:{network.port}/talk/{number}",
            extensions=[resume(), *codecs(self._codec)],
            required=["session-resume"],
            options=WebSocketOptions(**options()),
            backoff=FAST,
            open_timeout=5,
            **how,
        )

    async def _talk(self, session: Session, name: str) -> None:
        saying = session.create_task(
            say(session, self._stop, f"client {self._seed} {name}", self._pause)
        )
        heard = self._heard[name] = Heard()
        try:
            while not heard.take(await session.receive()):
                pass
            said = await saying
            await session.close()
        except (wsext.ConnectionClosed, AssertionError) as error:
            self._outcome.wrong.append(
                f"{name}: {error!r} after {heard.count} and {session.resumptions} resumptions, "
                f"{session.close_info}"
            )
            self._stop.set()
            return
        if session.fresh_start:
            self._outcome.wrong.append(f"{name}: a fresh start")
        self._outcome.resumptions += session.resumptions
        self._outcome.messages += heard.count + said
        self._done[name] = (said, heard.count)

    def _judge(self, log: bytes) -> None:
        outcome = self._outcome
        lines = records(self._folder / "record")
        began = Counter(line[1] for line in lines if line[0] == "began")
        outcome.wrong += [f"{name}: {n} handlers" for name, n in began.items() if n != 1]
        outcome.wrong += [" ".join(line) for line in lines if line[0] == "wrong"]
        ended = {line[1]: (int(line[2]), int(line[3])) for line in lines if line[0] == "ended"}
        if not outcome.wrong and ended != self._done:
            outcome.wrong.append("the two sides do not agree on how many messages there were")
        if outcome.memory > outcome.bound:
            outcome.wrong.append(f"{outcome.memory} bytes are above {outcome.bound}")
        if log:
            outcome.wrong.append(f"log: {log[:400].decode(errors='replace')}")
