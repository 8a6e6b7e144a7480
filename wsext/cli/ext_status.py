"""Which installed plugins can be used as they are, and why the others cannot."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Collection
from contextlib import redirect_stdout
from dataclasses import replace

import msgspec

from wsext.config.applying import with_defaults
from wsext.errors import OptionError, PluginError, WsextError
from wsext.sdk.extension import Installable
from wsext.sdk.options import option_fields
from wsext.sdk.plugins import PluginInfo, Plugins, PluginStatus

__all__ = ["examine", "examine_apart", "how_to_configure", "waits_for_code"]

#: Seconds that all plugins together may take to be examined in a process of their own.
_PATIENCE = 30


def examine(plugins: Plugins, configured: Collection[str] = ()) -> list[PluginInfo]:
    """Load every plugin, make what it brings with the default options, and say what came of it.

    Args:
        plugins: Those that may be loaded.
        configured: The tokens of extensions that do not have to get by with their defaults.
    """
    with redirect_stdout(sys.stderr):  # what a plugin prints is no result of ours
        for load in (plugins.extensions, plugins.option_sets, plugins.backplanes):
            load()
        return [_examined(info, plugins, configured) for info in plugins.all()]


def _examined(info: PluginInfo, plugins: Plugins, configured: Collection[str]) -> PluginInfo:
    if info.status is not PluginStatus.ACTIVE:
        return info
    kinds = plugins.extensions_of(info.name)
    off = []
    for kind in kinds:
        try:
            if kind.name not in configured:
                with_defaults(kind)
        except OptionError as error:
            name = "" if kind.name == info.name else f"{kind.name} is off: "
            field = f"{error.field}: " if error.field else ""
            off.append(f"{name}{field}{error.problem}")
        except WsextError as error:
            problem = error.problem if isinstance(error, PluginError) else str(error)
            return replace(info, status=PluginStatus.FAILED, reason=problem)
    status = PluginStatus.OFF if kinds and len(off) == len(kinds) else info.status
    return replace(info, status=status, reason="; ".join(off))


def examine_apart(config: str | None) -> list[PluginInfo] | None:
    """As `examine`, in a process of its own: nothing that a plugin does can hurt this one.

    Returns:
        ``None`` if that process did not come to an end, or not to a good one.
    """
    command = [sys.executable, "-P", "-m", "wsext", "ext", "list", "--json", "--load"]
    if config is not None:
        command += ["--config", config]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    try:
        done = subprocess.run(command, env=env, capture_output=True, check=True, timeout=_PATIENCE)
        return msgspec.json.decode(done.stdout, type=list[PluginInfo])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError):
        return None


def waits_for_code(kind: type[Installable], given: Collection[str], error: WsextError) -> bool:
    """Whether all that is missing is an option that only code sets, which an app may still do."""
    if not isinstance(error, OptionError) or error.field in given:
        return False
    return any(
        field.scope == "code" and field.required and field.name == error.field
        for field in option_fields(kind.Options)
    )


def how_to_configure(kind: type[Installable]) -> str:
    """What to write to turn an extension on that is off until it is configured."""
    needed = [field for field in option_fields(kind.Options) if field.required]
    values = "".join(f", {field.name}=..." for field in needed)
    code = f"install({kind.name!r}{values}) in the app"
    if any(field.scope == "code" for field in needed):
        return code
    values = ",".join(f"{field.name}=..." for field in needed)
    option = f"--ext {kind.name}{':' if values else ''}{values}"
    return f"wsext serve {option}, [extensions.{kind.name}] in wsext.toml, or {code}"
