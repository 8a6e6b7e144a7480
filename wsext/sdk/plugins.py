"""Which plugins are installed, and what each of them brings; a broken one breaks no other.

Plugins are entry points in the group ``wsext``.

The entry point's *name* is the extension's token, so listing needs no import; a plugin's module is
imported when it is first asked for by name. ``WSEXT_PLUGINS`` and ``[plugins] allow/deny`` restrict
what may be loaded, before anything is imported.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from wsext.errors import OptionError, PluginError, UnknownPlugin, nearest
from wsext.escape import get_logger
from wsext.protocol.boundary import FAULTS, GROUP
from wsext.sdk.extension import Installable
from wsext.sdk.options import NamedOptionSet
from wsext.sdk.usable import Incompatible, check_brought, check_plugin, is_installable

__all__ = [
    "GROUP",
    "PluginInfo",
    "PluginStatus",
    "Plugins",
    "default_plugins",
    "option_set",
    "set_default_plugins",
]

logger = get_logger("wsext.plugins")


class PluginStatus(StrEnum):
    """Whether a plugin can be used."""

    ACTIVE = "active"
    OFF = "off"  # until it is configured
    DISABLED = "disabled"
    FAILED = "failed"
    INCOMPATIBLE = "incompatible"
    SHADOWED = "shadowed"


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One installed plugin, from its metadata alone.

    Attributes:
        name: The entry point's name: the extension's token.
        value: What it points to.
        distribution: The distribution that ships it.
        version: That distribution's version.
        status: Whether it can be used, as far as known.
        reason: Why not, when it cannot.
    """

    name: str
    value: str
    distribution: str
    version: str
    status: PluginStatus = PluginStatus.ACTIVE
    reason: str = ""


