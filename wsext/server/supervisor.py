"""Several processes that serve one app on one port, and the one that looks after them.

The supervisor holds the listening sockets for as long as it lives. It accepts every connection and
hands it to the next worker, so that each gets as many as the others. What nobody can take yet
waits. A worker is the same command again, and so a reload starts from the code, the configuration
and the certificates as they are by then.

Between the two is a socket pair. The worker says once that it is ready, and with what; later, that
another worker has to answer a connection (`wsext.server.handing`): eight bytes with the other one's
number, and two file descriptors, the connection and the note. If that one is not there or late, the
worker that has read it gets it back. The supervisor says one byte at a time:

    b   first of all: here is your board (a file descriptor comes along)
    c   here is a connection (its file descriptor comes along)
    m   here is a connection to the admin port (its file descriptor comes along)
    h   here is a connection that another worker has begun to read (with two file descriptors)
    s   stop: drain, with 503 for new handshakes and 1001 for sessions
    r   retire: finish the handshakes, then drain with 1012
    a   abort what is left

The board is memory that both see (`wsext.server.board`). The worker's event loop gives a sign of
life on it every moment. When there is none for a second, the worker is late: it gets no more
connections, and those that it has not picked up go to others. When there is none for
``worker_timeout``, it is killed and replaced. So is one that is not ready in that time, or in ten
seconds if that is more. A process that was stopped and one whose event loop is blocked look the
same.

When a worker dies, what it had not picked up goes to others, too. What it had picked up is lost:
its sessions, and the handshakes that it had not answered. The log says how many. When the
supervisor dies, the workers see the end of the stream, and drain.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from math import ceil
from typing import Any

from wsext.escape import get_logger
from wsext.runtime.backoff import Backoff
from wsext.server.accepting import raise_descriptor_limit
from wsext.server.board import BEAT
from wsext.server.dealing import Dealer
from wsext.server.handing import Begun
from wsext.server.nodes import new_node
from wsext.server.notifying import Notifier
from wsext.server.process import LATE, Ready, WorkerProcess

__all__ = ["Supervisor"]

logger = get_logger("wsext.workers")

#: How long to wait before a worker that died is replaced, each time it dies again.
_BACKOFF = Backoff(initial=0.1, maximum=30.0, jitter=0.0)

#: Seconds after which a worker counts as healthy, and the waiting begins anew.
_HEALTHY = 10.0

#: Seconds between two looks for signs of life; workers give them twice as often.
_LOOK_EVERY = 2 * BEAT

#: Seconds that a worker gets to start, at least: imports take long on a busy machine.
_START = 10.0

#: Seconds that a worker gets beyond its drain time before it is killed.
_GRACE = 5.0


class Supervisor:
    """Starts workers, replaces those that die or hang, and ends or renews all of them.

    SIGTERM and SIGINT drain and end, a second one does not wait; SIGHUP starts new workers, and
    tells the old ones to retire once the new ones serve.

    Args:
        command: The command of one worker; the descriptor of its channel is appended to it.
        sockets: What connections are accepted from.
        count: How many there are.
        started: Called once when all serve.
        admin: What connections to the admin port are accepted from; any worker answers them.
        timeout: Seconds in which a worker has to give a sign of life, and before that to start;
            ``None`` lets it take as long as it likes.
        changes: Iterated over beside; each item reloads (for development).
        env: The environment of the workers, beside ``WSEXT_WORKER``, which counts them from 1; by
            default the supervisor's.
        reloading: Called before new workers are started.
    """

    def __init__(
        self,
        command: Sequence[str],
        sockets: Sequence[socket.socket],
        count: int,
        *,
        started: Callable[[Ready], None],
        admin: Sequence[socket.socket] = (),
        timeout: float | None = None,
        changes: AsyncIterator[Any] | None = None,
        env: Mapping[str, str] | None = None,
        reloading: Callable[[], None] = lambda: None,
    ) -> None:
        self._command = list(command)
        self._dealer = Dealer(sockets, admin, self._worker_at)
        self._count = count
        self._started = started
        self._timeout = timeout
        self._changes = changes
        self._env = os.environ if env is None else env
        self._reloading_begins = reloading
        self._current: list[WorkerProcess] = []
        self._alive: dict[WorkerProcess, asyncio.Task[int]] = {}  # with what waits for their end
        self._tasks: set[asyncio.Task[Any]] = set()
        self._drain = 0.0
        self._stop = asyncio.Event()
        self._reload = asyncio.Event()
        self._reloading = False
        self._numbers = itertools.count(1)
        self._node = new_node()
        self._systemd = Notifier()

    async def run(self) -> int:
        """Supervise until a signal ends it; the exit code."""
        raise_descriptor_limit()
        self._listen_to_signals()
        looking = asyncio.create_task(self._look_after_workers())
        if self._changes is not None:
            self._start(self._watch(self._changes))
        starting = self._start(self._begin())
        stop = self._start(self._stop.wait())
        await asyncio.wait({starting, stop}, return_when=asyncio.FIRST_COMPLETED)
        code = starting.result() if starting.done() else 0
        if code is None:
            await stop
            code = 0
        self._systemd.stopping()
        for task in self._tasks:
            task.cancel()
        code = await self._end() or code
        looking.cancel()
        return code

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload)

    def _on_stop(self) -> None:
        if self._stop.is_set():
            for worker in self._alive:
                worker.tell(b"a")
        elif self._current:
            sessions = sum(worker.board.sessions for worker in self._alive)
            logger.info("draining %d sessions", sessions)
        self._stop.set()

    def _on_reload(self) -> None:
        if self._reloading:
            logger.info("a reload is under way; the next one follows it")
        self._reload.set()

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # --- workers ------------------------------------------------------------------------------

    async def _begin(self) -> int | None:
        """Start the workers; an exit code, if they cannot even be started."""
        workers, said = await self._launch()
        first, ready = workers[0], said[0]
        if ready is None:
            return max(await self._wait_for(first), 1)
        self._current = workers
        self._dealer.set_takers(worker for worker in workers if worker.is_ready)
        self._drain = ready.drain
        for slot, worker in enumerate(workers):
            self._start(self._keep(slot, worker))
        self._dealer.start()
        self._started(ready)
        self._systemd.ready()
        self._start(self._reload_when_asked())
        return None

    async def _launch(self) -> tuple[list[WorkerProcess], list[Ready | None]]:
        """Start a worker, and if it serves the others; who they are, and what they said.

        The first one is on its own: what is wrong with the app is then said once.

        Raises:
            OSError: If the system cannot start so many.
        """
        workers: list[WorkerProcess] = []
        try:
            workers.append(await self._spawn(0))
            said = [await workers[0].ready()]
            if said[0] is not None:
                for slot in range(1, self._count):
                    workers.append(await self._spawn(slot))
                said += await asyncio.gather(*(worker.ready() for worker in workers[1:]))
        except OSError:
            for worker in workers:
                worker.stop()
            raise
        return workers, said

    def _worker_at(self, number: int) -> WorkerProcess | None:
        """The worker of a slot, counted from 1; ``None`` if it does not answer."""
        workers = self._current[number - 1 : number] if number else []
        return next((each for each in workers if each.is_ready and not each.is_late), None)

    async def _spawn(self, slot: int) -> WorkerProcess:
        worker = await WorkerProcess.start(
            self._command,
            {**self._env, "WSEXT_WORKER": str(slot + 1)},
            number=next(self._numbers),
            node=self._node,
            pass_on=self._pass_on,
        )
        self._alive[worker] = asyncio.get_running_loop().create_task(self._reap(worker))
        return worker

    async def _reap(self, worker: WorkerProcess) -> int:
        """Wait for the end of a worker, and see who takes what it leaves; its exit code."""
        code = await worker.wait()
        del self._alive[worker]
        self._dealer.remove(worker)
        for connection in worker.take_back():
            self._dealer.hand_over(connection)
        worker.tell_last_words()
        worker.close()
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
                "worker %d ended with %d%s; a new one in %.1f s",
                worker.process.pid, code, _describe_loss(worker), delay,
            )  # fmt: skip
            await asyncio.sleep(delay)
            try:
                fresh = await self._spawn(slot)
            except OSError as error:
                logger.error("cannot start a worker: %s", error)
                continue
            if self._current[slot] is not worker:  # there was a reload meanwhile
                fresh.stop()
                return
            worker = self._current[slot] = fresh
            if await worker.ready() is not None and not worker.expected:
                self._dealer.add(worker)
                logger.info("worker %d serves", worker.process.pid)

    async def _wait_for(self, worker: WorkerProcess) -> int:
        task = self._alive.get(worker)
        return worker.process.returncode or 0 if task is None else await asyncio.shield(task)

    def _pass_on(self, giver: WorkerProcess, number: int, connection: Begun) -> None:
        """Hand a connection over to the worker of a number, or else back to who has read it.

        The number 0 stands for any worker that does not shut down.
        """
        takers = [w for w in self._alive if w.board.number == number and w.is_ready]
        if number and takers:
            # Nobody else has the session. While the worker stands still the client waits; if too
            # many wait already, it comes back.
            any(worker.give(connection) for worker in takers)
            connection.close()
        elif number and not giver.is_late and giver.give(connection):
            connection.close()
        else:
            self._dealer.hand_over(connection)

    # --- signs of life ------------------------------------------------------------------------

    async def _look_after_workers(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            for worker in list(self._alive):
                self._judge(worker, worker.look())

    def _judge(self, worker: WorkerProcess, looks: int) -> None:
        """Give a worker that is late no more connections, and replace it in the end.

        Args:
            worker: The worker.
            looks: How many looks in a row have found no sign of life of it.
        """
        limit = self._timeout
        if limit is not None and not worker.is_ready:
            limit = max(limit, _START)
        if limit is not None and looks == max(LATE, ceil(limit / _LOOK_EVERY)):
            what = "has not answered for" if worker.is_ready else "was not ready in"
            logger.error(
                "worker %d %s %g s (worker_timeout) and is killed", worker.process.pid, what, limit
            )
            worker.give_up()
        elif looks == LATE and worker in self._dealer:
            self._dealer.remove(worker)
            if not worker.expected:
                for connection in [*worker.take_back()]:
                    if isinstance(connection, Begun):  # for a session that this worker has
                        worker.give(connection)
                        connection.close()
                    else:
                        self._dealer.hand_over(connection)
        elif looks == 0 and worker in self._current:
            self._dealer.add(worker)

    # --- reloading ----------------------------------------------------------------------------

    async def _reload_when_asked(self) -> None:
        while True:
            await self._reload.wait()
            self._reload.clear()
            self._reloading = True
            self._systemd.reloading()
            await self._renew()
            self._systemd.ready()
            self._reloading = False

    async def _watch(self, changes: AsyncIterator[Any]) -> None:
        async for _ in changes:
            self._reload.set()

    async def _renew(self) -> None:
        """Start new workers; when all of them serve, the old ones retire."""
        logger.info("reloading")
        self._reloading_begins()
        try:
            fresh, said = await self._launch()
        except OSError as error:
            logger.error("cannot start new workers: %s; the old ones go on", error)
            return
        if None in said:
            logger.error("new workers cannot start; the old ones go on")
            for worker in fresh:
                worker.stop()
            return
        self._drain = max(self._drain, *(ready.drain for ready in said if ready is not None))
        old, self._current = self._current, fresh
        self._dealer.set_takers(fresh)
        for slot, worker in enumerate(fresh):
            self._start(self._keep(slot, worker))
        for worker in old:
            worker.stop(b"r")
        logger.info("reloaded")

    # --- the end ------------------------------------------------------------------------------

    async def _end(self) -> int:
        """Drain all workers; 0 if none had to be killed and none failed to.

        Until they have ended, whoever connects is handed to them, to be told to go elsewhere.
        """
        ending = dict(self._alive)
        for worker in ending:
            worker.stop()
        code = 0
        if ending:
            done, late = await asyncio.wait(ending.values(), timeout=self._drain + _GRACE)
            for worker in list(self._alive):
                logger.error("worker %d did not end in time; killed", worker.process.pid)
                worker.kill()
            if late:
                await asyncio.wait(late)
            # What could not start, or was just about to, has ended with an error and served nobody.
            served = {task for worker, task in ending.items() if worker.is_ready}
            code = 1 if late or any(task.result() for task in done & served) else 0
        self._dealer.close()
        return code


def _describe_loss(worker: WorkerProcess) -> str:
    """What has become of the connections that a worker had."""
    if not worker.is_ready:
        return ""
    sessions = worker.board.sessions
    others = worker.board.connections - sessions
    return (
        f"; lost with it: {sessions} sessions, {others} other connections;"
        f" handed to others: {worker.taken_back}"
    )
