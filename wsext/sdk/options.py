"""Option sets: typed structs whose every field is documented, bounded and checked.

    class Options(OptionSet):
        level: Annotated[int, local("zlib level", ge=0, le=9)] = 6
        server_max_window_bits: Annotated[int, wire("window of the server", ge=9, le=15)] = 15

`local` fields never leave the process. Only `wire` fields name parameters that may stand in a
``Sec-WebSocket-Extensions`` header.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Self,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
)

import msgspec

from wsext.errors import OptionError, nearest
from wsext.sdk.secret import Secret

__all__ = ["NamedOptionSet", "OptionField", "OptionSet", "local", "option_fields", "wire"]

#: A number with ``_`` between its digits, as in TOML and Python.
_GROUPED = re.compile(r"[+-]?\d+(_\d+)+(\.\d+)?")


def local(description: str, **bounds: Any) -> msgspec.Meta:
    """Describe an option that stays in this process.

    Args:
        description: One line for ``wsext ext show``: meaning and unit.
        bounds: What `msgspec.Meta` takes: ``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``,
            ``pattern``, ``min_length``, ``max_length``.
    """
    return msgspec.Meta(description=description, **bounds)


def wire(description: str, *, name: str | None = None, **bounds: Any) -> msgspec.Meta:
    """Describe an option that may be sent as a parameter of the extension (RFC 6455 §9.1).

    Args:
        description: One line for ``wsext ext show``.
        name: The parameter's name, when it is not the field's.
        bounds: As for `local`.
    """
    return msgspec.Meta(description=description, extra={"wire": name or True}, **bounds)


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option, for people and for tools.

    Attributes:
        name: The option's name.
        type: Its type as text, for example ``int`` or ``float | null``.
        default: Its default value.
        bounds: The accepted range as text; empty without one.
        description: One line.
        wire: The name of the header parameter it stands for; ``None`` for a local option.
    """

    name: str
    type: str
    default: Any
    bounds: str
    description: str
    wire: str | None


if TYPE_CHECKING:

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    class _Struct:
        __struct_fields__: ClassVar[tuple[str, ...]]

else:

    class _OptionSetMeta(type(msgspec.Struct)):
        # msgspec does not inherit kw_only; an author should not have to repeat it.
        def __new__(mcls, name, bases, namespace, **config):
            config = {"frozen": True, "kw_only": True, **config}
            return super().__new__(mcls, name, bases, namespace, **config)

    class _Struct(msgspec.Struct, metaclass=_OptionSetMeta):
        pass


