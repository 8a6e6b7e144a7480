"""Typed messages: each message is decoded to the type that its tag names, and handled by type.

    @app.websocket("/orders")
    class Orders(Dispatcher):
        @on(PlaceOrder)
        async def place(self, session: Session, message: PlaceOrder) -> Confirmed:
            return Confirmed(number=await save(message))

The types are msgspec's: structs with tags, dataclasses, and whatever else it decodes.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, aclosing
from typing import Any, ClassVar, Literal, TypeVar

import msgspec

from wsext.app.tables import Table, union_members
from wsext.errors import (
    CloseInfo,
    ConnectionClosed,
    MessageError,
    ProtocolError,
    RemoteProtocolError,
)
from wsext.escape import get_logger
from wsext.runtime.formats import NAMES, Format, encode
from wsext.runtime.session import Session

__all__ = ["Dispatcher", "ErrorReply", "as_dispatcher", "as_handler", "on"]

logger = get_logger("wsext.typed")

F = TypeVar("F", bound="Callable[..., Any]")
T = TypeVar("T")


def on(*kinds: Any) -> Callable[[F], F]:
    """Mark a method of a `Dispatcher`, or a function, as the handler of messages of these types.

    A method is called as ``method(self, session, message)``, a function as
    ``function(session, message, **path_params)``; both may be sync, async, or an asynchronous
    generator. What it returns or yields is sent, unless it is ``None``. One message is handled
    after the other.

    Args:
        kinds: Types, or unions of them. ``on(Any)`` takes what is well-formed and has a tag that no
            other handler has, as plain data.
    """
    members = tuple(member for kind in kinds for member in union_members(kind))
    if not members:
        raise TypeError("on() needs a type, for example on(PlaceOrder)")

    def mark(function: F) -> F:
        function.__wsext_on__ = members  # type: ignore[attr-defined]
        return function

    return mark


class ErrorReply(msgspec.Struct, tag="error", tag_field="type", omit_defaults=True):
    """What a `Dispatcher` answers to a message that it cannot use.

    Attributes:
        code: ``malformed``, ``invalid``, ``unknown``, or a handler's own.
        message: What is wrong, for people.
        path: Where in the message: ``$.price``.
    """

    code: str
    message: str = ""
    path: str | None = None


class Dispatcher:
    """Typed messages of one route, each handled by the method that is marked with its type.

    Register a subclass like a coroutine: ``@app.websocket("/orders")`` above the class. One
    instance is made per session. On a client, ``await Orders().run(session)``.

    Attributes:
        format: ``"json"`` or ``"msgpack"``, where no subprotocol says otherwise.
        subprotocols: The format by subprotocol; they become the route's.
        on_invalid: What a message that cannot be used gets: ``"reply"`` sends `error_reply`, 1007
            or 1008 closes the session.
        errors: Error codes by exception: a handler that raises one is answered with `error_reply`.
            Other exceptions end the session as in any handler.
        pushes: Types that are sent without being asked for; the AsyncAPI document names them.
        session: The session.
    """

    format: ClassVar[Format] = "json"
    subprotocols: ClassVar[Mapping[str, Format]] = {}
    on_invalid: ClassVar[Literal["reply", 1007, 1008]] = "reply"
    errors: ClassVar[Mapping[type[Exception], str]] = {}
    pushes: ClassVar[tuple[Any, ...]] = ()

    session: Session
    table: ClassVar[Table]
    #: The function that this class was made of; see `as_dispatcher`.
    function: ClassVar[Callable[..., Any] | None] = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if cls.on_invalid not in ("reply", 1007, 1008):
            raise TypeError(
                f"{cls.__name__}.on_invalid is {cls.on_invalid!r}, not 'reply', 1007 or 1008"
            )
        for format in (cls.format, *cls.subprotocols.values()):
            if format not in NAMES:
                raise TypeError(f"{cls.__name__}: the format {format!r} is not 'json' or 'msgpack'")
        cls.table = Table.of(cls, Dispatcher)

    # --- yours to override --------------------------------------------------------------------

    def on_open(self, session: Session, *args: Any, **path_params: Any) -> Any:
        """The session has opened. Sync or async; what it returns is sent."""

    def on_close(self, session: Session, info: CloseInfo) -> Any:
        """The session has ended, or this side is about to end it. Sync or async."""

    def error_reply(self, error: MessageError, message: Any) -> Any:
        """What is sent for an error.

        Args:
            error: What is wrong; its texts are meant for the peer.
            message: The message that a handler refused; ``None`` if it could not be decoded.
        """
        return ErrorReply(error.code, error.message, error.path)

    # --- running ------------------------------------------------------------------------------

    async def enter(self, context: AbstractAsyncContextManager[T]) -> T:
        """Enter an asynchronous context until the session has ended, and `on_close` has returned::

            self.members = await self.enter(app.room("tea").join(session))

        Returns:
            What ``async with`` would give.
        """
        return await self._entered.enter_async_context(context)

    async def send(self, value: Any) -> None:
        """Send a value in the session's format.

        Raises:
            ConnectionClosed: If the session has ended or is closing.
            TypeError: If the value cannot be encoded.
        """
        await self.session.send(encode(value, self.session.format))

    async def run(self, session: Session, *args: Any, **path_params: Any) -> None:
        """Handle a session's messages until it ends.

        Raises:
            RemoteProtocolError: For a message that cannot be used, if `on_invalid` is a close code.
            ConnectionClosed: If the session ends in another way than planned.
        """
        self.session = session
        session.format = self.subprotocols.get(session.subprotocol or "", self.format)
        async with AsyncExitStack() as self._entered:
            try:
                await self._answer(None, self.on_open, session, *args, **path_params)
                async for data in session:
                    await self._take(session, data)
            finally:
                result = self.on_close(session, session.close_info)
                if inspect.isawaitable(result):
                    await result

    async def _take(self, session: Session, data: str | bytes) -> None:
        try:
            message, name = self.table.decode(data, session.format)
        except MessageError as error:
            logger.debug("session %s: %s message", session.id, error.code)
            if self.on_invalid != "reply":
                where = f" at {error.path}" if error.path else ""
                raise RemoteProtocolError(
                    self.on_invalid, f"{error.code} message{where}"
                ) from error
            await self.send(self.error_reply(error, None))
        else:
            await self._answer(message, getattr(self, name), session, message)

    async def _answer(
        self, message: Any, handler: Callable[..., Any], *args: Any, **kw: Any
    ) -> None:
        try:
            result = handler(*args, **kw)
            if inspect.isasyncgen(result):
                async with aclosing(result):
                    async for value in result:
                        await self.send(value)
                return
            if inspect.isawaitable(result):
                result = await result
            if result is not None:
                await self.send(result)
        except (ConnectionClosed, ProtocolError):
            raise
        except Exception as error:
            refusal = self._refusal(error)
            if refusal is None:
                raise
            await self.send(self.error_reply(refusal, message))

    def _refusal(self, error: Exception) -> MessageError | None:
        if isinstance(error, MessageError):
            return error
        for kind, code in self.errors.items():
            if isinstance(error, kind):
                name = type(error).__name__
                logger.debug("session %s: %s is answered with %r", self.session.id, name, code)
                return MessageError(code)
        return None


# --- routes -----------------------------------------------------------------------------------


def as_dispatcher(handler: Any) -> type[Dispatcher] | None:
    """What a route's handler dispatches with: a class, or a function marked with `on`."""
    if inspect.isclass(handler):
        return handler if issubclass(handler, Dispatcher) else None
    if hasattr(handler, "dispatcher"):
        found: type[Dispatcher] = handler.dispatcher
        return found
    if not hasattr(handler, "__wsext_on__"):
        return None

    @functools.wraps(handler)
    def method(self: Dispatcher, session: Session, message: Any) -> Any:
        return handler(session, message, **session.path_params)

    names = {"__doc__": handler.__doc__, "__module__": handler.__module__}
    members = {**names, "handle": method, "function": staticmethod(handler)}
    return type(handler.__name__, (Dispatcher,), members)


def as_handler(dispatcher: type[Dispatcher]) -> Callable[..., Any]:
    """A route's handler that makes an instance per session and runs it."""

    async def handle(session: Session, **path_params: Any) -> None:
        await dispatcher().run(session, **path_params)

    handle.__name__ = handle.__qualname__ = dispatcher.__name__
    handle.__doc__ = dispatcher.__doc__
    handle.dispatcher = dispatcher  # type: ignore[attr-defined]
    return handle
