"""Can that be used which the entry point of a plugin names, and what its hooks bring?"""

from __future__ import annotations

import inspect
from typing import Any, TypeGuard

from wsext.escape import get_logger
from wsext.sdk import hookspecs
from wsext.sdk.checks import check_class, check_name
from wsext.sdk.codec import Codec
from wsext.sdk.extension import Installable
from wsext.sdk.hooks import hook_names, new_manager
from wsext.sdk.options import NamedOptionSet

__all__ = ["Incompatible", "check_brought", "check_plugin", "is_codec", "is_installable"]

logger = get_logger("wsext.plugins")


class Incompatible(Exception):
    """A plugin for a later version of the hooks."""


def check_plugin(name: str, plugin: Any) -> None:
    """Check what an entry point names. Unknown hooks are logged.

    Args:
        name: The name of the entry point.
        plugin: What it names.

    Raises:
        Incompatible: If it is for a later version of the hooks.
        TypeError: If it is no plugin; says what to name instead.
        Exception: Of pluggy, if a hook's arguments are wrong.
    """
    version = getattr(plugin, "wsext_api_version", hookspecs.API_VERSION)
    if version > hookspecs.API_VERSION:
        raise Incompatible(
            f"needs version {version} of the hooks; this wsext has {hookspecs.API_VERSION}"
        )
    if is_installable(plugin):
        check_class(plugin)
        check_name(plugin)
        if plugin.name != name:
            raise TypeError(
                f"the entry point's name is not the extension's, which is {plugin.name!r}: "
                "name the entry point so"
            )
        return
    if isinstance(plugin, Installable):
        kind = type(plugin)
        raise TypeError(
            f"names an object: name its class, {kind.__module__}:{kind.__name__}, "
            "which users configure"
        )
    if is_codec(plugin):
        raise TypeError("names a codec: name the Extension whose make_codec() gives it")
    if not hook_names(plugin):
        raise TypeError(
            f"names {plugin!r}, which is no Extension or Interceptor class and has no hook "
            "implementation (a function with @hookimpl whose name begins with wsext_)"
        )
    probe = new_manager()
    probe.register(plugin)  # validates every hook's arguments
    unknown = [hook for hook in hook_names(plugin) if not hasattr(probe.hook, hook)]
    if unknown:
        logger.warning("plugin %s implements unknown hooks: %s", name, ", ".join(sorted(unknown)))


def check_brought(hook: str, item: Any) -> None:
    """Check one of the things that a hook has brought.

    Raises:
        TypeError: If it is of another kind than the hook brings.
    """
    if hook == "wsext_extensions":
        if not is_installable(item):
            raise TypeError(f"{hook} gave {item!r}, not an Extension or Interceptor class")
        check_class(item)
        check_name(item)
    elif hook == "wsext_option_sets" and not isinstance(item, NamedOptionSet):
        raise TypeError(f"{hook} gave {item!r}, not a NamedOptionSet")


def is_codec(plugin: Any) -> bool:
    """Whether it is a codec, or a class of codecs."""
    return isinstance(plugin, Codec) or (inspect.isclass(plugin) and issubclass(plugin, Codec))


def is_installable(plugin: Any) -> TypeGuard[type[Installable]]:
    """Whether a loaded plugin is an extension or interceptor class."""
    return inspect.isclass(plugin) and issubclass(plugin, Installable)