class OptionSet(_Struct):
    """Base of every set of options: immutable, keyword-only, checked when it is made.

    Add rules over several fields by overriding `check`.

    Raises:
        OptionError: From the constructor and from `parse`, naming the field, the bound and the
            nearest valid name.
    """

    def __post_init__(self) -> None:
        owner = _owner(type(self))
        try:
            for info in _fields(type(self)):
                value = _convert(info, getattr(self, info.name), strict=True)
                if isinstance(value, Secret):
                    msgspec.structs.force_setattr(cast("Any", self), info.name, value)
            self.check()
        except OptionError as error:
            error.owner = owner
            raise
        except ValueError as error:
            raise OptionError(owner, None, str(error)) from error

    def check(self) -> None:
        """Override to check fields together; raise `OptionError` or `ValueError`."""

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """Make an option set from names and values; text becomes the field's type.

        Args:
            values: For example from a TOML table or from ``key=value`` pairs.
            owner: What the options belong to, for error messages.

        Raises:
            OptionError: For an unknown name or a value that does not fit.
        """
        owner = owner or _owner(cls)
        infos = {info.name: info for info in _fields(cls)}
        converted = {}
        try:
            for raw, value in values.items():
                name = raw.replace("-", "_")
                if name not in infos:
                    known = ", ".join(infos) or "none"
                    raise OptionError(
                        owner, raw, f"no such option; known: {known}", nearest(name, infos)
                    )
                converted[name] = _from_text(infos[name], value)
            return cls(**converted)
        except OptionError as error:
            error.owner = owner
            raise

    def replace(self, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """A copy with some options changed, checked like a new one.

        Raises:
            OptionError: As `parse`.
        """
        current = {name: getattr(self, name) for name in self.__struct_fields__}
        return type(self).parse({**current, **_named(values)}, owner=owner)

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {
            info.name: getattr(self, info.name)
            for info in _fields(type(self))
            if info.default is msgspec.NODEFAULT or getattr(self, info.name) != info.default
        }


def _fields(cls: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(cls)


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in values.items()}


def _owner(cls: type[OptionSet]) -> str:
    return str(getattr(cls, "__owner__", cls.__name__))


def _convert(info: msgspec.structs.FieldInfo, value: Any, *, strict: bool) -> Any:
    try:
        if _is_secret(info.type):
            return msgspec.convert(value, info.type, strict=strict, dec_hook=_make_secret)
        return msgspec.convert(value, info.type, strict=strict)
    except msgspec.ValidationError as error:
        shown = "a hidden value" if _is_secret(info.type) else _show(value)
        problem = f"{str(error)[0].lower()}{str(error)[1:]}, got {shown}"
        bounds = _bounds(info.type)
        if bounds and bounds not in problem:
            problem += f" (allowed: {bounds})"
        raise OptionError("options", info.name, problem) from None


def _make_secret(kind: type, value: Any) -> Any:
    if isinstance(value, Secret):
        return value
    if not isinstance(value, str):
        raise TypeError("expected a text")
    return Secret(value)


def _is_secret(kind: Any) -> bool:
    return kind is Secret or any(_is_secret(part) for part in get_args(kind))


def _from_text(info: msgspec.structs.FieldInfo, value: Any) -> Any:
    """A value as its field's type; text from a command line or an environment is parsed."""
    if isinstance(value, str) and _is_sequence(info.type):
        value = [item.strip() for item in value.split(",") if item.strip()]
    if isinstance(value, str) and value.lower() == "none" and type(None) in get_args(info.type):
        return None
    if isinstance(value, str) and not _is_text(info.type) and _GROUPED.fullmatch(value):
        value = value.replace("_", "")
    return _convert(info, value, strict=not isinstance(value, str))


def _is_text(kind: Any) -> bool:
    return kind in (str, Secret, Any) or any(_is_text(part) for part in get_args(kind))


def _is_sequence(kind: Any) -> bool:
    if get_origin(kind) in (tuple, list):
        return True
    return any(_is_sequence(part) for part in get_args(kind) if not isinstance(part, msgspec.Meta))


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _metas(kind: Any) -> list[msgspec.Meta]:
    if get_origin(kind) is Annotated:
        return [item for item in get_args(kind)[1:] if isinstance(item, msgspec.Meta)]
    return [meta for part in get_args(kind) for meta in _metas(part)]


def _bounds(kind: Any) -> str:
    parts = []
    for meta in _metas(kind):
        if meta.ge is not None and meta.le is not None:
            parts.append(f"{meta.ge} to {meta.le}")
        else:
            for sign, value in ((">=", meta.ge), (">", meta.gt), ("<=", meta.le), ("<", meta.lt)):
                if value is not None:
                    parts.append(f"{sign} {value}")
        if meta.pattern is not None:
            parts.append(f"matching {meta.pattern}")
    return ", ".join(parts)


def _type_name(kind: Any) -> str:
    if get_origin(kind) is Annotated:
        return _type_name(get_args(kind)[0])
    if kind is type(None):
        return "none"
    origin = get_origin(kind)
    if origin is None:
        return str(getattr(kind, "__name__", kind))
    args = get_args(kind)
    if str(origin) in ("typing.Union", "<class 'types.UnionType'>"):
        return " | ".join(_type_name(arg) for arg in args)
    if str(origin) == "typing.Literal":
        return " | ".join(repr(arg) for arg in args)
    if getattr(origin, "__name__", "") == "Callable":
        return "callable"
    names = ", ".join(_type_name(arg) for arg in args if arg is not Ellipsis)
    return f"{getattr(origin, '__name__', origin)}[{names}]"


def option_fields(cls: type[OptionSet]) -> tuple[OptionField, ...]:
    """Every option of a set, in the order of declaration."""
    fields = []
    for info in _fields(cls):
        metas = _metas(info.type)
        name: str | None = None
        for meta in metas:
            mark = (meta.extra or {}).get("wire")
            if mark:
                name = info.name if mark is True else str(mark)
        default = info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        fields.append(
            OptionField(
                info.name,
                _type_name(info.type),
                default,
                _bounds(info.type),
                next((meta.description for meta in metas if meta.description), ""),
                name,
            )
        )
    return tuple(fields)


@dataclass(frozen=True)
class NamedOptionSet:
    """Options for several extensions, and for the sessions themselves, under one name.

    Plugins contribute them through the hook ``wsext_option_sets``;
    ``app.install(option_set("low-memory"))`` applies one.

    Attributes:
        name: For example ``low-memory``.
        description: One line: what it is good for.
        extensions: Options by extension token. Every extension named here is installed.
        websocket: Fields of `WebSocketOptions` to change.
    """

    name: str
    description: str
    extensions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    websocket: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
