"""What all cases share: instances and variants of the extension under test, and two peers."""

from __future__ import annotations

import functools
import re
import unittest
from ast import literal_eval
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import cached_property
from typing import Any, ClassVar, NoReturn

from wsext.errors import OptionError, PluginError, ProtocolError
from wsext.protocol.frames import Frame
from wsext.sdk import hookspecs
from wsext.sdk.extension import Installable
from wsext.sdk.hooks import hook_names
from wsext.sdk.options import OptionField, option_fields
from wsext.sdk.sealed import SealedCodec
from wsext.testing.corpus import Victim, data_of, frames_of, samples
from wsext.testing.differences import check_same
from wsext.testing.engines import LIMIT, Engines, messages_of, parse_wire
from wsext.testing.grounds import Ground, OnAsyncio

__all__ = [
    "Cases",
    "EngineCases",
    "check_hooks",
    "edges",
    "exchange",
    "other_values",
    "run_async",
    "skip",
]


def skip(reason: str) -> NoReturn:
    """Leave a case out, and say why."""
    raise unittest.SkipTest(reason)


def run_async(case: Callable[[Any], Coroutine[Any, Any, None]]) -> Callable[[Any], None]:
    """Run an ``async def`` case to its end, on the ground of its suite."""

    @functools.wraps(case)
    def test(self: Any) -> None:
        self.ground.run(case(self))

    return test


async def exchange(client: Any, server: Any, payloads: Sequence[bytes], where: str = "") -> None:
    """Send messages to and fro, as text and as binary, and close from the client's side."""
    for opcode, payload in samples("text and binary", payloads):
        data = data_of(opcode, payload)
        await client.send(data)
        check_same([data], [await server.receive()], where)
        await server.send(data)
        check_same([data], [await client.receive()], f"{where}back, ")
    await client.close(3000, "done")
    info = await server.wait_closed()
    assert info.remote == (3000, "done"), str(info)


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
    ground: ClassVar[Ground] = OnAsyncio()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """What the suite does not say itself, ``conformance`` of the extension may."""
        super().__init_subclass__(**kwargs)
        known = getattr(vars(cls).get("extension"), "conformance", {})
        for name in known.keys() - vars(cls).keys():
            setattr(cls, name, known[name])

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
        return [{}, *self._changes([field for field in self.fields() if field.wire])]

    def all_settings(self) -> list[dict[str, Any]]:
        """`all_variants`, and sets in which one of the local options differs from its default."""
        local = [field for field in self.fields() if not field.wire]
        return [*self.all_variants(), *self._changes(local)]

    def _changes(self, fields: Sequence[OptionField]) -> list[dict[str, Any]]:
        """Sets of options in which one of these fields has another value than by default."""
        found = []
        for field in fields:
            for value in other_values(field):
                try:
                    self.make(**{field.name: value})
                except (OptionError, PluginError):
                    continue  # it needs company; the author may say which, in `variants`
                found.append({field.name: value})
        return found


