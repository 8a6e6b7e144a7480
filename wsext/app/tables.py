"""Which method of a `Dispatcher` handles a message: by its type, which its tag names."""

from __future__ import annotations

import inspect
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from wsext.errors import MessageError
from wsext.runtime.formats import Format, decode, decoder

__all__ = ["Table", "union_members"]


@dataclass(frozen=True)
class Table:
    """Which method handles which type, and how messages are told apart.

    Attributes:
        kinds: The types of each method, as they were declared.
        methods: Names of methods by the class of the decoded message.
        default: The method for messages with an unknown tag.
        kind: The union of all types; ``Any`` without one.
        tag_field: The field with the tag, if there is one.
        tags: The known tags.
    """

    kinds: Mapping[str, tuple[Any, ...]]
    methods: Mapping[type, str]
    default: str | None
    kind: Any
    tag_field: str | None
    tags: frozenset[Any]

    @classmethod
    def of(cls, dispatcher: type, base: type) -> Table:
        """The table of a class and its bases.

        Args:
            dispatcher: The class.
            base: `Dispatcher`, whose names are no handlers' names.

        Raises:
            TypeError: If its types cannot be told apart, or one of them has two handlers.
        """
        found: dict[Any, str] = {}
        for owner in reversed(dispatcher.__mro__):
            found.update(_marked(owner, base))
        kinds = {name: tuple(k for k in found if found[k] == name) for name in found.values()}
        default = found.pop(Any, None)
        kind = typing.Union[tuple(found)] if found else Any  # noqa: UP007  # made at run time
        try:
            decoder(kind, "json")
            methods = {_class_of(kind): name for kind, name in found.items()}
            tag_field, tags = _tags(found)
        except TypeError as error:
            raise TypeError(f"{dispatcher.__name__}: {error}") from None
        if default is not None and found and tag_field is None:
            raise TypeError(f"{dispatcher.__name__}: on(Any) beside others needs tagged structs")
        return cls(kinds, methods, default, kind, tag_field, tags)

    def decode(self, data: str | bytes, format: Format) -> tuple[Any, str]:
        """A message and the name of the method that handles it.

        Raises:
            MessageError: If there is none.
        """
        try:
            message = decode(data, self.kind, format)
        except MessageError as error:
            if error.code == "malformed" or not self._is_unknown(data, format):
                raise
            if self.default is None:
                error.code = "unknown"
                raise
            return decode(data, Any, format), self.default
        if not self.methods:
            if self.default is None:
                raise MessageError("unknown", "No messages are taken here")
            return message, self.default
        return message, self.methods[type(message)]

    def _is_unknown(self, data: str | bytes, format: Format) -> bool:
        """Whether a message has a tag, and it is nobody's; asked when decoding has failed."""
        if self.tag_field is None:
            return False
        value = decode(data, Any, format)
        if not isinstance(value, dict) or self.tag_field not in value:
            return False
        tag = value[self.tag_field]
        return not isinstance(tag, (str, int)) or tag not in self.tags


def _marked(owner: type, base: type) -> dict[Any, str]:
    """The names of a class's own marked methods by type.

    Raises:
        TypeError: If two have the same type, or a name is a `Dispatcher`'s own.
    """
    found: dict[Any, str] = {}
    for name, member in vars(owner).items():
        for kind in getattr(member, "__wsext_on__", ()):
            if kind in found:
                raise TypeError(
                    f"{owner.__name__}: {found[kind]} and {name} both handle {_name(kind)}"
                )
            if hasattr(base, name):
                raise TypeError(f"{owner.__name__}: {name} is a name of Dispatcher's; take another")
            found[kind] = name
    return found


def _tags(kinds: Mapping[Any, str]) -> tuple[str | None, frozenset[Any]]:
    infos = [msgspec.inspect.type_info(kind) for kind in kinds]
    structs = [info for info in infos if isinstance(info, msgspec.inspect.StructType)]
    tagged = [info for info in structs if info.tag_field is not None and not info.array_like]
    field = tagged[0].tag_field if tagged else None
    return field, frozenset(info.tag for info in tagged)


def _class_of(kind: Any) -> type:
    """The class of the values that msgspec decodes to a type.

    Raises:
        TypeError: If they have none of their own.
    """
    origin = typing.get_origin(kind) or kind
    if typing.is_typeddict(origin):
        return dict
    if not isinstance(origin, type) or inspect.isabstract(origin):
        raise TypeError(f"messages cannot be told by {_name(kind)}: use a class")
    return origin


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", None) or str(kind)


def union_members(kind: Any) -> Iterator[Any]:
    """The members of a union, of a union in an alias, or the type itself; without ``None``."""
    if type(kind).__name__ == "TypeAliasType":  # ``type Order = ...``, since Python 3.12
        yield from union_members(kind.__value__)
    elif typing.get_origin(kind) in (typing.Union, types.UnionType):
        for member in typing.get_args(kind):
            yield from union_members(member)
    elif kind is not type(None) and kind is not None:
        yield kind
