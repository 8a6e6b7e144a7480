"""A worker's process as its supervisor sees it, and what the worker says when it is ready."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import msgspec

__all__ = ["Ready", "WorkerProcess"]


class Ready(msgspec.Struct):
    """What a worker says once it can take connections.

    Attributes:
        extensions: What is installed.
        drain: Seconds that it takes to drain, at most.
    """

    extensions: list[str]
    drain: float


class WorkerProcess:
    """One worker's process, as the supervisor sees it."""

    def __init__(self, process: asyncio.subprocess.Process, channel: socket.socket) -> None:
        self.process = process
        self.started = asyncio.get_running_loop().time()
        self.expected = False  # whether it has been told to end
        self._channel = channel
        channel.setblocking(False)
        self._greeting = asyncio.get_running_loop().create_task(self._listen())

    async def ready(self) -> Ready | None:
        """Wait until it serves; ``None`` if it ends before that."""
        return await asyncio.shield(self._greeting)

    async def _listen(self) -> Ready | None:
        said = b""
        while not said.endswith(b"\n"):
            data = await asyncio.get_running_loop().sock_recv(self._channel, 4096)
            if not data:
                return None
            said += data
        return msgspec.json.decode(said, type=Ready)

    def give(self, connection: socket.socket) -> bool:
        """Hand a connection over; ``False`` if it has too many waiting, or is dead."""
        try:
            socket.send_fds(self._channel, [b"c"], [connection.fileno()])
        except OSError:
            return False
        return True

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

    async def wait(self) -> int:
        """Wait until its process has ended; the exit code."""
        code = await self.process.wait()
        await asyncio.wait({self._greeting}, timeout=1.0)
        self._channel.close()
        return code
