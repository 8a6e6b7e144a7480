"""The boundary to extensions: what they return is checked, what they raise is mapped and logged.

wsext calls code that strangers have written: while an extension is set up, while a handshake is
negotiated, and for the messages of a connection. Whatever such a call does, these rules hold:

- The connection goes on without the extension, or it is failed with a close code. An extension
  cannot end the process: `SystemExit`, `KeyboardInterrupt` and a cancellation that nobody asked for
  count as any other exception.
- The log has one line with the extension, its distribution, the session, the call and a traceback.
  A peer gets fixed words, and never the text of an exception. Only a `RemoteProtocolError` may say
  what the peer did wrong.
- A codec that was made is closed exactly once.

``docs/outcomes.md`` has the table.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Generator, Hashable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import entry_points
from types import FunctionType
from typing import Any, TypeAlias, TypeVar

from wsext.errors import LocalProtocolError, NegotiationError, ProtocolError, RemoteProtocolError
from wsext.escape import get_logger
from wsext.protocol.closing import is_sendable_code

__all__ = [
    "FAULTS",
    "GROUP",
    "Boundary",
    "ExtensionFault",
    "Steps",
    "Wait",
    "afinish",
    "ask",
    "can_be_closed",
    "check_codec",
    "close_after",
    "contained",
    "distribution_of",
    "finish",
    "is_async",
    "report",
    "text_of",
]

logger = get_logger("wsext.extensions")

#: The group of entry points in which plugins are found.
GROUP = "wsext"

#: What is a fault of whoever was awaited. A cancellation is not: whoever awaits may be cancelled.
FAULTS = (Exception, SystemExit, KeyboardInterrupt)

T = TypeVar("T")

#: Yields what extensions want awaited, is sent what came of it, and returns a result.
Steps: TypeAlias = Generator[Awaitable[Any], Any, T]

#: Awaits something, for example with a deadline.
Wait: TypeAlias = "Callable[[Awaitable[Any]], Awaitable[Any]]"

#: What a codec has to have, and which of its methods cannot be ``async def``.
_METHODS = ("encode", "encode_shared", "skip_shared", "decode", "wants", "encoded_bound", "close")
_SYNCHRONOUS = ("can_share", "skip_shared", "wants", "encoded_bound")
_FLAGS = ("control_frames", "first_frame_rsv", "mandatory")
#: Those that make a pipeline asynchronous if they are ``async def``.
_AWAITED = ("encode", "decode", "encode_message", "decode_message", "seal", "unseal")
#: More bytes than any message may have.
_LARGEST = 1 << 62

#: Which way the data goes that a method is called for.
_DIRECTIONS = {"encode": "outgoing", "encode_shared": "outgoing", "skip_shared": "outgoing",
               "decode": "incoming"}  # fmt: skip


class ExtensionFault(NegotiationError):
    """An extension failed while a handshake was negotiated; the log has the details."""

    def __init__(self, extension: str) -> None:
        super().__init__("the extension failed; the log has the details", extension)


# --- the log ----------------------------------------------------------------------------------


def distribution_of(kind: Any) -> str:
    """The name of the distribution that ships a class or function; empty if nobody tells."""
    return _distribution_of(_module_of(kind).partition(".")[0])


def _module_of(kind: Any) -> str:
    """The name of its module; what code makes of code may have none."""
    return getattr(kind, "__module__", None) or "an unnamed module"


@lru_cache(maxsize=256)
def _distribution_of(package: str) -> str:
    for entry in entry_points(group=GROUP):
        if entry.dist and entry.module.partition(".")[0] == package:
            return str(entry.dist.metadata["Name"])
    return ""


def report(
    what: str,
    error: BaseException,
    *,
    kind: type | None = None,
    where: str = "",
    first: bool = True,
) -> None:
    """Log a fault of foreign code.

    Args:
        what: What failed, for example ``extension x-foo: decode()``.
        error: What was raised.
        kind: The class or function at fault; its distribution is named.
        where: In which session or handshake.
        first: Whether it is the first fault; those that follow are logged at debug.
    """
    logger.log(
        logging.ERROR if first else logging.DEBUG,
        "%s%s failed%s: %s: %s",
        f"{where}: " if where else "",
        what,
        f" (from {distribution_of(kind) or _module_of(kind)})" if kind else "",
        type(error).__name__,
        text_of(error),
        exc_info=error,
    )


def text_of(error: BaseException) -> str:
    """What an exception says; foreign code makes that text, too."""
    try:
        return str(error)
    except BaseException as failure:
        return f"(its text cannot be had: {type(failure).__name__})"


# --- what may be awaited ----------------------------------------------------------------------


def finish(steps: Steps[T]) -> T:
    """Run steps where nothing can be awaited: what an extension wants awaited is its fault."""
    try:
        awaitable = next(steps)
        while True:
            if inspect.iscoroutine(awaitable):
                awaitable.close()
            awaitable = steps.throw(TypeError("is asynchronous, and nothing can be awaited here"))
    except StopIteration as done:
        result: T = done.value
        return result


async def afinish(steps: Steps[T], wait: Wait | None = None) -> T:
    """Run steps, and await what extensions want awaited.

    Args:
        steps: The steps.
        wait: What awaits it, for example with a deadline.
    """
    advance: Callable[[Any], Awaitable[Any]] = steps.send
    value: Any = None
    while True:
        try:
            awaitable = advance(value)
        except StopIteration as done:
            result: T = done.value
            return result
        try:
            value, advance = await (awaitable if wait is None else wait(awaitable)), steps.send
        except BaseException as error:
            value, advance = error, steps.throw


# --- negotiation ------------------------------------------------------------------------------


@contextmanager
def contained(extension: Any, method: str, ctx: Any) -> Iterator[None]:
    """Calls of an extension while a handshake is negotiated: a fault is logged.

    Args:
        extension: The extension.
        method: The method that is called.
        ctx: The `NegotiationContext`.

    Raises:
        NegotiationError: Whatever was raised.
    """
    try:
        yield
    except NegotiationError:
        raise
    except BaseException as error:
        path = getattr(ctx.request, "path", "")
        where = f"handshake, {ctx.role}" + (f", {path}" if path else "")
        report(f"extension {extension.name}: {method}()", error, kind=type(extension), where=where)
        raise ExtensionFault(extension.name) from error


def ask(extension: Any, method: str, arguments: tuple[Any, ...], ctx: Any) -> Steps[Any]:
    """Call a method of an extension that may be asynchronous; what it answers.

    Raises:
        NegotiationError: Whatever it raised.
    """
    with contained(extension, method, ctx):
        answer = getattr(extension, method)(*arguments)
    if inspect.isawaitable(answer):
        try:
            answer = yield answer
        except FAULTS:
            with contained(extension, method, ctx):
                raise
    return answer


# --- codecs -----------------------------------------------------------------------------------


def check_codec(codec: Any, size: int) -> None:
    """Check what an extension gave as the codec of a connection.

    Args:
        codec: What it gave.
        size: The limit of a message, for which the codec has to name a bound.

    Raises:
        TypeError: If it cannot be used; says what was expected.
    """
    if inspect.iscoroutine(codec):
        codec.close()
        raise TypeError("gave a coroutine, not a codec: make_codec() cannot be async")
    if isinstance(codec, type):
        raise TypeError(f"gave the class {codec.__name__}, not an object of it, as its codec")
    for name in _METHODS:
        if not callable(getattr(codec, name, None)):
            raise TypeError(
                f"gave {type(codec).__name__}, which has no {name}(), as its codec; "
                "a codec is derived from wsext.Codec"
            )
    for name in _SYNCHRONOUS:
        if _is_coroutine(getattr(codec, name, None)):
            raise TypeError(f"{type(codec).__name__}.{name}() cannot be async")
    for name in _FLAGS:
        getattr(codec, name)
    is_async(codec)
    bound = codec.encoded_bound(size)
    if not isinstance(bound, int) or not 0 <= bound <= _LARGEST:
        raise TypeError(f"encoded_bound() returned {bound!r}, not a number of bytes")


def can_be_closed(codec: Any) -> bool:
    """Whether what an extension gave as a codec is to be closed, even if it cannot be used."""
    try:
        return not isinstance(codec, type) and callable(getattr(codec, "close", None))
    except BaseException:
        return False


def is_async(codec: Any) -> bool:
    """Whether what a codec makes of a frame has to be awaited."""
    return any([_is_coroutine(getattr(codec, name, None)) for name in _AWAITED])


def _is_coroutine(method: Any) -> bool:
    """Whether a method is ``async def``. Each function is looked into once, for that takes longer
    than all the rest of a codec's check."""
    function = getattr(method, "__func__", method)
    if type(function) is FunctionType:
        return _is_async_def(function)
    return inspect.iscoroutinefunction(method)


