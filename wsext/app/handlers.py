"""Whether a handler fits its route: what kind it is, and which arguments it takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from wsext.app.typed import Dispatcher, as_dispatcher
from wsext.errors import RouteError
from wsext.runtime.listener import Listener

__all__ = ["as_listener", "check_arguments", "check_guards", "check_kind", "describe"]


def describe(handler: Any) -> str:
    """A handler's name, for errors: ``chat.rooms.enter``."""
    handler = getattr(handler, "dispatcher", handler)
    name = getattr(handler, "__qualname__", None)
    return f"{handler.__module__}.{name}" if name else repr(handler)


def as_listener(handler: Any) -> type[Listener] | None:
    """A handler that is a `Listener` class; ``None`` for any other."""
    return handler if inspect.isclass(handler) and issubclass(handler, Listener) else None


def check_kind(kind: str, handler: Any) -> None:
    """Check that a handler may be registered for a kind of route.

    Raises:
        TypeError: If it may not.
    """
    if as_listener(handler) is not None:
        if kind != "websocket":
            raise TypeError("a Listener handles whole messages: register it with websocket()")
        for name in ("on_open", "on_message", "on_close"):
            if inspect.iscoroutinefunction(getattr(handler, name)):
                raise TypeError(f"{handler.__name__}.{name} has to be a plain function")
    elif kind == "raw" and as_dispatcher(handler) is not None:
        raise TypeError("typed messages are whole messages: register them with websocket()")
    elif kind != "http" and not inspect.iscoroutinefunction(handler):
        raise TypeError(
            f"{handler!r} is neither a coroutine function nor a Listener or Dispatcher class"
        )


def check_arguments(path: str, kind: str, handler: Any, params: Sequence[str]) -> None:
    """Check that a handler takes what its route will call it with.

    Args:
        path: The route's rule.
        kind: The route's kind.
        handler: The handler.
        params: The names of the parameters in the path.

    Raises:
        RouteError: If it does not; says what to write.
    """
    for function, arguments, keywords in _calls(kind, handler, params):
        _check_call(path, function, arguments, keywords)


def check_guards(path: str, guards: Iterable[Callable[..., Any]]) -> None:
    """Check that guards take a request and nothing else.

    Raises:
        RouteError: If one does not.
    """
    for guard in guards:
        _check_call(path, guard, ("request",), ())


#: A function with the names of its positional arguments and of those given by keyword.
_Call = tuple[Callable[..., Any], tuple[str, ...], Sequence[str]]


def _calls(kind: str, handler: Any, params: Sequence[str]) -> Iterator[_Call]:
    """Everything that a route will call."""
    dispatcher: type[Dispatcher] | None = getattr(handler, "dispatcher", None)
    if dispatcher is not None and dispatcher.function is not None:
        yield dispatcher.function, ("session", "message"), params
    elif dispatcher is not None:
        yield dispatcher, (), ()
        for name in ("run", "on_open"):
            yield from _method(dispatcher, name, ("session",), params)
        for name in dispatcher.table.kinds:
            yield from _method(dispatcher, name, ("session", "message"))
        yield from _method(dispatcher, "on_close", ("session", "info"))
        yield from _method(dispatcher, "error_reply", ("error", "message"))
    elif as_listener(handler) is not None:
        yield handler, (), ()
        yield from _method(handler, "on_open", ("session",))
        yield from _method(handler, "on_message", ("session", "message"))
        yield from _method(handler, "on_close", ("session", "info"))
    else:
        yield handler, ("request" if kind == "http" else "session",), params


def _method(
    cls: type, name: str, arguments: tuple[str, ...], keywords: Sequence[str] = ()
) -> Iterator[_Call]:
    found = inspect.getattr_static(cls, name)
    if isinstance(found, (staticmethod, classmethod)):
        yield getattr(cls, name), arguments, keywords
    elif inspect.isfunction(found):
        yield found, ("self", *arguments), keywords


def _check_call(
    path: str, function: Callable[..., Any], arguments: tuple[str, ...], keywords: Sequence[str]
) -> None:
    try:
        # Not what a decorator wraps: the decorator may add arguments, or take some away.
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        return  # some builtins do not tell
    try:
        signature.bind(*arguments, **dict.fromkeys(keywords))
    except TypeError as error:
        name = describe(function)
        wanted = ", ".join((*arguments, *keywords))
        if inspect.isclass(function):
            hint = "it is made without arguments; path parameters are in session.path_params"
        else:
            how = "async def" if inspect.iscoroutinefunction(function) else "def"
            hint = f"write: {how} {name.rpartition('.')[2]}({wanted})"
        raise RouteError(
            path, f"{name}{signature} cannot be called with ({wanted}): {error}; {hint}"
        ) from None
