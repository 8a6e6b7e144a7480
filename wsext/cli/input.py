"""Where the messages of a command come from: lines of a terminal or of a pipe, or all of a pipe."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import BinaryIO

__all__ = ["Lines", "input_lines", "piped_lines"]


class Lines:
    """Lines one after another. Who stops waiting for one loses none: the next one to ask gets it.

    Args:
        read: Waits for the next line; ``None`` when there are no more.

    Attributes:
        number: Of the line that was given last, counted from 1.
    """

    def __init__(self, read: Callable[[], Awaitable[bytes | None]]) -> None:
        self._read = read
        self._again: bytes | None = None
        self._ended = False
        self.number = 0

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> bytes:
        line, self._again = self._again, None
        if line is None and not self._ended:
            line = await self._read()
        if line is None:
            self._ended = True
            raise StopAsyncIteration
        self.number += 1
        return line

    def put_back(self, line: bytes) -> None:
        """Give the last line once more: it could not be sent."""
        self._again = line
        self.number -= 1


@asynccontextmanager
async def input_lines(interactive: bool, *, whole: bool = False) -> AsyncIterator[Lines]:
    """The lines of a terminal, with editing and history, or of a pipe.

    Args:
        interactive: Whether there is a terminal.
        whole: Whether all of the pipe is one line.
    """
    if not interactive:
        yield piped_lines(whole=whole)
        return
    from prompt_toolkit import PromptSession
    from prompt_toolkit.patch_stdout import patch_stdout

    prompt: PromptSession[str] = PromptSession()

    async def typed() -> bytes | None:
        try:
            return (await prompt.prompt_async("> ")).encode("utf-8", "replace")
        except (EOFError, KeyboardInterrupt):
            return None

    with patch_stdout(raw=True):
        yield Lines(typed)


def piped_lines(*, whole: bool = False) -> Lines:
    """Lines of stdin without their ends, or all of it; nothing is read before somebody wants it."""
    queue: asyncio.Queue[bytes | None] | None = None

    async def read() -> bytes | None:
        nonlocal queue
        queue = queue or _read_pipe(_all_of if whole else _lines_of)
        return await queue.get()

    return Lines(read)


def _all_of(stdin: BinaryIO) -> Iterable[bytes]:
    return filter(None, [stdin.read()])


def _lines_of(stdin: BinaryIO) -> Iterable[bytes]:
    return (line.removesuffix(b"\n") for line in stdin)


def _read_pipe(take: Callable[[BinaryIO], Iterable[bytes]]) -> asyncio.Queue[bytes | None]:
    """Read stdin in a thread: a file or a pipe that waits must not stop the loop."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | None] = asyncio.Queue(maxsize=256)

    def read() -> None:
        # Not sys.stdin: Python cannot close that at its exit while a thread still reads from it.
        with open(0, "rb", closefd=False) as stdin, suppress(RuntimeError):
            for piece in take(stdin):  # RuntimeError: the loop has ended before the input
                asyncio.run_coroutine_threadsafe(queue.put(piece), loop).result()
            asyncio.run_coroutine_threadsafe(queue.put(None), loop).result()

    threading.Thread(target=read, daemon=True).start()
    return queue