@lru_cache(maxsize=256)
def _is_async_def(function: FunctionType) -> bool:
    return inspect.iscoroutinefunction(function)


class Boundary:
    """The boundary of one codec on one connection.

    Args:
        name: The extension's token.
        codec: The codec.
        kind: The extension's class, for the log.

    Attributes:
        session: What the log calls the session.
    """

    __slots__ = ("_closed", "_codec", "_kind", "_told", "name", "session")

    def __init__(self, name: str, codec: Any, kind: type | None = None) -> None:
        self.name = name
        self.session = ""
        self._codec = codec
        self._kind = kind or type(codec)
        self._closed = self._told = False

    def report(self, error: BaseException, doing: str) -> None:
        """Log a fault of the codec; after the first one on its connection only at debug."""
        way = _DIRECTIONS.get(doing)
        what = f"extension {self.name}: {doing}()" + (f" of {way} data" if way else "")
        where = f"session {self.session}" if self.session else ""
        report(what, error, kind=self._kind, where=where, first=not self._told)
        self._told = True

    def failure(self, error: BaseException, doing: str) -> ProtocolError:
        """What fails the connection, for what the codec has raised.

        Also for what is no `Exception`: nobody cancels a codec that is not asynchronous.

        Args:
            error: What it raised.
            doing: The method that raised it.

        """
        if isinstance(error, ProtocolError) and _is_sendable(error):
            if isinstance(error, LocalProtocolError) and not error.extension and doing == "decode":
                self.report(error, doing)  # encoding, it is raised to whoever sends
            error.extension = error.extension or self.name
            return error
        self.report(error, doing)
        if doing == "decode" and isinstance(error, ValueError):
            return RemoteProtocolError(1007, "message cannot be decoded", self.name)
        return LocalProtocolError("extension failed", extension=self.name)

    @property
    def share_key(self) -> Hashable | None:
        """The codec's share key; ``None`` if it fails or cannot be a key."""
        try:
            key: Hashable | None = self._codec.share_key
            hash((key, key == object()))  # it will be compared with those of others
            if key is not None and inspect.iscoroutinefunction(self._codec.encode_shared):
                _tell_of_no_sharing(self.name)
                return None
        except BaseException as error:
            self.report(error, "share_key")
            return None
        return key

    @property
    def has_history(self) -> bool:
        """Whether the codec can follow a shared history; ``False`` if it does not say so."""
        try:
            return bool(getattr(self._codec, "has_history", False))
        except BaseException as error:
            self.report(error, "has_history")
            return False

    def make_history(self) -> Any:
        """A new shared history; ``None`` if the codec fails to make one."""
        try:
            history = self._codec.make_history()
            if inspect.iscoroutine(history):
                history.close()
                raise TypeError("returned a coroutine; make_history() cannot be async")
            for name in ("encode", "close"):
                if not callable(getattr(history, name, None)):
                    raise TypeError(
                        f"returned {type(history).__name__}, which has no {name}(); "
                        "a history is derived from wsext.SharedHistory"
                    )
            return history
        except BaseException as error:
            self.report(error, "make_history")
            return None

    @property
    def held_bytes(self) -> int:
        """Bytes that the codec holds; 0 if it cannot tell."""
        try:
            return int(self._codec.held_bytes)
        except BaseException as error:
            self.report(error, "held_bytes")
            return 0

    def encoded_bound(self, size: int) -> int:
        """The most bytes of an encoded message; if the codec cannot tell, a little more than
        ``size``."""
        try:
            return min(max(int(self._codec.encoded_bound(size)), 0), _LARGEST)
        except BaseException as error:
            self.report(error, "encoded_bound")
            return size + 1024

    @property
    def closes_later(self) -> bool:
        """Whether the codec's `close` is asynchronous."""
        return _is_coroutine(getattr(type(self._codec), "close", None))

    def close(self) -> bool:
        """Close the codec, if it is not closed yet; ``False`` if that is left to `aclose`, because
        its `close` is asynchronous."""
        if self._closed:
            return True
        if self.closes_later:
            return False
        self._closed = True
        try:
            result = self._codec.close()
            if inspect.iscoroutine(result):
                result.close()
                raise TypeError("returned a coroutine; to be awaited, it has to be `async def`")
        except BaseException as error:
            self.report(error, "close")
        return True

    async def aclose(self, wait: Wait | None = None) -> None:
        """`close`, also where it is asynchronous.

        Args:
            wait: What awaits it, for example with a deadline.
        """
        if self.close():
            return
        self._closed = True
        try:
            closing = self._codec.close()
            await (closing if wait is None else wait(closing))
        except FAULTS as error:
            self.report(error, "close")


def close_after(error: BaseException, *boundaries: Boundary) -> Steps[None]:
    """Close codecs because of an error."""
    left = [boundary for boundary in boundaries if not boundary.close()]
    if isinstance(error, GeneratorExit):
        return  # nobody awaits anything any more
    for boundary in left:
        try:
            yield boundary.aclose()
        except FAULTS as fault:
            boundary.report(fault, "close")


@lru_cache(maxsize=256)
def _tell_of_no_sharing(name: str) -> None:
    """Say once that a share key is of no use."""
    text = "extension %s: encode_shared() is async, so a broadcast is encoded for every session"
    logger.warning(text, name)


def _is_sendable(error: ProtocolError) -> bool:
    """Whether a Close frame can say what an extension has raised."""
    try:
        error.reason.encode()
        return is_sendable_code(error.code)
    except Exception:
        return False
