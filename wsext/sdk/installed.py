"""What one app, one route or one client has installed: extensions, interceptors, plugins."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from wsext.errors import ExtensionConflict, OptionError, PluginError, UnknownPlugin
from wsext.escape import get_logger
from wsext.protocol.agreement import Agreed, Negotiation, Offer
from wsext.protocol.boundary import distribution_of, report
from wsext.protocol.http import Request
from wsext.protocol.journal import Journal
from wsext.protocol.negotiation import shared_claim
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage, work_of
from wsext.sdk.checks import check_class
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.hooks import Hooks, has_hooks
from wsext.sdk.options import NamedOptionSet
from wsext.sdk.plugins import Plugins, default_plugins
from wsext.sdk.usable import is_codec, is_installable
from wsext.sdk.values import as_list, options_in

__all__ = ["Installed"]

logger = get_logger("wsext.installed")


class Installed(Hooks):
    """The extensions and hooks of one app or client.

    Args:
        plugins: Where tokens are looked up; by default the environment's plugins.
    """

    def __init__(self, plugins: Plugins | None = None) -> None:
        super().__init__()
        self._plugins = plugins
        self._items: dict[str, Installable] = {}
        self._required: set[str] = set()
        self._from_sets: dict[str, dict[str, Any]] = {}
        self.conflicts: list[tuple[str, str, str]] = []

    @property
    def plugins(self) -> Plugins:
        """Where tokens are looked up."""
        if self._plugins is None:
            self._plugins = default_plugins()
        return self._plugins

    @property
    def extensions(self) -> tuple[Extension, ...]:
        """The wire extensions, in the order of installation."""
        return tuple(item for item in self._items.values() if isinstance(item, Extension))

    @property
    def items(self) -> tuple[Installable, ...]:
        """Wire extensions and interceptors, in the order of installation."""
        return tuple(self._items.values())

    @property
    def required(self) -> tuple[str, ...]:
        """The tokens that a session must have agreed."""
        return tuple(sorted(self._required))

    # --- installing ---------------------------------------------------------------------------

    def install(self, what: Any, /, *, required: bool = False, **options: Any) -> Any:
        """Install an extension by token, class or instance, an option set, or any plugin.

        Raises:
            OptionError: For a wrong option.
            PluginError: If it cannot be found or loaded, or is installed already.
            ExtensionConflict: If it and another required extension can never be agreed together.
        """
        if isinstance(what, NamedOptionSet):
            if options or required:
                raise OptionError(what.name, None, "an option set takes no options of its own")
            return self._install_set(what)
        if isinstance(what, str):
            what = self._resolve(what)
        if isinstance(what, Installable):
            item = type(what)(what.options, **options) if options else what
        elif is_installable(what):
            item = what(**{**self._from_sets.get(what.name, {}), **options})
        else:
            if is_codec(what):
                name = getattr(what, "__name__", type(what).__name__)
                problem = "is a codec: install the Extension whose make_codec() gives it"
                raise PluginError(name, problem)
            if options or required:
                raise OptionError(repr(what), None, "this plugin takes no options")
            self.register(what)
            return what
        if item.name in self._items and item.name not in self._from_sets:
            raise PluginError(item.name, "is installed already")
        self._from_sets.pop(item.name, None)
        self._put(item, required)
        return item

    def _resolve(self, name: str) -> Any:
        if name in self.plugins:
            loaded = self.plugins.load(name)
            if not is_installable(loaded) and not hasattr(loaded, "wsext_extensions"):
                return loaded
        return self.plugins.extension(name)

    def _install_set(self, named: NamedOptionSet) -> NamedOptionSet:
        try:
            self._install_all(named.extensions)
        except OptionError as error:
            error.source = f"option set {named.name}"
            raise
        return named

    def _install_all(self, extensions: Mapping[str, Mapping[str, Any]]) -> None:
        """Install what an option set names, or change the options of what is there."""
        for token, values in extensions.items():
            current = self._items.get(token)
            if current is None:
                self._from_sets[token] = dict(values)
                self._put(self.plugins.extension(token)(**values), required=False)
            else:
                options = current.options.replace(values, owner=token)
                self._from_sets.setdefault(token, {}).update(values)
                self._put(type(current)(options), token in self._required)

    def find(self, token: str) -> Any:
        """What a token stands for: the class of what is installed, or what the plugins have.

        Raises:
            PluginError: If it cannot be found or loaded.
        """
        current = self._items.get(token)
        if current is not None:
            return type(current)
        try:
            return self._resolve(token)
        except UnknownPlugin as error:
            known = {*error.known, *self._items}
            raise UnknownPlugin(token, "extension is installed", known) from None

    def configure(self, token: str, options: Mapping[str, Any]) -> Installable:
        """Change options of what is installed, or install it.

        Raises:
            OptionError, PluginError: As `install`.
        """
        current = self._items.get(token)
        if current is None:
            installed: Installable = self.install(token, **options)
            return installed
        self._from_sets.pop(token, None)
        item = type(current)(current.options, **options)
        self._put(item, token in self._required)
        return item

    def remove(self, token: str) -> None:
        """Take an extension or interceptor out again; nothing happens when it is not installed."""
        item = self._items.pop(token, None)
        self._required.discard(token)
        self._from_sets.pop(token, None)
        if item is not None:
            self.unregister(item)

    def _put(self, item: Installable, required: bool) -> None:
        try:
            check_class(type(item))
        except TypeError as error:
            distribution = distribution_of(type(item)) or None
            raise PluginError(item.name, str(error), distribution) from error
        old = self._items.get(item.name)
        if required:
            if not isinstance(item, Extension):
                raise OptionError(item.name, "required", "only a wire extension can be required")
            self._required.add(item.name)
        if isinstance(item, Extension):
            try:
                self._report_conflicts(item)
            except ExtensionConflict:
                self._required.discard(item.name)
                raise
        if old is not None:
            self.unregister(old)
        self._items[item.name] = item
        if has_hooks(item):
            self.register(item, item.name)

    def _report_conflicts(self, item: Extension) -> None:
        for other in self.extensions:
            what = shared_claim(other, item) if other.name != item.name else None
            if not what:
                continue
            if {other.name, item.name} <= self._required:
                raise ExtensionConflict(other.name, item.name, what)
            self.conflicts.append((other.name, item.name, what))
            # Two of one phase are alternatives by nature, such as two compressions.
            level = logging.DEBUG if other.phase == item.phase else logging.WARNING
            _tell_of_conflict(level, other.name, item.name, what)

    def subset(self, extensions: Iterable[Any] | bool) -> Installed:
        """A copy for one route: ``False`` for no wire extension, or only those named.

        Interceptors and hooks stay; those of a wire extension that is left out go with it. A
        configured instance replaces the app's, and so do the options of a mapping of tokens to
        options.

        Raises:
            OptionError, PluginError: As `install`.
        """
        other = Installed(self._plugins)
        other._items = dict(self._items)
        other.copy_hooks(self)
        wanted = () if isinstance(extensions, bool) else tuple(extensions)
        kept = [
            what for what in wanted if isinstance(what, str) and not options_in(extensions, what)
        ]
        for item in self.extensions:
            if item.name not in kept:
                other.remove(item.name)
        for what in wanted:
            if what in kept and what in other._items:
                other._items[what] = other._items.pop(what)  # the route's order counts
                continue
            if isinstance(what, Installable) or is_installable(what):
                other.remove(what.name)
            elif isinstance(extensions, Mapping):
                other.remove(what)
            other.install(what, **options_in(extensions, what))
        other._required = {name for name in self._required if name in other._items}
        return other

    def choose_offers(self, request: Request, offers: Sequence[Offer]) -> Sequence[Offer] | None:
        """Ask ``wsext_negotiate`` which offers to try; ``None`` when no hook has an opinion.

        A hook that fails, or returns anything else than offers, is logged and ignored.
        """
        for call, origin in self._origins("wsext_negotiate"):
            try:
                chosen = call(request=request, offers=offers, installed=self.extensions)
                if chosen is None:
                    continue
                chosen = list(chosen)
                if all(isinstance(offer, Offer) for offer in chosen):
                    return chosen
                raise TypeError(f"returned {chosen!r}, which are not all offers")
            except BaseException as error:
                report("hook wsext_negotiate", error, kind=origin, where=request.path)
        return None

    def backplanes(self) -> dict[str, Callable[[str], Any]]:
        """What plugins bring, by URL scheme; those installed here go before the environment's."""
        found = self.plugins.backplanes()
        for call, origin in self._origins("wsext_backplanes"):
            try:
                found.update(call() or {})
            except BaseException as error:
                report("hook wsext_backplanes", error, kind=origin)
        return found