class Plugins:
    """What is installed in this Python environment.

    Args:
        allow: The only names that may be loaded; ``None`` for all.
        deny: Names that may not.
        strict: Raise for a plugin that fails to load instead of skipping it.
        entries: The entry points; by default those of the environment.

    Raises:
        OptionError: If ``allow`` or ``deny`` has a name that no installed plugin has.
    """

    def __init__(
        self,
        *,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] = (),
        strict: bool = False,
        entries: Iterable[EntryPoint] | None = None,
    ) -> None:
        self.strict = strict
        self._allow = None if allow is None else frozenset(allow)
        self._deny = frozenset(deny)
        self._entries: dict[str, EntryPoint] = {}
        self._infos: dict[str, PluginInfo] = {}
        self._shadowed: list[PluginInfo] = []
        self._loaded: dict[str, Any] = {}
        self._errors: dict[str, PluginError] = {}
        for entry in entry_points(group=GROUP) if entries is None else entries:
            self._add(entry)
        for field, names in (("allow", self._allow or ()), ("deny", self._deny)):
            _check_names("plugins", field, names, self._infos)

    def _add(self, entry: EntryPoint) -> None:
        dist = entry.dist
        info = PluginInfo(
            entry.name,
            entry.value,
            dist.metadata["Name"] if dist else "?",
            dist.version if dist else "?",
        )
        if entry.name in self._infos:
            first = self._infos[entry.name]
            if (first.distribution, first.value) != (info.distribution, info.value):
                reason = f"{first.distribution} has the same name and was found first"
                self._shadowed.append(replace(info, status=PluginStatus.SHADOWED, reason=reason))
            return
        if entry.name in self._deny:
            info = replace(info, status=PluginStatus.DISABLED, reason="denied")
        elif self._allow is not None and entry.name not in self._allow:
            info = replace(info, status=PluginStatus.DISABLED, reason="not in the allow list")
        self._entries[entry.name] = entry
        self._infos[entry.name] = info

    @classmethod
    def from_environment(
        cls,
        *,
        allow: Iterable[str] | None = None,
        deny: Iterable[str] = (),
        strict: bool = False,
    ) -> Plugins:
        """As the constructor, with ``WSEXT_PLUGINS`` on top.

        It holds names with commas between: the only plugins that may be loaded; names after a
        ``-`` are denied instead. An empty value allows none.

        Raises:
            OptionError: For a name that no installed plugin has.
        """
        entries = entry_points(group=GROUP)
        value = os.environ.get("WSEXT_PLUGINS")
        if value is not None:
            names = [name.strip() for name in value.split(",") if name.strip()]
            given = (name.removeprefix("-") for name in names)
            _check_names("WSEXT_PLUGINS", None, given, {entry.name for entry in entries})
            deny = {*deny, *(name[1:] for name in names if name.startswith("-"))}
            allowed = {name for name in names if not name.startswith("-")}
            if allowed or not names:
                allow = allowed if allow is None else allowed & set(allow)
        return cls(allow=allow, deny=deny, strict=strict, entries=entries)

    # --- metadata only ------------------------------------------------------------------------

    def all(self) -> list[PluginInfo]:
        """Every plugin by name, without importing any."""
        return sorted([*self._infos.values(), *self._shadowed], key=lambda info: info.name)

    def __contains__(self, name: str) -> bool:
        return name in self._infos

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._infos))

    # --- loading ------------------------------------------------------------------------------

    def load(self, name: str) -> Any:
        """Import one plugin: an extension class, or a pluggy plugin.

        Raises:
            PluginError: If there is none of that name, it is disabled, or it fails; the error
                names it and its distribution.
        """
        if name in self._loaded:
            return self._loaded[name]
        if name in self._errors:
            raise self._errors[name]
        info = self._infos.get(name)
        if info is None:
            raise UnknownPlugin(name, "plugin is installed", self._infos)
        if info.status is PluginStatus.DISABLED:
            raise PluginError(name, f"is disabled: {info.reason}", info.distribution)
        try:
            plugin = self._entries[name].load()
            check_plugin(name, plugin)
        except FAULTS as error:
            raise self._failed(info, error) from error
        self._loaded[name] = plugin
        return plugin

    def _failed(self, info: PluginInfo, error: BaseException) -> PluginError:
        incompatible = isinstance(error, Incompatible)
        status = PluginStatus.INCOMPATIBLE if incompatible else PluginStatus.FAILED
        reason = str(error) if incompatible else f"{type(error).__name__}: {error}"
        if isinstance(error, SystemExit):
            reason = f"calls sys.exit({error.code!r}) when it is loaded: raise an error instead"
        self._infos[info.name] = replace(info, status=status, reason=reason)
        failure = PluginError(info.name, reason, info.distribution)
        self._errors[info.name] = failure
        return failure

    def load_all(self) -> dict[str, Any]:
        """Import every plugin that may be loaded; broken ones are named, logged and skipped.

        Raises:
            PluginError: With ``strict``, for the first broken one.
        """
        for name, info in sorted(self._infos.items()):
            if info.status is PluginStatus.DISABLED or name in self._loaded:
                continue
            known = name in self._errors
            try:
                self.load(name)
            except PluginError as error:
                if self.strict:
                    raise
                if not known:
                    logger.warning("%s; skipped", error)
        return dict(self._loaded)

    def extension(self, name: str) -> type[Installable]:
        """The extension class of a token, imported now.

        Raises:
            PluginError: If there is none, or its plugin cannot be used.
        """
        if name in self._infos:
            for kind in self.extensions_of(name):
                if kind.name == name:
                    return kind
        found = self.extensions().get(name)
        if found is None:
            raise UnknownPlugin(name, "extension is installed", {*self.extensions(), *self._infos})
        return found

    def extensions(self) -> dict[str, type[Installable]]:
        """Every extension class that can be used, by token; imports all plugins."""
        found: dict[str, type[Installable]] = {}
        for name, plugin in self.load_all().items():
            for kind in self._classes(name, plugin):
                found.setdefault(kind.name, kind)
        return found

    def extensions_of(self, name: str) -> list[type[Installable]]:
        """The extension classes that one plugin is or brings.

        Raises:
            PluginError: If the plugin cannot be loaded.
        """
        return self._classes(name, self.load(name))

    def _classes(self, name: str, plugin: Any) -> list[type[Installable]]:
        """The extension classes that a loaded plugin is or brings."""
        if is_installable(plugin):
            return [plugin]
        return self._contributed(name, plugin, "wsext_extensions")

    def backplanes(self) -> dict[str, Callable[[str], Any]]:
        """Every backplane's factory, by URL scheme; imports all plugins."""
        found: dict[str, Callable[[str], Any]] = {}
        for name, plugin in self.load_all().items():
            for scheme, factory in self._contributed(name, plugin, "wsext_backplanes"):
                found.setdefault(scheme, factory)
        return found

    def option_sets(self) -> dict[str, NamedOptionSet]:
        """Every named option set, by name; imports all plugins."""
        found: dict[str, NamedOptionSet] = {}
        for name in self.load_all():
            for named in self.contributed_option_sets(name):
                found.setdefault(named.name, named)
        return found

    def contributed_option_sets(self, name: str) -> list[NamedOptionSet]:
        """The option sets that one plugin brings.

        Raises:
            PluginError: If the plugin cannot be loaded.
        """
        return self._contributed(name, self.load(name), "wsext_option_sets")

    def option_set(self, name: str) -> NamedOptionSet:
        """The named option set ``name``.

        Raises:
            PluginError: If no plugin brings one of that name.
        """
        sets = self.option_sets()
        if name not in sets:
            raise UnknownPlugin(name, "option set", sets)
        return sets[name]

    def _contributed(self, name: str, plugin: Any, hook: str) -> list[Any]:
        function = getattr(plugin, hook, None)
        if function is None or (inspect.isclass(plugin) and not _is_static(plugin, hook)):
            return []
        try:
            brought = function()
            items = list(brought.items() if isinstance(brought, Mapping) else brought)
            for item in items:
                check_brought(hook, item)
            return items
        except FAULTS as error:
            failure = self._failed(self._infos[name], error)
            if self.strict:
                raise failure from error
            logger.warning("%s; skipped", failure)
            return []


def _check_names(owner: str, field: str | None, names: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that no plugin has: what was meant would be loaded, or left out."""
    for name in names:
        if name not in known:
            problem = (
                f"no plugin {name!r} is installed; known: {', '.join(sorted(known)) or 'none'}"
            )
            raise OptionError(owner, field, problem, nearest(name, known))


def _is_static(cls: type, name: str) -> bool:
    return isinstance(inspect.getattr_static(cls, name), (staticmethod, classmethod))


_default: Plugins | None = None


def default_plugins() -> Plugins:
    """The plugins of this environment, restricted by ``WSEXT_PLUGINS``; found once per process."""
    global _default
    if _default is None:
        _default = Plugins.from_environment()
    return _default


def set_default_plugins(plugins: Plugins | None) -> None:
    """What apps and clients look tokens up in from now on; ``None`` finds them again."""
    global _default
    _default = plugins


def option_set(name: str) -> NamedOptionSet:
    """A named option set that an installed plugin brings, for `App.install`.

    Raises:
        PluginError: If there is none of that name.
    """
    return default_plugins().option_set(name)
