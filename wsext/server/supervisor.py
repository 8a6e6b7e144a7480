"""Several processes that serve one app on one port, and the one that looks after them.

The supervisor holds the listening sockets for as long as it lives. It accepts every connection and
hands it to the next worker, so that each gets as many as the others, and so that no connection is
lost when a worker comes, goes or dies: what nobody can take yet waits. A worker is the same command
again, and so a reload starts from the code, the configuration and the certificates as they are by
then.

Between the two is a socket pair. The worker says once that it is ready, and with what. The
supervisor says one byte at a time:

    c   here is a connection (its file descriptor comes along)
    s   stop: drain, with 503 for new handshakes and 1001 for sessions
    r   retire: finish the handshakes, then drain with 1012
    a   abort what is left

When one of the two dies, the other sees the end of the stream.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from typing import Any

from wsext.escape import get_logger
from wsext.runtime.backoff import Backoff
from wsext.server.process import Ready, WorkerProcess

__all__ = ["Supervisor"]

logger = get_logger("wsext.workers")

#: How long to wait before a worker that died is replaced, each time it dies again.
_BACKOFF = Backoff(initial=0.1, maximum=30.0)

#: Seconds after which a worker counts as healthy, and the waiting begins anew.
_HEALTHY = 10.0

#: Seconds without accepting: when no worker can take more, and when the system can give no more.
_NO_WORKER = 0.01
_NO_MEANS = 1.0

#: Seconds that a worker gets beyond its drain time before it is killed.
_GRACE = 5.0


class Supervisor:
    """Starts workers, replaces those that die, and ends or renews all of them.

    SIGTERM and SIGINT drain and end, a second one does not wait; SIGHUP starts new workers, and
    tells the old ones to retire once the new ones serve.

    Args:
        command: The command of one worker; the descriptor of its channel is appended to it.
        sockets: What connections are accepted from.
        count: How many there are.
        started: Called once when all serve.
        changes: Iterated over beside; each item reloads (for development).
        env: The environment of the workers; by default the supervisor's.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        count: int,
        *,
        started: Callable[[Ready], None],
        changes: AsyncIterator[Any] | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._command = list(command)
        self._sockets = list(sockets)
        self._count = count
        self._started = started
        self._changes = changes
        self._env = env
        self._current: list[WorkerProcess] = []
        self._serving: deque[WorkerProcess] = deque()  # the next to get a connection is the first
        self._waiting: socket.socket | None = None  # a connection that nobody could take yet
        self._alive: dict[WorkerProcess, asyncio.Task[int]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._resuming: asyncio.TimerHandle | None = None
        self._drain = 0.0
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()

    async def run(self) -> int:
        """Supervise until a signal ends it; the exit code."""
        self._listen_to_signals()
        if self._changes is not None:
            self._start(self._watch(self._changes))
        starting = self._start(self._begin())
        stop = self._start(self._stop.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        code = starting.result() if starting.done() else 0
        if code is None:
            await stop
            code = 0
        for task in self._tasks:
            task.cancel()
        return await self._end() or code

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._reload.set)

    def _on_stop(self) -> None:
        if self._stop.is_set():
            for worker in self._alive:
                worker.tell(b"a")
        self._stop.set()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- connections --------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        """Hand one connection to a worker; only one, so that signals are handled in between."""
        try:
            connection, _ = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return  # the peer has gone
        except OSError as error:  # out of file descriptors or memory
            logger.error("cannot accept connections: %s", error)
            self._pause(_NO_MEANS)
            return
        self._hand_over(connection)

    def _hand_over(self, connection: socket.socket) -> None:
        for _ in range(len(self._serving)):
            worker = self._serving[0]
            self._serving.rotate(-1)
            if worker.give(connection):
                connection.close()
                return
        self._waiting = connection
        self._pause(_NO_WORKER)

    def _pause(self, seconds: float) -> None:
        """Leave connections in the system's queue for a moment."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            loop.remove_reader(sock)
        self._resuming = loop.call_later(seconds, self._resume)

    def _resume(self) -> None:
        self._resuming = None
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self._hand_over(waiting)
        if self._resuming is None:
            for sock in self._sockets:
                asyncio.get_running_loop().add_reader(sock, self._accept, sock)

    # --- workers ------------------------------------------------------------------------------

    async def _begin(self) -> int | None:
        """Start the workers; an exit code, if they cannot even be started."""
        # The first one on its own: what is wrong with the app is then said once.
        first = await self._spawn()
        ready = await first.ready()
        if ready is None:
            return await self._alive[first] or 1
        rest = [await self._spawn() for _ in range(self._count - 1)]
        said = await asyncio.gather(*(worker.ready() for worker in rest))
        self._current = [first, *rest]
        self._serving.extend(
            worker for worker, item in zip(self._current, (ready, *said), strict=True) if item
        )
        self._drain = ready.drain
        for slot, worker in enumerate(self._current):
            self._start(self._keep(slot, worker))
        self._resume()
        self._started(ready)
        self._start(self._reload_when_asked())
        return None

    async def _spawn(self) -> WorkerProcess:
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=self._env,
            )
        worker = WorkerProcess(process, ours)
        self._alive[worker] = asyncio.get_running_loop().create_task(self._reap(worker))
        return worker

    async def _reap(self, worker: WorkerProcess) -> int:
        code = await worker.wait()
        del self._alive[worker]
        if worker in self._serving:
            self._serving.remove(worker)
        return code

    async def _keep(self, slot: int, worker: WorkerProcess) -> None:
        """Replace the worker of a slot whenever it dies, until a reload gives the slot away."""
        delays = _BACKOFF.delays()
        while True:
            code = await self._wait_for(worker)
            if worker.expected:
                return
            if asyncio.get_running_loop().time() - worker.started >= _HEALTHY:
                delays = _BACKOFF.delays()
            delay = next(delays)
            logger.error(
                "worker %d ended with %d; a new one in %.1f s", worker.process.pid, code, delay
            )
            await asyncio.sleep(delay)
            fresh = await self._spawn()
            if self._current[slot] is not worker:  # there was a reload meanwhile
                fresh.tell(b"s")
                return
            worker = self._current[slot] = fresh
            if await worker.ready() is not None and not worker.expected:
                self._serving.append(worker)
                logger.info("worker %d serves", worker.process.pid)

    async def _wait_for(self, worker: WorkerProcess) -> int:
        task = self._alive.get(worker)
        return worker.process.returncode or 0 if task is None else await asyncio.shield(task)

    # --- reloading ----------------------------------------------------------------------------

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            await self._renew()

    async def _watch(self, changes: AsyncIterator[Any]) -> None:
        async for _ in changes:
            self._reload.set()

    async def _renew(self) -> None:
        """Start new workers; when all of them serve, the old ones retire."""
        logger.info("reloading")
        fresh = [await self._spawn() for _ in range(self._count)]
        said = await asyncio.gather(*(worker.ready() for worker in fresh))
        ready = [item for item in said if item is not None]
        if len(ready) < self._count:
            logger.error("new workers cannot start; the old ones go on")
            for worker in fresh:
                worker.tell(b"s")
            return
        self._drain = max(self._drain, ready[0].drain)
        old, self._current = self._current, fresh
        self._serving = deque(fresh)
        for slot, worker in enumerate(fresh):
            self._start(self._keep(slot, worker))
        for worker in old:
            worker.tell(b"r")
        logger.info("reloaded")

    # --- the end ------------------------------------------------------------------------------

    async def _end(self) -> int:
        """Drain all workers; 0 if none had to be killed and none failed to.

        Until they have ended, whoever connects is handed to them, to be told to go elsewhere.
        """
        ending = dict(self._alive)
        for worker in ending:
            worker.tell(b"s")
        code = 0
        if ending:
            done, late = await asyncio.wait(ending.values(), timeout=self._drain + _GRACE)
            for worker in list(self._alive):
                logger.error("worker %d did not end in time; killed", worker.process.pid)
                worker.kill()
            if late:
                await asyncio.wait(late)
            # What a reload could not start has ended with an error, and served nobody.
            served = {ending[worker] for worker in self._current if worker in ending}
            code = 1 if late or any(task.result() for task in done & served) else 0
        for sock in self._sockets:
            sock.close()
        return code