class EngineCases(Cases):
    """Base of the cases with two engines that have agreed."""

    detects_corruption: ClassVar[bool | None] = None
    detects_replay: ClassVar[bool | None] = None

    def promises(self, attribute: str) -> bool:
        """Whether the suite says of the extension that it ``detects_corruption`` or
        ``detects_replay``; where it says nothing, a `SealedCodec` promises it."""
        said: bool | None = getattr(self, attribute)
        if said is not None:
            return said
        with self.engines() as engines:
            codec = engines.on_server.agreed[0].codec
        if not isinstance(codec, SealedCodec):
            return False
        return codec.ordered or attribute != "detects_replay"

    def engines(self, limit: int = LIMIT) -> Engines:
        """A client and a server that have agreed on the extension; all that a case opens are of the
        same two instances, as those of an app are."""
        client, server = self._instances
        engines = Engines([client], [server], limit)
        if not engines.agreed:
            skip("nothing is agreed with the default options")
        return engines

    @cached_property
    def _instances(self) -> tuple[Any, Any]:
        return self.make(), self.make()

    def pairs_of_one_key(self) -> Iterator[tuple[Engines, Engines, str]]:
        """Pairs of connections with equal share keys, and what they have agreed: two of each set of
        options that are negotiated, and whatever else has the key of one of them."""
        variants = self.all_variants()
        pairs = [(ours, ours) for ours in self.all_settings()]
        for variant in variants[1:]:
            pairs += [({}, variant), (variant, {})]
        found = False
        with ExitStack() as stack:
            firsts: dict[Any, tuple[Engines, str]] = {}
            for theirs, ours in pairs:
                engines = stack.enter_context(Engines([self.make(**theirs)], [self.make(**ours)]))
                if not engines.agreed or engines.server.pipeline.is_async:
                    continue  # what waits is never shared
                agreed = engines.on_server.agreed[0]
                key, what = agreed.codec.share_key, f"{agreed} with {ours or 'the defaults'}"
                if key is None:
                    continue
                found = True
                if key in firsts:
                    first, other = firsts[key]
                    yield first, engines, f"{other}, and {what}, have one share_key"
                    continue
                firsts[key] = engines, what
                if ours in variants:
                    again = Engines([self.make(**theirs)], [self.make(**ours)])
                    yield engines, stack.enter_context(again), f"two connections of {what}"
        if not found:
            skip("its messages are not shared (share_key is None)")

    def _send(self, engines: Engines, sender: str, frames: Sequence[Frame]) -> bytes:
        """What travels when one side sends frames."""
        try:
            return engines.finish(engines.send(sender, frames))
        except ProtocolError as error:
            raise AssertionError(f"a good message could not be sent: {error}") from error

    def _check_passes(
        self, engines: Engines, sender: str, frames: Sequence[Frame], *messages: Any, what: str = ""
    ) -> None:
        """Send frames, and check that these messages come out on the other side."""
        self._check_arrives(
            engines, sender, self._send(engines, sender, frames), *messages, what=what
        )

    def _check_message(
        self, engines: Engines, sender: str, opcode: int, payload: bytes, what: str = ""
    ) -> None:
        """Send a message that is not fragmented, and check that it comes out as it went in."""
        frames = frames_of(opcode, payload)
        self._check_passes(engines, sender, frames, data_of(opcode, payload), what=what)

    def _encode_one(self, engines: Engines, victim: Victim) -> Frame:
        """Send what comes before a message, and encode that message: as one frame of the wire."""
        if victim.before:
            self._check_message(engines, "client", victim.opcode, victim.before)
        data = self._send(engines, "client", [Frame(victim.opcode, victim.payload)])
        frames = parse_wire(data, masked=True)
        assert frames, f"nothing was sent of {victim.payload!r:.40}"
        payload = b"".join(bytes(frame.payload) for frame in frames)
        return frames[0].replace(payload=payload, fin=True)

    def _check_arrives(
        self, engines: Engines, sender: str, data: bytes, *messages: Any, what: str = ""
    ) -> None:
        """Give the other side what a side has sent, and check that these messages come out."""
        try:
            got = messages_of(engines.finish(engines.receive(sender, data)))
        except ProtocolError as error:
            raise AssertionError(f"{what}a good message was refused: {error}") from error
        check_same(messages, got, what)


def other_values(field: OptionField) -> list[Any]:
    """Values of an option other than its default: the bounds of a number and its double, every
    choice. None for a text, whose meaning only the author knows."""
    default = field.default
    if field.type == "bool":
        return [not default]
    if field.type.startswith(("'", '"')):
        found = [literal_eval(choice) for choice in field.type.split(" | ") if choice != "none"]
    else:
        found = list(edges(field.bounds))
        lowest = re.match(r">= (\d+)$", field.bounds)
        if lowest:
            found.append(int(lowest[1]))
        if type(default) is int and field.type.startswith("int"):
            found.append(default * 2 + 1)
    return [value for value in dict.fromkeys(found) if value != default]


def edges(bounds: str) -> list[int]:
    """The lowest and the highest of ``low to high``; nothing for other bounds."""
    low, separator, high = bounds.partition(" to ")
    if not separator:
        return []
    return [int(low), int(high)] if low.isdigit() and high.isdigit() else []
