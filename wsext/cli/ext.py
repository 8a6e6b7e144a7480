"""``wsext ext``: what is installed, and what can be set."""

from __future__ import annotations

from typing import Any

import click
from rich.markup import escape

from wsext.cli.common import (
    ExtensionToken,
    OptionSetName,
    as_json,
    as_text,
    config_option,
    json_option,
    new_table,
    output,
    plugins_from,
)
from wsext.cli.ext_check import check
from wsext.cli.ext_new import new
from wsext.cli.ext_tools import doctor, freeze, negotiate_
from wsext.errors import OptionError, PluginError, nearest
from wsext.protocol.codes import RSV
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.options import NamedOptionSet, OptionField, option_fields
from wsext.sdk.plugins import PluginInfo, Plugins, PluginStatus

__all__ = ["ext"]


@click.group()
def ext() -> None:
    """List, describe, make and check extensions and other plugins."""


for command in (new, check, negotiate_, doctor, freeze):
    ext.add_command(command)


# --- list -------------------------------------------------------------------------------------


@ext.command("list")
@json_option
@config_option
def list_(as_json_: bool, config: str | None) -> None:
    """List every installed plugin, from metadata alone: nothing is imported."""
    infos = plugins_from(config).all()
    if as_json_:
        click.echo(as_json([_describe_info(info) for info in infos]))
        return
    if not infos:
        click.echo("No extension is installed. Try: pip install wsext-deflate")
        return
    table = new_table("NAME", "DISTRIBUTION", "VERSION", "STATUS", no_wrap=True)
    table.add_column("")
    for info in infos:
        style = "" if info.status is PluginStatus.ACTIVE else "yellow"
        cells = (info.name, info.distribution, info.version, info.status, escape(info.reason))
        table.add_row(*cells, style=style)
    output().print(table)


def _describe_info(info: PluginInfo) -> dict[str, Any]:
    return {
        "name": info.name,
        "distribution": info.distribution,
        "version": info.version,
        "status": info.status.value,
        "reason": info.reason,
        "entry_point": info.value,
    }


# --- show -------------------------------------------------------------------------------------


class _ShowName(ExtensionToken):
    """An extension's or an option set's name."""

    def names(self, plugins: Plugins) -> Any:
        return [*super().names(plugins), *OptionSetName().names(plugins)]


@ext.command()
@click.argument("name", type=_ShowName())
@json_option
@config_option
def show(name: str, as_json_: bool, config: str | None) -> None:
    """Show an extension or an option set: what it does, every option, and what it costs."""
    plugins = plugins_from(config)
    described = _describe(name, plugins)
    if as_json_:
        click.echo(as_json(described))
    elif described["kind"] == "option set":
        _print_option_set(described)
    else:
        _print_plugin(described)


def _describe(name: str, plugins: Plugins) -> dict[str, Any]:
    """A plugin, an extension or an option set, as data.

    Raises:
        PluginError: If there is none of that name, or it cannot be loaded.
    """
    extensions = plugins.extensions()
    if name in extensions:
        return _describe_extension(extensions[name], plugins)
    if name in plugins:
        return _describe_plugin(name, plugins.load(name), plugins)
    sets = plugins.option_sets()
    if name in sets:
        return _describe_option_set(sets[name], plugins)
    close = nearest(name, [*extensions, *plugins, *sets])
    hint = f"; did you mean {close!r}?" if close else ""
    raise PluginError(name, f"no such extension or option set is installed{hint}")


def _origin(name: str, plugins: Plugins) -> dict[str, str]:
    for info in plugins.all():
        if info.name == name:
            return {"distribution": info.distribution, "version": info.version}
    return {}


def _summary(thing: Any) -> str:
    return " ".join((getattr(thing, "__doc__", None) or "").strip().partition("\n\n")[0].split())


