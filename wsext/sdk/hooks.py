"""Which hook implementations there are, and how the core calls them: without pluggy in between."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import pluggy

from wsext.errors import CloseInfo, HandshakeRejected, OptionError, PluginError, RouteError
from wsext.escape import get_logger
from wsext.protocol.boundary import FAULTS, distribution_of, report
from wsext.protocol.http import Request, Response
from wsext.protocol.pipeline import Pipeline
from wsext.sdk import hookspecs
from wsext.sdk.interceptors import MessageHooks, bind_hook, guard_frames

__all__ = ["Hooks", "has_hooks", "hook_names", "new_manager"]

logger = get_logger("wsext.installed")

#: The hooks that may be coroutine functions.
_MAY_WAIT = ("wsext_handshake", "wsext_message_received", "wsext_message_sending")


def new_manager() -> pluggy.PluginManager:
    """A pluggy manager that knows wsext's hooks."""
    manager = pluggy.PluginManager("wsext")
    manager.add_hookspecs(hookspecs)
    return manager


class Hooks:
    """The hook implementations of one app or client; there may be none."""

    def __init__(self) -> None:
        self._manager: pluggy.PluginManager | None = None
        #: What was looked up: the implementations by hook, and those for frames and messages.
        self._bound: dict[str, list[tuple[Callable[..., Any], Any]]] = {}
        self._framing: _Framing | None = None

    def register(self, plugin: Any, name: str | None = None) -> None:
        """Register an object with hook implementations.

        Raises:
            PluginError: If a hook's arguments are wrong or it is ``async def`` and must not be, or
                if the plugin is registered already.
        """
        if self._manager is None:
            self._manager = new_manager()
        self._forget_bound()
        label = name or getattr(plugin, "__name__", None) or type(plugin).__name__
        try:
            self._manager.register(plugin, name)
        except (pluggy.PluginValidationError, ValueError) as error:
            raise PluginError(label, str(error)) from error
        callers = self._manager.get_hookcallers(plugin)
        if not callers:
            problem = (
                "has no hook implementation (functions with @hookimpl), and is neither an "
                "extension nor an interceptor nor a named option set"
            )
            raise PluginError(label, problem)
        waiting = [
            caller.name
            for caller in callers
            for impl in caller.get_hookimpls()
            if impl.plugin is plugin and inspect.iscoroutinefunction(impl.function)
        ]
        for hook in waiting:
            if hook not in _MAY_WAIT:
                self._manager.unregister(plugin)
                only = ", ".join(_MAY_WAIT)
                raise PluginError(
                    label, f"{hook} is a coroutine function; only these may be: {only}"
                )

    def unregister(self, plugin: Any) -> None:
        """Take a plugin's hooks out; nothing happens when there are none."""
        if self._manager is not None and self._manager.is_registered(plugin):
            self._forget_bound()
            self._manager.unregister(plugin)

    def _forget_bound(self) -> None:
        """What was looked up is so no more."""
        self._bound.clear()
        self._framing = None

    def copy_hooks(self, other: Hooks) -> None:
        """Register everything that another one has, in the same order."""
        if other._manager is not None:
            for name, plugin in other._manager.list_name_plugin():
                if plugin is not None:
                    self.register(plugin, name)

    def _calls(self, hook: str) -> list[Callable[..., Any]]:
        """The implementations of a hook as plain calls, in pluggy's order."""
        return [call for call, _ in self._origins(hook)]

    def _origins(self, hook: str) -> list[tuple[Callable[..., Any], Any]]:
        """The same, each with the function that its author has written."""
        if self._manager is None:
            return []
        found = self._bound.get(hook)
        if found is None:
            impls = getattr(self._manager.hook, hook).get_hookimpls()
            found = [(bind_hook(impl), impl.function) for impl in reversed(impls)]
            self._bound[hook] = found
        return found

    async def refusal(self, request: Request) -> Response | None:
        """Ask ``wsext_handshake``: the first `Response` refuses the handshake.

        A hook that fails, or answers anything else, cannot be asked whether the peer may connect:
        its handshake is refused with 503.

        Raises:
            HandshakeRejected: If a hook does.
        """
        for call, origin in self._origins("wsext_handshake"):
            try:
                result = call(request=request)
                if inspect.isawaitable(result):
                    result = await result
                if result is not None and not isinstance(result, Response):
                    raise TypeError(f"returned {result!r}, not a Response")
            except HandshakeRejected:
                raise
            except FAULTS as error:
                report("hook wsext_handshake", error, kind=origin, where=request.path)
                return Response(503, "the server cannot decide about this request\n")
            if result is not None:
                return result
        return None

    def add_routes(self, app: Any) -> None:
        """Let plugins add their routes.

        Raises:
            PluginError: If a plugin fails with anything else than what installing raises.
            OptionError, RouteError: If a plugin does.
        """
        for call, origin in self._origins("wsext_routes"):
            try:
                call(app=app)
            except (OptionError, PluginError, RouteError):
                raise
            except BaseException as error:
                problem = f"wsext_routes failed: {type(error).__name__}: {error}"
                distribution = distribution_of(origin) or None
                raise PluginError(origin.__module__, problem, distribution) from error

    def not_ready(self) -> str | None:
        """Ask ``wsext_not_ready``: the first reason, or ``None`` when all is well."""
        for call, origin in self._origins("wsext_not_ready"):
            try:
                reason = call()
            except BaseException as error:
                report("hook wsext_not_ready", error, kind=origin)
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

    def session_opened(self, session: Any) -> None:
        """Tell the hooks, all of them; the first fault of one ends the session."""
        if self._manager is None:
            return
        first: BaseException | None = None
        for call in self._calls("wsext_session_opened"):
            try:
                call(session=session)
            except BaseException as error:
                first = first or error
        if isinstance(first, Exception):
            raise first
        if first is not None:  # it ends the session only
            raise RuntimeError(f"a hook raised {type(first).__name__}") from first

    def session_closed(self, session: Any, info: CloseInfo) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_session_closed", session=session, info=info)

    def session_detached(self, session: Any) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_session_detached", session=session)

    def session_resumed(self, session: Any) -> None:
        """Tell the hooks; a fault is logged and changes nothing."""
        if self._manager is not None:
            self._notify("wsext_session_resumed", session=session)

    def _notify(self, hook: str, **arguments: Any) -> None:
        for call, origin in self._origins(hook):
            try:
                call(**arguments)
            except BaseException as error:
                report(f"hook {hook}", error, kind=origin)

    def set_frame_hooks(self, session: Any, pipeline: Pipeline) -> None:
        """Compile the hooks for frames and messages into plain calls for one session; none, when
        there are none."""
        if self._manager is None:
            return
        if self._framing is None:
            self._framing = _Framing.of(self._manager.hook)
        coming, going, received, sending = self._framing
        if coming or going:
            pipeline.set_hooks(
                [guard_frames(impl, session) for impl in coming],
                [guard_frames(impl, session) for impl in going],
            )
        if received or sending:
            most = pipeline.max_message_size
            pipeline.set_message_hooks(
                MessageHooks(received, session, most, sending=False) if received else None,
                MessageHooks(sending, session, most, sending=True) if sending else None,
            )


