"""What one app or one client has installed: extensions, interceptors, plugins and their hooks."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pluggy

from wsext.errors import CloseInfo, ExtensionConflict, OptionError, PluginError
from wsext.protocol.agreement import Negotiation, Offer
from wsext.protocol.contract import FrameHook
from wsext.protocol.frames import Frame
from wsext.protocol.http import Request, Response
from wsext.protocol.negotiation import shared_claim
from wsext.protocol.pipeline import Pipeline, Stage
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.options import NamedOptionSet
from wsext.sdk.plugins import Plugins, bind_hook, default_plugins, is_installable, new_manager

__all__ = ["Installed"]

logger = logging.getLogger("wsext.installed")

_MAX_FAULTS = 3


class Installed:
    """The extensions and hooks of one app or client.

    Args:
        plugins: Where tokens are looked up; by default the environment's plugins.
    """

    def __init__(self, plugins: Plugins | None = None) -> None:
        self._plugins = plugins
        self._items: dict[str, Installable] = {}
        self._required: set[str] = set()
        self._from_sets: dict[str, dict[str, Any]] = {}
        self._manager: pluggy.PluginManager | None = None
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

    def install(self, what: Any, *, required: bool = False, **options: Any) -> Any:
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
        for token, values in named.extensions.items():
            current = self._items.get(token)
            if current is None:
                self._from_sets[token] = dict(values)
                self._put(self.plugins.extension(token)(**values), required=False)
            else:
                options = current.options.replace(values, owner=token)
                self._from_sets.setdefault(token, {}).update(values)
                self._put(type(current)(options), token in self._required)
        return named

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
        if item is not None and self._manager is not None and self._manager.is_registered(item):
            self._manager.unregister(item)

    def _put(self, item: Installable, required: bool) -> None:
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
        if old is not None and self._manager is not None and self._manager.is_registered(old):
            self._manager.unregister(old)
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
            level = logging.INFO if other.phase == item.phase else logging.WARNING
            logger.log(
                level,
                "%s and %s both claim %s: a session agrees on at most one of them",
                other.name,
                item.name,
                what,
            )

    def register(self, plugin: Any, name: str | None = None) -> None:
        """Register an object with hook implementations.

        Raises:
            PluginError: If a hook's arguments are wrong, or it is registered already.
        """
        if self._manager is None:
            self._manager = new_manager()
        label = name or getattr(plugin, "__name__", None) or repr(plugin)
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(label, str(error)) from error
        if not self._manager.get_hookcallers(plugin):
            raise PluginError(label, "has no hook implementation (functions with @hookimpl)")

    def subset(self, extensions: Iterable[Any] | bool) -> Installed:
        """A copy for one route: ``False`` for no wire extension, or only those named.

        Interceptors and hooks stay. A configured instance replaces the app's, and so do the options
        of a mapping of tokens to options.
        """
        other = Installed(self._plugins)
        wanted = () if isinstance(extensions, bool) else tuple(extensions)
        options = extensions if isinstance(extensions, Mapping) else {}
        for item in self._items.values():
            if not isinstance(item, Extension):
                other._items[item.name] = item
        other._manager = self._manager
        for what in wanted:
            if isinstance(what, str) and what in self._items and not options.get(what):
                other._items[what] = self._items[what]
            else:
                other.install(what, **options.get(what, {}))
        other._required = {name for name in self._required if name in other._items}
        return other

    def choose_offers(self, request: Request, offers: Sequence[Offer]) -> Sequence[Offer] | None:
        """Ask ``wsext_negotiate`` which offers to try; ``None`` when no hook has an opinion.

        A hook that fails, or returns anything else than offers, is logged and ignored.
        """
        for call in self._calls("wsext_negotiate"):
            try:
                chosen = call(request=request, offers=offers, installed=self.extensions)
                if chosen is None:
                    continue
                chosen = list(chosen)
                if all(isinstance(offer, Offer) for offer in chosen):
                    return chosen
                raise TypeError(f"returned {chosen!r}, which are not all offers")
            except Exception as error:
                logger.error("hook wsext_negotiate failed: %r; ignored", error)
        return None

    # --- hooks --------------------------------------------------------------------------------

    def _calls(self, hook: str) -> list[Callable[..., Any]]:
        """The implementations of a hook as plain calls, in pluggy's order."""
        if self._manager is None:
            return []
        impls = getattr(self._manager.hook, hook).get_hookimpls()
        return [bind_hook(impl) for impl in reversed(impls)]

    async def refusal(self, request: Request) -> Response | None:
        """Ask ``wsext_handshake``: the first `Response` refuses the handshake.

        Raises:
            TypeError: If a hook returns anything else; and whatever a hook raises.
        """
        for call in self._calls("wsext_handshake"):
            result = call(request=request)
            if inspect.isawaitable(result):
                result = await result
            if isinstance(result, Response):
                return result
            if result is not None:
                raise TypeError(f"hook wsext_handshake returned {result!r}, not a Response")
        return None

    def add_routes(self, app: Any) -> None:
        """Let plugins add their routes."""
        for call in self._calls("wsext_routes"):
            call(app=app)

    def not_ready(self) -> str | None:
        """Ask ``wsext_not_ready``: the first reason, or ``None`` when all is well."""
        for call in self._calls("wsext_not_ready"):
            try:
                reason = call()
            except Exception as error:
                logger.error("hook wsext_not_ready failed: %r", error)
                return "not ready"
            if reason is not None:
                return str(reason)
        return None

    def answered(self, request: Request | None, status: int) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_answered", request=request, status=status)

    def limited(self, limit: str, request: Request | None) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_limited", limit=limit, request=request)

    def backplanes(self) -> dict[str, Callable[[str], Any]]:
        """What plugins bring, by URL scheme; those installed here go before the environment's."""
        found = self.plugins.backplanes()
        for brought in (call() for call in self._calls("wsext_backplanes")):
            found.update(brought or {})
        return found

    def session_opened(self, session: Any) -> None:
        """Tell the hooks, all of them; the first fault of one ends the session."""
        first: Exception | None = None
        for call in self._calls("wsext_session_opened"):
            try:
                call(session=session)
            except Exception as error:
                first = first or error
        if first is not None:
            raise first

    def session_closed(self, session: Any, info: CloseInfo) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_session_closed", session=session, info=info)

    def _notify(self, hook: str, **arguments: Any) -> None:
        for call in self._calls(hook):
            try:
                call(**arguments)
            except Exception as error:
                logger.error("hook %s failed: %r", hook, error)

    def set_frame_hooks(self, session: Any, pipeline: Pipeline) -> None:
        """Compile the frame hooks into plain calls for one session; none, when there are none."""
        if self._manager is None:
            return
        hooks = self._manager.hook
        # pluggy's order is last in, first out: right for incoming frames, for the interceptor
        # that was installed last stands nearest to the wire. Outgoing frames go the other way.
        received = list(reversed(hooks.wsext_frame_received.get_hookimpls()))
        sending = sorted(
            hooks.wsext_frame_sending.get_hookimpls(),
            key=lambda impl: 0 if impl.tryfirst else 2 if impl.trylast else 1,
        )
        if received or sending:
            pipeline.set_hooks(
                [_guarded(impl, session) for impl in received],
                [_guarded(impl, session) for impl in sending],
            )