def _describe_extension(kind: type[Installable], plugins: Plugins) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": kind.name,
        "kind": "wire extension" if issubclass(kind, Extension) else "local interceptor",
        **_origin(kind.name, plugins),
        "description": _summary(kind),
    }
    if issubclass(kind, Extension):
        described["phase"] = kind.phase.name
        described["rsv"] = RSV(kind.rsv).names() or None
        described["opcodes"] = sorted(kind.opcodes)
    try:
        described["memory_estimate"] = kind().memory_estimate()
    except OptionError:
        described["memory_estimate"] = None  # it cannot be made without options
    described["options"] = [_describe_field(field) for field in option_fields(kind.Options)]
    return described


def _describe_field(field: OptionField) -> dict[str, Any]:
    default = field.default
    if default is not None and not isinstance(default, (bool, int, float, str, list, tuple)):
        default = str(default)
    return {
        "name": field.name,
        "type": field.type,
        "default": default,
        "range": field.bounds,
        "wire": field.wire,
        "description": field.description,
    }


def _describe_plugin(name: str, plugin: Any, plugins: Plugins) -> dict[str, Any]:
    hooks = sorted(hook for hook in dir(plugin) if hook.startswith("wsext_"))
    return {
        "name": name,
        "kind": "plugin",
        **_origin(name, plugins),
        "description": _summary(plugin),
        "hooks": [hook for hook in hooks if callable(getattr(plugin, hook))],
        "option_sets": [named.name for named in plugins.contributed_option_sets(name)],
        "options": [],
    }


def _describe_option_set(named: NamedOptionSet, plugins: Plugins) -> dict[str, Any]:
    extensions: dict[str, Any] = {}
    for token, values in named.extensions.items():
        try:
            estimate = plugins.extension(token)(**values).memory_estimate()
            extensions[token] = {"options": dict(values), "memory_estimate": estimate}
        except PluginError as error:
            extensions[token] = {"options": dict(values), "problem": error.problem}
    return {
        "name": named.name,
        "kind": "option set",
        "description": named.description,
        "extensions": extensions,
        "websocket": dict(named.websocket),
    }


# --- printing ---------------------------------------------------------------------------------


def _print_plugin(described: dict[str, Any]) -> None:
    console = output()
    origin = " ".join(described.get(key, "") for key in ("distribution", "version")).strip()
    console.print(f"[bold]{escape(described['name'])}[/] · {described['kind']} · {origin}")
    console.print(escape(described["description"]), soft_wrap=True)
    console.print()
    if described["kind"] == "wire extension":
        console.print(f"phase   {described['phase']}")
        console.print(f"bits    {described['rsv'] or 'none'}")
        if described["opcodes"]:
            console.print(f"opcodes {', '.join(map(str, described['opcodes']))}")
    if described.get("memory_estimate") is not None:
        console.print(f"memory  about {_size(described['memory_estimate'])} per connection")
    if described.get("hooks"):
        console.print(f"hooks   {', '.join(described['hooks'])}")
    if described.get("option_sets"):
        console.print(f"option sets: {', '.join(described['option_sets'])}")
    if described["options"]:
        table = new_table("OPTION", "TYPE", "DEFAULT", "RANGE", "SCOPE", "")
        for field in described["options"]:
            scope = "local" if field["wire"] is None else "wire"
            cells = (field["name"], field["type"], as_text(field["default"]), field["range"], scope)
            table.add_row(*map(escape, cells), escape(field["description"]))
        console.print()
        console.print(table)
    elif described["kind"] != "plugin":
        console.print("It has no options.")


def _print_option_set(described: dict[str, Any]) -> None:
    console = output()
    console.print(f"[bold]{escape(described['name'])}[/] · option set")
    console.print(escape(described["description"]), soft_wrap=True)
    for token, item in described["extensions"].items():
        console.print(f"\n{escape(token)}")
        for name, value in item["options"].items():
            console.print(f"  {name} = {escape(as_text(value))}")
        if item.get("memory_estimate") is not None:
            console.print(f"  → about {_size(item['memory_estimate'])} per connection")
        if "problem" in item:
            console.print(f"  [yellow]{escape(item['problem'])}[/]")
    if described["websocket"]:
        console.print("\nwebsocket")
        for name, value in described["websocket"].items():
            console.print(f"  {name} = {escape(as_text(value))}")


def _size(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count >= 1024 else f"{count} bytes"
