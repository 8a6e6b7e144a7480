"""A worker's process as its supervisor sees it, and what the worker says when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import indent
from typing import TypeAlias

import msgspec

from wsext.escape import escape, get_logger
from wsext.runtime.net import receive_descriptors
from wsext.server.board import Board
from wsext.server.handing import Begun, ForOperator

__all__ = ["LATE", "Ready", "WorkerProcess"]

logger = get_logger("wsext.workers")

#: Seconds that a worker that hangs gets to write where it was, before it is killed.
_LAST_WORDS = 1.0

#: Looks without a sign of life after which a worker is late. Looks are counted, not seconds: when
#: all processes were stopped for a while, the workers still get their time.
LATE = 2


#: Gets what a worker hands over: the worker, the number of the other one, and the connection.
PassOn: TypeAlias = "Callable[[WorkerProcess, int, Begun], None]"


class Ready(msgspec.Struct):
    """What a worker says once it can take connections.

    Attributes:
        extensions: What is installed.
        drain: Seconds that it takes to drain, at most.
    """

    extensions: list[str]
    drain: float


class WorkerProcess:
    """One worker's process, as the supervisor sees it.

    Both ends of the channel stay open here. So what the worker has not picked up can be taken
    back: the system gives each connection to only one of the two who read.

    Attributes:
        process: The process.
        board: What the worker tells of itself.
        started: When it was started, in the loop's time.
        expected: Whether it has been told to end.
        is_ready: Whether it has said that it serves.
        taken_back: How many connections were taken back from it.
    """

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        channel: socket.socket,
        far_end: socket.socket,
        board: Board,
        pass_on: PassOn | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self.process = process
        self.board = board
        self.started = loop.time()
        self.expected = False
        self.is_ready = False
        self.taken_back = 0
        self._beats = 0
        self._looks = 0
        self._pass_on = pass_on
        self._channel = channel
        self._far_end = far_end
        for end in (channel, far_end):
            end.setblocking(False)
        self._greeting = loop.create_task(self._listen())

    @classmethod
    async def start(
        cls,
        command: Sequence[str],
        env: Mapping[str, str] | None = None,
        *,
        number: int = 0,
        node: int = 0,
        pass_on: PassOn | None = None,
    ) -> WorkerProcess:
        """Start one.

        Args:
            command: The command; the descriptor of the worker's end of the channel is appended.
            env: Its environment; by default this process's.
            number: The worker's, and
            node: the supervisor's: what the worker is called by others.
            pass_on: Called when it hands a connection over: with it, the number of the worker that
                is to answer, and the connection. By default it gets the connection back.
        """
        ours, theirs = socket.socketpair()
        try:
            board = Board.send(ours, number, node)
            process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=env,
            )
        except BaseException:
            ours.close()
            theirs.close()
            raise
        return cls(process, ours, theirs, board, pass_on)

    async def ready(self) -> Ready | None:
        """Wait until it serves; ``None`` if it ends before that."""
        await asyncio.wait({self._greeting})
        return None if self._greeting.cancelled() else self._greeting.result()

    async def _listen(self) -> Ready:
        said = b""
        while not said.endswith(b"\n"):
            said += await asyncio.get_running_loop().sock_recv(self._channel, 4096)
        self.is_ready = True
        asyncio.get_running_loop().add_reader(self._channel, self._take_over)
        return msgspec.json.decode(said, type=Ready)

    def _take_over(self) -> None:
        """It hands a connection over to another worker."""
        try:
            number, descriptors = receive_descriptors(self._channel, 8)
        except BlockingIOError:
            return
        except OSError:
            number, descriptors = b"", []
        if not number:  # it has ended
            asyncio.get_running_loop().remove_reader(self._channel)
        if len(descriptors) != 2:  # it has ended, or the system had none left
            for descriptor in descriptors:
                os.close(descriptor)
            return
        connection = Begun(*descriptors)
        if self._pass_on is not None:
            self._pass_on(self, int.from_bytes(number, "big"), connection)
        else:
            self.give(connection)
            connection.close()

    @property
    def is_late(self) -> bool:
        """Whether it gives no signs of life."""
        return self._looks >= LATE

    def look(self) -> int:
        """Look for a sign of life; how many looks in a row have found none."""
        beats = self.board.beats
        self._looks = self._looks + 1 if beats == self._beats else 0
        self._beats = beats
        return self._looks

    def give(self, connection: socket.socket) -> bool:
        """Hand a connection over; ``False`` if it has too many waiting, or takes no more."""
        try:
            if isinstance(connection, Begun):
                descriptors = [connection.fileno(), connection.note.fileno()]
                socket.send_fds(self._channel, [b"h"], descriptors)
            else:
                word = b"m" if isinstance(connection, ForOperator) else b"c"
                socket.send_fds(self._channel, [word], [connection.fileno()])
        except OSError:
            return False
        return True

    def take_back(self) -> Iterator[socket.socket]:
        """The connections that it has not picked up.

        What it was told meanwhile is lost, so it has to be dead, or was not told to end.
        """
        with contextlib.suppress(BlockingIOError):
            while (received := receive_descriptors(self._far_end))[0]:
                word, numbers = received
                if (word, len(numbers)) in ((b"c", 1), (b"h", 2), (b"m", 1)):
                    self.taken_back += 1
                    kind = ForOperator if word == b"m" else socket.socket
                    yield Begun(*numbers) if word == b"h" else kind(fileno=numbers[0])
                else:
                    for number in numbers:
                        os.close(number)

    def stop(self, word: bytes = b"s") -> None:
        """Tell it to stop, or to retire; if it does not serve yet, end it at once."""
        if self.is_ready:
            self.tell(word)
        else:
            self.expected = True
            self.kill()

    def tell(self, word: bytes) -> None:
        """Tell it to stop, to retire or to abort."""
        self.expected = True
        try:
            self._channel.send(word)
        except BlockingIOError:  # it has not taken connections for long: it hangs
            self.kill()
        except OSError:
            pass  # it is dead already

    def kill(self) -> None:
        """End it at once."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def give_up(self) -> None:
        """End it, and let it write down where it hangs if it still can (`Board.last_words`)."""
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGABRT)
        asyncio.get_running_loop().call_later(_LAST_WORDS, self.kill)

    def tell_last_words(self) -> None:
        """Log where it was, if a signal has ended it and it could still say so."""
        words = self.board.last_words
        if words:
            lines = indent(escape(words, keep="\n").rstrip(), "  ")  # so that none is a record
            about = (logger.name, logging.ERROR, __file__, 0, "worker %d was here:")
            logger.handle(logger.makeRecord(*about, (self.process.pid,), None, sinfo=lines))

    async def wait(self) -> int:
        """Wait until its process has ended; the exit code."""
        code = await self.process.wait()
        self._greeting.cancel()
        return code

    def close(self) -> None:
        """Its process has ended, and there is nothing left to take back."""
        if self._channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._channel)
        self._channel.close()
        self._far_end.close()
        self.board.close()
