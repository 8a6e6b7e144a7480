"""Option sets: typed structs whose every field is documented, bounded and checked.

    class Options(OptionSet):
        level: Annotated[int, local("zlib level", ge=0, le=9)] = 6
        server_max_window_bits: Annotated[int, wire("window of the server", ge=9, le=15)] = 15
        dictionaries: Annotated[Store, in_code("where dictionaries come from")] | None = None

`local` fields never leave the process. Only `wire` fields name parameters that may stand in a
``Sec-WebSocket-Extensions`` header. `in_code` fields hold objects, so no text can set them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, cast, dataclass_transform

import msgspec

from wsext.errors import OptionError, nearest
from wsext.sdk.secret import Secret
from wsext.sdk.values import bounds, check_object, convert, expected, from_text, metas, type_name

__all__ = [
    "NamedOptionSet",
    "OptionField",
    "OptionSet",
    "in_code",
    "local",
    "option_fields",
    "refuse_code_options",
    "show_options",
    "wire",
    "wire_field",
]


def local(description: str, **bounds: Any) -> msgspec.Meta:
    """Describe an option that stays in this process.

    Args:
        description: One line for ``wsext ext show``: meaning and unit.
        bounds: What `msgspec.Meta` takes: ``ge``, ``gt``, ``le``, ``lt``, ``multiple_of``,
            ``pattern``, ``min_length``, ``max_length``.
    """
    return msgspec.Meta(description=description, **bounds)


def wire(
    description: str,
    *,
    name: str | None = None,
    direction: Literal["offer", "answer", "both"] = "both",
    secret: bool = False,
    **bounds: Any,
) -> msgspec.Meta:
    """Describe an option that may be sent as a parameter of the extension (RFC 6455 §9.1).

    Args:
        description: One line for ``wsext ext show``.
        name: The parameter's name, when it is not the field's.
        direction: Whether it stands in a client's offer, in a server's answer or in both, for
            ``wsext ext show``.
        secret: Whether nobody is to see its values: once the handshake is over, they are neither in
            `Session.negotiation` nor in the headers of the session's request and response.
        bounds: As for `local`.
    """
    extra = {"wire": name or True, "direction": direction, "secret": secret}
    return msgspec.Meta(description=description, extra=extra, **bounds)


def in_code(description: str) -> msgspec.Meta:
    """Describe an option that only code can set: an object, such as a service or a function.

    The command line, ``wsext.toml`` and the environment cannot set it, and no text is parsed. A
    value has to be an instance of the field's type, or have the members of its `Protocol`. It stays
    in this process, and nothing shows it.

    Args:
        description: As for `local`.
    """
    return msgspec.Meta(description=description, extra={"in_code": True})


@dataclass(frozen=True, slots=True)
class OptionField:
    """One option, for people and for tools.

    Attributes:
        name: The option's name.
        type: Its type as text, for example ``int`` or ``float | null``.
        default: Its default value; ``None`` if it is required.
        bounds: The accepted range as text; empty without one.
        description: One line.
        wire: The name of the header parameter it stands for; ``None`` for a local option.
        scope: ``wire``, ``local``, or ``code`` for an option that only code can set.
        required: Whether it has no default.
        direction: Of a wire parameter: ``offer``, ``answer`` or ``both``; empty if nobody said.
        secret: Of a wire parameter: whether nobody is to see its values.
    """

    name: str
    type: str
    default: Any
    bounds: str
    description: str
    wire: str | None
    scope: str
    required: bool
    direction: str
    secret: bool = False


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

        def __call__(cls, *args, **values):
            _check_names(cls, values)
            return super().__call__(*args, **values)

    class _Struct(msgspec.Struct, metaclass=_OptionSetMeta):
        pass


class OptionSet(_Struct):
    """Base of every set of options: immutable, keyword-only, checked when it is made.

    Add rules over several fields by overriding `check`.

    Raises:
        OptionError: From the constructor and from `parse`, naming the field, what fits it, and the
            nearest valid name.
    """

    def __post_init__(self) -> None:
        owner = _owner(type(self))
        try:
            for info in _fields(type(self)):
                value = getattr(self, info.name)
                if _is_in_code(info):
                    check_object(info.name, info.type, value)
                    continue
                value = convert(info.name, info.type, value)
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
    def of(cls, given: Self | Mapping[str, Any] | None) -> Self:
        """What a caller gave as options: an option set as it is, or the defaults with these values.

        Raises:
            OptionError: As `parse`.
            TypeError: If it is neither of them.
        """
        if isinstance(given, cls):
            return given
        if given is not None and not isinstance(given, Mapping):
            kind = type(given).__name__
            raise TypeError(f"expected {cls.__name__} or a dict of options, got {kind}")
        return cls.parse(given or {})

    @classmethod
    def parse(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """Make an option set from names and values; text becomes the field's type.

        Args:
            values: For example from a TOML table or from ``key=value`` pairs.
            owner: What the options belong to, for error messages.

        Raises:
            OptionError: For an unknown name, a value that does not fit, or one that is missing.
        """
        converted = _named(values)
        try:
            for info in _fields(cls):
                if info.name in converted and not _is_in_code(info):
                    value = from_text(info.name, info.type, converted[info.name])
                    converted[info.name] = value
            return cls(**converted)
        except OptionError as error:
            error.owner = owner or _owner(cls)
            raise

    def replace(self, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """A copy with some options changed, checked like a new one.

        Raises:
            OptionError: As `parse`.
        """
        current = {name: getattr(self, name) for name in self.__struct_fields__}
        return type(self).parse({**current, **_named(values)}, owner=owner)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({show_options(self, self.__struct_fields__)})"

    def changed(self) -> dict[str, Any]:
        """The options that differ from their defaults."""
        return {
            info.name: getattr(self, info.name)
            for info in _fields(type(self))
            if info.default is msgspec.NODEFAULT or getattr(self, info.name) != info.default
        }


def _fields(cls: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return _resolved_fields(cls)


@lru_cache(maxsize=256)
def _resolved_fields(cls: Any) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(cls)  # resolves annotations, which takes its time


def _named(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name.replace("-", "_"): value for name, value in values.items()}


def _owner(cls: type[OptionSet]) -> str:
    return str(getattr(cls, "__owner__", cls.__name__))


def _is_in_code(info: msgspec.structs.FieldInfo) -> bool:
    return any((meta.extra or {}).get("in_code") for meta in metas(info.type))


def _check_names(cls: Any, given: Iterable[str]) -> None:
    """Check that every name is one of an option, and that none is missing."""
    infos = {info.name: info for info in _fields(cls)}
    for name in given:
        if name not in infos:
            known = ", ".join(infos) or "none"
            problem = f"no such option; known: {known}"
            raise OptionError(_owner(cls), name, problem, nearest(name, infos))
    for info in infos.values():
        if info.name not in given and info.required:
            problem = f"is required: {expected(info.type)}"
            if _is_in_code(info):
                problem += f"; only code can set it: install(..., {info.name}=...)"
            raise OptionError(_owner(cls), info.name, problem)


def show_options(options: OptionSet, names: Iterable[str]) -> str:
    """Some options as ``level=6, store=<Store>``: an object that only code sets shows its type."""
    in_code = {info.name for info in _fields(type(options)) if _is_in_code(info)}
    values = {name: getattr(options, name) for name in names}
    return ", ".join(
        f"{name}=<{type(value).__name__}>" if name in in_code and value is not None
        else f"{name}={value!r}"
        for name, value in values.items()
    )  # fmt: skip


def option_fields(cls: type[OptionSet]) -> tuple[OptionField, ...]:
    """Every option of a set, in the order of declaration."""
    fields = []
    for info in _fields(cls):
        default = None if info.required else info.default
        if info.default_factory is not msgspec.NODEFAULT:
            default = info.default_factory()
        fields.append(_describe(info.name, info.type, default, required=info.required))
    return tuple(fields)


def wire_field(name: str, kind: Any) -> OptionField:
    """A parameter beside the options, as ``extra_wire_params`` describes it."""
    return _describe(name, kind, None, required=False)


def _describe(name: str, kind: Any, default: Any, *, required: bool) -> OptionField:
    described = metas(kind)
    marks: dict[str, Any] = {}
    for meta in described:
        marks |= meta.extra or {}
    wire = marks.get("wire")
    return OptionField(
        name,
        type_name(kind),
        default,
        bounds(kind),
        next((meta.description for meta in described if meta.description), ""),
        name if wire is True else wire,
        "code" if "in_code" in marks else "wire" if wire else "local",
        required,
        marks.get("direction", ""),
        marks.get("secret", False),
    )


def refuse_code_options(cls: type[OptionSet], names: Iterable[str], owner: str) -> None:
    """Refuse to take options from text that only code can set.

    Args:
        cls: The option set.
        names: The names of the options that were set by text.
        owner: What the options belong to.

    Raises:
        OptionError: For the first one that only code can set, saying how.
    """
    only_code = {field.name for field in option_fields(cls) if field.scope == "code"}
    for name in names:
        if (name := name.replace("-", "_")) in only_code:
            problem = f"can only be set in code: install({owner!r}, {name}=...)"
            raise OptionError(owner, name, problem)


@dataclass(frozen=True)
class NamedOptionSet:
    """Options for several extensions, for the sessions and for rooms, under one name.

    Plugins contribute them through the hook ``wsext_option_sets``;
    ``app.install(option_set("low-memory"))`` applies one.

    Attributes:
        name: For example ``low-memory``.
        description: One line: what it is good for.
        extensions: Options by extension token. Every extension named here is installed.
        websocket: Fields of `WebSocketOptions` to change.
        rooms: Fields of `RoomOptions` to change; a client has no rooms.
    """

    name: str
    description: str
    extensions: Mapping[str, Mapping[str, Any]] = field(
        default_factory=lambda: MappingProxyType({})
    )
    websocket: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    rooms: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