class _Framing(NamedTuple):
    """The hooks for frames and messages, in their order."""

    coming: list[pluggy.HookImpl]
    going: list[pluggy.HookImpl]
    received: list[pluggy.HookImpl]
    sending: list[pluggy.HookImpl]

    @classmethod
    def of(cls, hooks: pluggy.HookRelay) -> _Framing:
        """Look them up."""
        return cls(
            _inwards(hooks.wsext_frame_received),
            _outwards(hooks.wsext_frame_sending),
            _inwards(hooks.wsext_message_received),
            _outwards(hooks.wsext_message_sending),
        )


def _inwards(caller: pluggy.HookCaller) -> list[pluggy.HookImpl]:
    """Implementations in the order for what comes in.

    pluggy's order is last in, first out: the interceptor that was installed last stands nearest to
    the wire.
    """
    return list(reversed(caller.get_hookimpls()))


def _outwards(caller: pluggy.HookCaller) -> list[pluggy.HookImpl]:
    """Implementations in the order for what goes out: the other way."""
    return sorted(
        caller.get_hookimpls(), key=lambda impl: 0 if impl.tryfirst else 2 if impl.trylast else 1
    )


def hook_names(plugin: Any) -> list[str]:
    """The names of all hook implementations of a plugin."""
    return [
        name
        for name in dir(plugin)
        if name.startswith("wsext_") and callable(getattr(plugin, name, None))
    ]


def has_hooks(item: object) -> bool:
    """Whether an instance carries hook implementations."""
    return any(hasattr(getattr(type(item), name), "wsext_impl") for name in hook_names(type(item)))