def make_pipeline(negotiation: Negotiation, max_message_size: int, session: str = "") -> Pipeline:
    """The pipeline of what was agreed, in the order of the response.

    Args:
        negotiation: What was agreed.
        max_message_size: The limit of a whole message, in bytes.
        session: What the log calls the connection.
    """
    stages: list[Stage] = []
    journal, keeper = negotiation.journal, None
    for agreed in negotiation.agreed:
        extension, codec, boundary = agreed.extension, agreed.codec, agreed.boundary
        boundary.session = session
        if journal is not None and _only_keeps(agreed, journal):
            keeper = boundary
        else:
            stages.append(Stage(agreed.name, codec, extension.rsv, extension.opcodes, boundary))
    return Pipeline(stages, max_message_size=max_message_size, journal=journal, keeper=keeper)


def _only_keeps(agreed: Agreed, journal: Journal) -> bool:
    """Whether a codec has the journal, and nothing to do with any frame."""
    extension, codec = agreed.extension, agreed.codec
    if extension.rsv or extension.opcodes != {journal.opcode} or any(work_of(codec)):
        return False
    return getattr(codec, "journal", None) is journal


@lru_cache(maxsize=256)
def _tell_of_conflict(level: int, one: str, other: str, what: str) -> None:
    """Log a conflict once: a client installs its extensions for every connection."""
    text = "%s and %s both claim %s: a session agrees on at most one of them"
    logger.log(level, text, one, other, what)


def build(what: Iterable[Any] | Mapping[str, Mapping[str, Any]]) -> Installed:
    """Install several things at once; a mapping gives options by token."""
    installed = Installed()
    for item in as_list("extensions", what):
        installed.install(item, **options_in(what, item))
    return installed