def has_hooks(item: Installable) -> bool:
    """Whether an instance carries hook implementations."""
    return any(
        hasattr(getattr(type(item), name, None), "wsext_impl")
        for name in dir(type(item))
        if name.startswith("wsext_")
    )


def _guarded(impl: pluggy.HookImpl, session: Any) -> FrameHook:
    """One frame hook for one session, isolated: after three faults in a row it is left out."""
    call = bind_hook(impl)
    name = impl.plugin_name
    faults = 0

    def hook(frame: Frame) -> Any:
        nonlocal faults
        if faults >= _MAX_FAULTS:
            return None
        try:
            result = call(session=session, frame=frame)
            if result is not None and type(result) is not Frame:
                result = list(result)
        except Exception as error:
            faults += 1
            logger.error("interceptor %s failed: %r", name, error)
            logger.debug("interceptor %s: traceback", name, exc_info=error)
            if faults == _MAX_FAULTS:
                logger.error("interceptor %s is disabled for this session", name)
            return None
        faults = 0
        return result

    return hook


def make_pipeline(negotiation: Negotiation, max_message_size: int) -> Pipeline:
    """The pipeline of what was agreed, in the order of the response."""
    stages = [
        Stage(agreed.name, agreed.codec, agreed.extension.rsv, agreed.extension.opcodes)
        for agreed in negotiation.agreed
    ]
    return Pipeline(stages, max_message_size=max_message_size)


def build(
    what: Iterable[Any] | Mapping[str, Mapping[str, Any]], plugins: Plugins | None = None
) -> Installed:
    """Install several things at once; a mapping gives options by token."""
    installed = Installed(plugins)
    if isinstance(what, Mapping):
        for name, options in what.items():
            installed.install(name, **options)
    else:
        for item in what:
            installed.install(item)
    return installed
