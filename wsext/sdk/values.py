"""What a value of an option has to be, and what an error says of one that does not fit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from types import UnionType, new_class
from typing import (
    Annotated,
    Any,
    Literal,
    Protocol,
    TypeVar,
    Union,
    get_args,
    get_origin,
    runtime_checkable,
)

import msgspec

from wsext.errors import OptionError, nearest
from wsext.escape import safe_url
from wsext.sdk.secret import Secret

__all__ = [
    "as_list",
    "bounds",
    "check_object",
    "convert",
    "expected",
    "from_text",
    "metas",
    "options_in",
    "type_name",
]

#: A number with ``_`` between its digits, as in TOML and Python.
_GROUPED = re.compile(r"[+-]?\d+(_\d+)+(\.\d+)?")
#: What a value of a type is called in an error.
_WORDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "a text",
    bytes: "bytes",
    Secret: "a text that is not empty",
    type(None): "none",
    Any: "a value",
}


# --- converting -------------------------------------------------------------------------------


def convert(name: str, kind: Any, value: Any, *, strict: bool = True) -> Any:
    """A value as the type of an option; text and numbers are parsed if it is not ``strict``.

    Raises:
        OptionError: If it does not fit; the owner is not filled in yet.
        TypeError: If no value can be converted to this type.
    """
    try:
        if _is_secret(kind):
            return msgspec.convert(value, kind, strict=strict, dec_hook=_make_secret)
        return msgspec.convert(value, kind, strict=strict)
    except msgspec.ValidationError:
        shown = "a hidden value" if _is_secret(kind) else _show(value)
        problem = f"expected {expected(kind)}, got {shown}"
        if value is True:  # what an option without a value means on the command line
            problem += f"; write {name}=VALUE"
        elif isinstance(value, str) and _is_sequence(kind):
            problem += f"; write [{shown}]"
        close = nearest(value, _choices(kind)) if isinstance(value, str) else None
        raise OptionError("options", name, problem, close) from None
    except TypeError as error:  # for example a Protocol
        problem = f"no value can be made a {type_name(kind)}: declare it with in_code(...)"
        raise TypeError(f"option {name}: {problem}") from error


def from_text(name: str, kind: Any, value: Any) -> Any:
    """A value as the type of an option; text from a command line or an environment is parsed.

    Raises:
        OptionError: As `convert`.
    """
    if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(kind):
        return None
    if isinstance(value, str) and _is_sequence(kind):
        value = [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, str) and not _is_text(kind) and _GROUPED.fullmatch(value):
        value = value.replace("_", "")
    return convert(name, kind, value, strict=not isinstance(value, str))


def check_object(name: str, kind: Any, value: Any) -> Any:
    """The value of an option that only code sets; it is never converted, and never shown.

    Raises:
        OptionError: As `convert`.
    """
    if not _fits(kind, value):
        given = f"the class {value.__name__}" if isinstance(value, type) else type(value).__name__
        raise OptionError("options", name, f"expected {expected(kind)}, got {given}")
    return value


def as_list(name: str, value: Any) -> tuple[Any, ...]:
    """The items of an argument that has to be a list, such as ``extensions``.

    Raises:
        OptionError: If it is a text, which would be taken apart letter by letter, or one thing.
    """
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        shown = value.__name__ if isinstance(value, type) else _show(value)
        raise OptionError(name, None, f"expected a list, got {shown}; write [{shown}]")
    return tuple(value)


def options_in(what: Any, token: str) -> Mapping[str, Any]:
    """The options of an extension in an argument that may be a mapping from tokens to options.

    Raises:
        OptionError: If they are no mapping.
    """
    options = what[token] if isinstance(what, Mapping) else {}
    if not isinstance(options, Mapping):
        raise OptionError(token, None, f"expected a dict of options, got {_show(options)}")
    return options


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of a type, as far as can be told from outside."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _fits(args[0], value)
    if origin in (Union, UnionType):
        return any(_fits(arg, value) for arg in args)
    if origin is Literal:
        return value in args
    kind = type(None) if kind is None else origin or kind
    if kind in (Any, object) or not isinstance(kind, type):  # for example a type variable
        return True
    if isinstance(value, type) and "__call__" not in dir(kind):
        return False  # a class where an instance belongs
    try:
        return isinstance(value, (float, int) if kind is float else kind)
    except TypeError:  # a Protocol without @runtime_checkable
        members: Any = runtime_checkable(new_class(kind.__name__, (kind, Protocol)))
        return isinstance(value, members)


def _make_secret(kind: type, value: Any) -> Any:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return Secret(value)


def _is_secret(kind: Any) -> bool:
    return kind is Secret or any(_is_secret(part) for part in get_args(kind))


def _is_text(kind: Any) -> bool:
    return kind in (str, Secret, Any) or any(_is_text(part) for part in get_args(kind))


def _is_sequence(kind: Any) -> bool:
    if get_origin(kind) in (tuple, list):
        return True
    return any(_is_sequence(part) for part in get_args(kind) if not isinstance(part, msgspec.Meta))


def _show(value: Any) -> str:
    if isinstance(value, str) and "://" in value:
        value = safe_url(value)
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


# --- describing -------------------------------------------------------------------------------


def expected(kind: Any) -> str:
    """What fits an option, in words: its choices or its range, and what it means."""
    about = next((meta.description for meta in metas(kind) if meta.description), "")
    return f"{_words(kind)} ({about})" if about else _words(kind)


def _words(kind: Any) -> str:
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        limits = bounds(kind)
        joint = " from " if " to " in limits else ", " if limits else ""
        return f"{_words(args[0])}{joint}{limits}"
    if origin in (Union, UnionType):
        return " or ".join(map(_words, args))
    if choices := _choices(kind):
        return f"one of {', '.join(map(repr, choices))}"
    if origin in (tuple, list, set, frozenset) and args:
        return f"a list, each item {_words(args[0])}"
    if origin in (dict, Mapping):
        return "a table"
    if type_name(kind) == "callable":
        return "a callable"
    try:
        return _WORDS[kind]
    except (KeyError, TypeError):
        return f"an instance of {type_name(kind)}"


def _choices(kind: Any) -> tuple[Any, ...]:
    """The values of a `Literal` or an `Enum`, also within another type."""
    if isinstance(kind, type) and issubclass(kind, Enum):
        return tuple(item.value for item in kind)
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(choice for part in get_args(kind) for choice in _choices(part))


def metas(kind: Any) -> list[msgspec.Meta]:
    """What `local`, `wire` and `in_code` have said of a type."""
    if get_origin(kind) is Annotated:
        return [item for item in get_args(kind)[1:] if isinstance(item, msgspec.Meta)]
    return [meta for part in get_args(kind) for meta in metas(part)]


def bounds(kind: Any) -> str:
    """The range of a type as text, for example ``0 to 9``; empty without one."""
    parts = []
    for meta in metas(kind):
        if meta.ge is not None and meta.le is not None:
            parts.append(f"{meta.ge} to {meta.le}")
            limits: tuple[tuple[str, Any], ...] = ()
        else:
            limits = ((">=", meta.ge), (">", meta.gt), ("<=", meta.le), ("<", meta.lt))
        limits += (
            ("multiple of", meta.multiple_of),
            ("length >=", meta.min_length),
            ("length <=", meta.max_length),
            ("matching", meta.pattern),
        )
        parts += [f"{sign} {value}" for sign, value in limits if value is not None]
    return ", ".join(parts)


def type_name(kind: Any) -> str:
    """A type as text, for example ``float | none``."""
    origin, args = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return type_name(args[0])
    if kind is type(None):
        return "none"
    if isinstance(kind, TypeVar) or origin is None:
        name = str(getattr(kind, "__name__", kind))
        return "callable" if name == "Callable" else name
    if origin in (Union, UnionType):
        return " | ".join(type_name(arg) for arg in args)
    if origin is Literal:
        return " | ".join(repr(arg) for arg in args)
    if getattr(origin, "__name__", "") == "Callable":
        return "callable"
    names = ", ".join(type_name(arg) for arg in args if arg is not Ellipsis)
    return f"{getattr(origin, '__name__', origin)}[{names}]"
