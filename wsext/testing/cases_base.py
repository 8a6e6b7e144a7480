"""What all cases share: instances and variants of the extension under test, and two peers."""

from __future__ import annotations

import asyncio
import functools
import itertools
import unittest
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

from wsext.errors import OptionError, ProtocolError
from wsext.protocol.frames import Frame
from wsext.runtime.session import Session
from wsext.sdk import hookspecs
from wsext.sdk.extension import Installable
from wsext.sdk.hooks import hook_names
from wsext.sdk.options import OptionField, option_fields
from wsext.testing.engines import LIMIT, Engines, messages_of

__all__ = [
    "Cases",
    "EngineCases",
    "check_hooks",
    "edges",
    "exchange",
    "fragments",
    "run_async",
    "skip",
]


def skip(reason: str) -> NoReturn:
    """Leave a case out, and say why."""
    raise unittest.SkipTest(reason)


def fragments(payload: bytes, cuts: Sequence[int], opcode: int = 2) -> list[Frame]:
    """A message cut at some places."""
    places = [0, *sorted(cut % (len(payload) + 1) for cut in cuts), len(payload)]
    parts = [payload[start:end] for start, end in itertools.pairwise(places)]
    last = len(parts) - 1
    return [Frame(0 if at else opcode, part, at == last) for at, part in enumerate(parts)]


def run_async(case: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """Run an ``async def`` case to its end, whatever runs the tests."""

    @functools.wraps(case)
    def test(self: Any) -> None:
        asyncio.run(case(self))

    return test


async def exchange(
    client: Session, server: Session, messages: Sequence[bytes], where: str = ""
) -> None:
    """Send messages to and fro, and close from the client's side."""
    for payload in messages:
        await client.send(payload)
        got = await asyncio.wait_for(server.receive(), 20)
        assert got == payload, f"{where}{payload!r:.40} came as {got!r:.40}"
        await server.send(payload)
        got = await asyncio.wait_for(client.receive(), 20)
        assert got == payload, f"{where}{payload!r:.40} came back as {got!r:.40}"
    await client.close(3000, "done")
    assert server.close_info.remote == (3000, "done"), str(server.close_info)


def check_hooks(plugin: Any) -> None:
    """Check that a plugin has hooks, and that what is named like one is one."""
    names = hook_names(plugin)
    assert names, "it has no hook: nothing will ever call it"
    for name in names:
        assert hasattr(hookspecs, name), f"{name} is no hook of wsext"
        marked = hasattr(getattr(plugin, name), "wsext_impl")
        assert marked, f"{name} is not marked with @hookimpl, so it is never called"


class Cases:
    """Base of every group of cases."""

    extension: ClassVar[type[Installable]]
    options: ClassVar[Mapping[str, Any]] = {}
    variants: ClassVar[Sequence[Mapping[str, Any]] | None] = None
    messages: ClassVar[Sequence[bytes]] = (
        b"",
        b"a",
        b"hello, hello, hello",
        bytes(range(256)) * 8,
        b'{"price": 1.0001, "size": 100}' * 40,
        b"\x00" * 70_000,
    )
    examples: ClassVar[int] = 40

    def make(self, **options: Any) -> Any:
        """An instance of the extension under test."""
        return self.extension(**{**self.options, **options})

    def fields(self) -> tuple[OptionField, ...]:
        """Its options."""
        return option_fields(self.extension.Options)

    def all_variants(self) -> list[dict[str, Any]]:
        """Sets of options worth negotiating: the defaults, and the bounds of the wire options."""
        if self.variants is not None:
            return [dict(variant) for variant in self.variants]
        found: list[dict[str, Any]] = [{}]
        for field in self.fields():
            if field.wire is None:
                continue
            if field.type == "bool":
                values: list[Any] = [not field.default]
            else:
                values = [edge for edge in edges(field.bounds) if edge != field.default]
            for value in values:
                try:
                    self.make(**{field.name: value})
                except OptionError:
                    continue  # it needs company; the author may say which, in `variants`
                found.append({field.name: value})
        return found


class EngineCases(Cases):
    """Base of the cases with two engines that have agreed."""

    def engines(self, limit: int | None = None, **options: Any) -> Engines:
        """A client and a server that have agreed on the extension."""
        engines = Engines([self.make(**options)], [self.make(**options)], limit or LIMIT)
        if not engines.agreed:
            skip("nothing is agreed with the default options")
        return engines

    def _send(self, engines: Engines, sender: str, frames: Sequence[Frame]) -> bytes:
        """What travels when one side sends frames."""
        try:
            return asyncio.run(engines.send(sender, frames))
        except ProtocolError as error:
            raise AssertionError(f"a good message could not be sent: {error}") from error

    def _check_passes(
        self, engines: Engines, sender: str, frames: Sequence[Frame], *messages: Any, what: str = ""
    ) -> None:
        """Send frames, and check that these messages come out on the other side."""
        self._check_arrives(
            engines, sender, self._send(engines, sender, frames), *messages, what=what
        )

    def _check_arrives(
        self, engines: Engines, sender: str, data: bytes, *messages: Any, what: str = ""
    ) -> None:
        """Give the other side what a side has sent, and check that these messages come out."""
        try:
            got = messages_of(asyncio.run(engines.receive(sender, data)))
        except ProtocolError as error:
            raise AssertionError(f"{what}a good message was refused: {error}") from error
        assert got == [*messages], f"{what}{[*messages]!r:.60} came as {got!r:.60}"


def edges(bounds: str) -> list[int]:
    """The lowest and the highest of ``low to high``; nothing for other bounds."""
    low, separator, high = bounds.partition(" to ")
    if not separator:
        return []
    return [int(low), int(high)] if low.isdigit() and high.isdigit() else []
