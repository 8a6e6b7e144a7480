"""What has come into being in a world, and what is left of it at the end?"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from inspect import isawaitable, iscoroutinefunction
from typing import Any

from wsext.protocol.agreement import Agreement
from wsext.runtime.life import life_of
from wsext.runtime.session import Session
from wsext.sdk.codec import Codec
from wsext.sdk.extension import Extension
from wsext.server.server import Server
from wsext.testing.simulation.loop import SimulatedLoop

__all__ = ["Books", "logged_errors"]

#: Seconds that everything gets to come to rest once the scenario and the servers are at their end.
_PATIENCE = 120.0
#: Seconds that servers get to close and everything to come to rest.
_CLOSING = 1000.0


class Books:
    """Keeps account of a world.

    Args:
        loop: What the world runs on.

    Attributes:
        servers: Every server.
        codecs: Every codec.
        expected: What asyncio may report: parts of its texts.
        errors: What wsext has logged as an error, from `logged_errors`.
    """

    def __init__(self, loop: SimulatedLoop) -> None:
        self.servers: list[Server] = []
        self.codecs = CodecLedger()
        self.expected: list[str] = []
        self.errors: list[logging.LogRecord] = []
        self._loop = loop
        self._clients: list[Session] = []

    def add_client(self, session: Session) -> None:
        """A client has opened a session: it has to end."""
        self._clients.append(session)

    async def close(self) -> None:
        """Close the servers, and wait for everything to come to rest."""
        loop = self._loop
        loop.limit = max(loop.limit, loop.time() + _CLOSING)
        for server in self.servers:
            await server.close()
        await loop.settle(_PATIENCE)

    def findings(self) -> list[str]:
        """What is not as it has to be at the end, one text each."""
        loop = self._loop
        found = [
            f"asyncio reported: {problem}"
            for problem in loop.problems
            if not any(text in problem for text in self.expected)
        ]
        found += self.codecs.findings()
        for server in self.servers:
            found += _left_over(server)
        found += [
            f"the client's {s!r} has not ended" for s in self._clients if life_of(s).info is None
        ]
        found += [f"{task.get_name()!r} still runs: {task!r}" for task in loop.tasks()]
        found += [f"a timer is still set: {timer}" for timer in loop.timers()]
        found += [f"a future is still pending, made at {place}" for place in loop.futures()]
        return found


def _left_over(server: Server) -> list[str]:
    found = [f"{session!r} is still open" for session in server.sessions]
    if server.connection_count:
        found.append(f"the server still counts {server.connection_count} connections")
    if server.addresses.count:
        found.append(f"the server still counts {server.addresses.count} addresses")
    if server.app.hub.rooms:
        found.append(f"rooms still have members: {server.app.hub.rooms!r}")
    return found


@contextmanager
def logged_errors() -> Iterator[list[logging.LogRecord]]:
    """What wsext logs as an error while the block runs."""
    records: list[logging.LogRecord] = []
    handler = logging.Handler(logging.ERROR)
    handler.emit = records.append  # type: ignore[assignment, method-assign]
    logger = logging.getLogger("wsext")
    logger.addHandler(handler)
    try:
        yield records
    finally:
        logger.removeHandler(handler)


class CodecLedger:
    """Counts the codecs of extensions, from their making to their closing."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[Codec, str]] = {}
        self._closed: dict[int, int] = {}
        self._watched: list[Extension] = []
        self._patched: dict[type[Codec], Callable[[Any], None] | None] = {}

    @property
    def made(self) -> int:
        """How many codecs were made."""
        return len(self._made)

    def findings(self) -> list[str]:
        """What is wrong: one text for each codec that was not closed exactly once."""
        return [
            f"a codec of {name} ({type(codec).__name__}) was closed {count} times"
            for key, (codec, name) in self._made.items()
            if (count := self._closed.get(key, 0)) != 1
        ]

    def watch(self, extensions: Iterable[Extension]) -> None:
        """Count what these make from now on."""
        for extension in extensions:
            if any(extension is other for other in self._watched):
                continue
            self._watched.append(extension)
            for name in ("make_codec", "accept", "confirm"):
                setattr(extension, name, self._counting(extension, getattr(extension, name)))

    def stop(self) -> None:
        """Count nothing any more, and leave everything as it was."""
        for extension in self._watched:
            for name in ("make_codec", "accept", "confirm"):
                vars(extension).pop(name, None)
        kind: Any
        for kind, close in self._patched.items():
            if close is None:
                del kind.close
            else:
                kind.close = close

    def _counting(self, extension: Extension, method: Callable[..., Any]) -> Callable[..., Any]:
        def count(result: Any) -> Any:
            codec = result.codec if isinstance(result, Agreement) else result
            if isinstance(codec, Codec):
                self._enter(codec, extension.name)
            return result

        async def count_later(result: Awaitable[Any]) -> Any:
            return count(await result)

        def counted(*arguments: Any, **options: Any) -> Any:
            result = method(*arguments, **options)
            return count_later(result) if isawaitable(result) else count(result)

        return counted

    def _enter(self, codec: Codec, name: str) -> None:
        if id(codec) in self._made:  # `accept` has it from `make_codec`
            return
        kind: Any = type(codec)
        if kind not in self._patched:
            own = vars(kind).get("close")
            inner = kind.close

            def count(codec: Codec) -> None:
                if type(codec) is kind:  # not when a subclass calls this one
                    self._closed[id(codec)] = self._closed.get(id(codec), 0) + 1

            def close(codec: Codec) -> None:
                count(codec)
                inner(codec)

            async def aclose(codec: Codec) -> None:
                count(codec)
                await inner(codec)

            try:
                kind.close = aclose if iscoroutinefunction(inner) else close
            except TypeError:  # written in C: it cannot be counted
                return
            self._patched[kind] = own
        self._made[id(codec)] = codec, name
