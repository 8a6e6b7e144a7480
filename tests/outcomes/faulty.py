"""An extension that fails in one call, in one way, when it is armed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, ClassVar

import anyio
import anyio.lowlevel

from tests.codecs import Counting, CountingCodec
from wsext import OptionSet, RemoteProtocolError, SharedHistory, hookimpl

__all__ = ["LEGAL", "NAME", "SECRET", "Faultless", "faulty", "faulty_plugin", "with_codec"]

NAME = "x-faulty"

#: Stands in every exception, and must never reach a peer.
SECRET = "hunter2"

#: What the extension says of the peer where it may: code and reason.
LEGAL = (1008, "not like this")

RAISED: dict[str, Callable[[], BaseException]] = {
    "Exception": lambda: RuntimeError(SECRET),
    "ValueError": lambda: ValueError(SECRET),
    "legal code": lambda: RemoteProtocolError(*LEGAL),
    "illegal code": lambda: RemoteProtocolError(1005, SECRET),
    "SystemExit": lambda: SystemExit(SECRET),
    "KeyboardInterrupt": lambda: KeyboardInterrupt(SECRET),
    "CancelledError": lambda: asyncio.CancelledError(SECRET),
}

#: What is of a wrong type for a call; 5 for all others.
WRONG: dict[str, Any] = {"share_key": [SECRET], "wsext_not_ready": SECRET}


def _fault(call: str, kind: str, asynchronous: bool) -> Callable[..., Any]:
    """A function that fails."""

    def happen() -> Any:
        if kind in RAISED:
            raise RAISED[kind]()
        return None if kind == "None" else WRONG.get(call, 5)

    def fail(*arguments: Any, **named: Any) -> Any:
        return happen()

    async def fail_later(*arguments: Any, **named: Any) -> Any:
        await anyio.lowlevel.checkpoint()  # on asyncio and on trio
        if kind == "never returns":
            await anyio.sleep_forever()
        return happen()

    return fail_later if asynchronous else fail


class FaultlessCodec(CountingCodec):
    """Is not shared."""

    key = None


class Faultless(Counting):
    """What the others are derived from: makes codecs that change nothing."""

    name: ClassVar[str] = NAME
    codec: ClassVar[type[CountingCodec]] = FaultlessCodec


def with_codec(**members: Any) -> type[Faultless]:
    """An extension whose codecs have these members."""
    return type("Faulty", (Faultless,), {"codec": type("FaultyCodec", (FaultlessCodec,), members)})


def faulty(call: str, kind: str, *, asynchronous: bool = False) -> type[Faultless]:
    """An extension that fails in a call, on connections while the class's ``armed`` is true."""
    fail = _fault(call, kind, asynchronous)
    if call == "option-set":
        options = type("Options", (OptionSet,), {"check": fail})
        return type("Faulty", (Faultless,), {"Options": options})
    extension: type[Faultless] = type("Faulty", (Faultless,), {"armed": True})
    if call == "SharedHistory.encode":
        history = type("FaultyHistory", (SharedHistory,), {"encode": fail})
        remembers = {
            "key": "all the same",
            "has_history": True,
            "make_history": lambda _: history(),
        }
        extension.codec = type("FaultyCodec", (FaultlessCodec,), remembers)
        return extension
    of_codec = hasattr(FaultlessCodec, call)
    inner = getattr(FaultlessCodec if of_codec else Faultless, call)

    def method(self: Any, *arguments: Any) -> Any:
        if call == "close":
            inner(self)
        return fail() if extension.armed else inner(self, *arguments)  # type: ignore[attr-defined]

    async def later(self: Any, *arguments: Any) -> Any:
        return await fail()

    members: dict[str, Any] = {call: later if asynchronous else method}
    if not of_codec:
        setattr(extension, call, members[call])
        return extension
    if call == "share_key":
        members = {call: property(fail)}
    elif call == "make_history":
        members |= {"key": "all the same", "has_history": True}
    elif call in ("can_share", "encode_shared", "skip_shared"):
        members["key"] = "all the same"
    extension.codec = type("FaultyCodec", (FaultlessCodec,), members)
    return extension


def faulty_plugin(hook: str, kind: str, *, asynchronous: bool = False) -> Any:
    """A plugin with one hook implementation, which fails."""
    fail = _fault(hook, kind, asynchronous)

    def implementation(self: Any) -> Any:
        return fail()

    async def later(self: Any) -> Any:
        return await fail()

    function: Any = later if asynchronous else implementation
    function.__name__ = hook
    return type("Plugin", (), {hook: hookimpl(function), "__module__": __name__})()
