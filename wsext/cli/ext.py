"""``wsext ext``: what is installed, and what can be set."""

from __future__ import annotations

from typing import Any

import click
import msgspec
from rich.markup import escape

from wsext.cli.common import ExtensionToken, OptionSetName, config_option, json_option, plugins_from
from wsext.cli.ext_check import check
from wsext.cli.ext_new import new
from wsext.cli.ext_status import examine, examine_apart, how_to_configure
from wsext.cli.ext_tools import doctor, freeze, negotiate_
from wsext.cli.results import as_json, as_text, new_table, output
from wsext.config.applying import plugins_of, with_defaults
from wsext.config.sources import read_config
from wsext.errors import OptionError, PluginError, UnknownPlugin
from wsext.protocol.codes import RSV
from wsext.sdk.extension import Extension, Installable, wire_fields
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
@click.option("--load", is_flag=True, hidden=True)
def list_(as_json_: bool, config: str | None, load: bool) -> None:
    """List every installed plugin: whether it can be used, and why not.

    The plugins are imported in another process, so this list is there whatever one of them does.
    """
    conf = read_config(config, trust_folder=False)
    plugins = plugins_of(conf)
    if load:
        click.echo(msgspec.json.encode(examine(plugins, conf.extensions)))
        return
    infos = plugins.all()
    if infos:
        examined = examine_apart(config)
        if examined is None:
            click.echo("wsext: the plugins cannot be loaded; try wsext ext doctor", err=True)
        infos = examined or infos
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
    raise UnknownPlugin(
        name, "extension or option set is installed", {*extensions, *plugins, *sets}
    )


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
        described["wire_params"] = _describe_params(kind)
    described["memory_estimate"] = None
    try:
        described["memory_estimate"] = with_defaults(kind).memory_estimate()
    except OptionError as error:
        described["off"] = f"{error.field}: {error.problem}" if error.field else error.problem
        described["configure"] = how_to_configure(kind)
    except PluginError as error:
        described["problem"] = error.problem
    described["options"] = [_describe_field(field) for field in option_fields(kind.Options)]
    return described


def _describe_field(field: OptionField) -> dict[str, Any]:
    return {
        "name": field.name,
        "type": field.type,
        "default": _default(field),
        "required": field.required,
        "range": field.bounds,
        "scope": field.scope,
        "wire": field.wire,
        "description": field.description,
    }


def _describe_params(kind: type[Extension]) -> list[dict[str, Any]]:
    """Every parameter that the extension may put into a header."""
    options = option_fields(kind.Options)
    directions = {"both": "offer, answer"}
    return [
        {
            "name": field.wire or field.name,
            "option": field.name if field in options else None,
            "type": {"bool": "flag", "Any": ""}.get(field.type, field.type),
            "default": _default(field),
            "range": field.bounds,
            "direction": directions.get(field.direction, field.direction),
            "description": field.description,
        }
        for field in wire_fields(kind)
    ]


def _default(field: OptionField) -> Any:
    default = field.default
    if field.scope == "code" and default is not None:
        return type(default).__name__
    plain = default is None or isinstance(default, (bool, int, float, str, list, tuple))
    return default if plain else str(default)


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
        except (OptionError, PluginError) as error:
            extensions[token] = {"options": dict(values), "problem": str(error)}
    return {
        "name": named.name,
        "kind": "option set",
        "description": named.description,
        "extensions": extensions,
        "websocket": dict(named.websocket),
        "rooms": dict(named.rooms),
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
    if "problem" in described:
        console.print(f"[red]broken  {escape(described['problem'])}[/]", soft_wrap=True)
    if "off" in described:
        console.print(f"[yellow]off     {escape(described['off'])}[/]", soft_wrap=True)
        console.print(f"        to turn it on: {escape(described['configure'])}", soft_wrap=True)
    params = described.get("wire_params", [])
    if described["options"] or params:
        table = new_table("OPTION", "TYPE", "DEFAULT", "RANGE", "SCOPE", "")
        rows = [_option_row(field, params) for field in described["options"]]
        rows += [_param_row(param) for param in params if param["option"] is None]
        for row in rows:
            table.add_row(*map(escape, row))
        console.print()
        console.print(table)
    elif described["kind"] != "plugin":
        console.print("It has no options.")


def _option_row(field: dict[str, Any], params: list[dict[str, Any]]) -> tuple[str, ...]:
    default = "(required)" if field["required"] else as_text(field["default"])
    scope, about = field["scope"], field["description"]
    for param in params:
        if param["option"] == field["name"]:
            scope = f"wire: {param['direction']}"
            if param["name"] != field["name"]:
                about = f"{about} (parameter {param['name']})"
    return field["name"], field["type"], default, field["range"], scope, about


def _param_row(param: dict[str, Any]) -> tuple[str, ...]:
    """A parameter that is no option: the extension sets it by itself."""
    scope = f"wire only: {param['direction'] or 'undescribed'}"
    return param["name"], param["type"], "", param["range"], scope, param["description"]


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
    for section in ("websocket", "rooms"):
        if described[section]:
            console.print(f"\n{section}")
        for name, value in described[section].items():
            console.print(f"  {name} = {escape(as_text(value))}")


def _size(count: int) -> str:
    return f"{count / 1024:.0f} KiB" if count >= 1024 else f"{count} bytes"
