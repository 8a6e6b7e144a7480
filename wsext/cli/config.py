"""``wsext config``: the configuration in force, and where each value comes from."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import click

from wsext.app.application import Application
from wsext.cli.common import json_option, server_config_option, set_option, take_options
from wsext.cli.results import as_json, as_text, new_table, output
from wsext.cli.serve import build, refuse_wrong
from wsext.cli.tls import server_context
from wsext.config.applying import apply, plugins_of
from wsext.config.configuration import Config
from wsext.config.sections import SECTIONS
from wsext.config.sources import read_config
from wsext.errors import OptionError, PluginError
from wsext.escape import safe_url
from wsext.runtime.held import Held
from wsext.sdk.options import OptionSet, option_fields, refuse_code_options
from wsext.sdk.plugins import Plugins
from wsext.sdk.secret import Secret

__all__ = ["config"]

#: What the names of options have in them whose values are not shown.
_SECRET = ("token", "password", "secret", "key")


@click.command()
@server_config_option
@set_option
@click.option("--all", "everything", is_flag=True, help="Show what has its default, too.")
@click.option("--check", is_flag=True, help="Only say what is wrong; exit code 2 if anything is.")
@json_option
def config(
    config: str | None, settings: tuple[str, ...], everything: bool, check: bool, as_json_: bool
) -> None:
    """Show the configuration that `wsext serve` would have here, and where each value comes from.

    Option sets come first, then the file, the environment, and the command line. What an app sets
    in its code comes before all of them.

    With --check, the app is imported, too, and everything is looked at that serving begins with.
    """
    conf = read_config(config, raise_errors=False)
    take_options(conf, settings=settings)
    refuse_wrong(conf)
    if check:
        _check(conf)
        click.echo("wsext: nothing is wrong with the configuration")
        return
    rows = [row for row in _rows(conf, plugins_of(conf)) if everything or row["source"]]
    if as_json_:
        click.echo(as_json(rows))
        return
    table = new_table("option", "value", "from")
    for row in rows:
        table.add_row(row["option"], as_text(row["value"]), row["source"] or "default")
    output().print(table)
    with suppress(OptionError, PluginError):  # what serve would end with is not asked for here
        most = _most_held(conf, plugins_of(conf)) / (1 << 20)
        click.echo(f"one session holds at most {most:.1f} MiB, whatever its peer sends")


def _check(conf: Config) -> None:
    """Begin as serving does, and stop before there is a server."""
    where = conf.section("serve")
    with conf.naming_sources("serve"):
        server_context(where.ssl_cert, where.ssl_key)
    build(conf, where)


def _most_held(conf: Config, plugins: Plugins) -> int:
    """Bytes that a peer can make a session hold, where no route has options of its own."""
    app = Application()
    apply(conf, app, plugins)
    queued = app.room_options.session_queue_bytes
    return Held.at_most(app.options, app.installed.extensions, rooms=queued).total


def _rows(conf: Config, plugins: Plugins) -> list[dict[str, Any]]:
    """Every option with its value and its source; none for a default."""
    from_sets: dict[str, tuple[Any, str]] = {}
    for name in conf.option_sets:
        found = plugins.option_set(name)
        label = f"option set {name}"
        for section, values in (("websocket", found.websocket), ("rooms", found.rooms)):
            from_sets |= {f"{section}.{key}": (value, label) for key, value in values.items()}
        for token, values in found.extensions.items():
            from_sets[f"extensions.{token}"] = (True, label)
            from_sets |= {
                f"extensions.{token}.{key}": (value, label) for key, value in values.items()
            }
    rows = []
    for section, kind in SECTIONS.items():
        options = conf.section(section)
        for field in option_fields(kind):
            dotted = f"{section}.{field.name}"
            value, source = getattr(options, field.name), conf.sources.get(dotted)
            if source is None and dotted in from_sets:
                value, source = from_sets[dotted]
            rows.append(_row(dotted, value, source))
    given: dict[str, tuple[Any, str]] = {}
    for token, chosen in conf.extensions.items():
        given[f"extensions.{token}"] = (chosen is not None, conf.sources[f"extensions.{token}"])
        if chosen is None:
            continue
        options = _options_of(plugins, token)
        with conf.naming_sources(f"extensions.{token}"):
            refuse_code_options(options, chosen, token)
        fields = option_fields(options)
        hidden = {field.name for field in fields if "Secret" in field.type}
        for key, value in chosen.items():
            dotted = f"extensions.{token}.{key}"
            given[dotted] = ("(hidden)" if key in hidden else value, conf.sources[dotted])
        for field in fields:
            if field.scope == "code":
                given[f"extensions.{token}.{field.name}"] = ("(only code sets it)", "code")
    in_sets = {key: item for key, item in from_sets.items() if key.startswith("extensions.")}
    return rows + [_row(key, *item) for key, item in sorted({**in_sets, **given}.items())]


def _options_of(plugins: Plugins, token: str) -> type[OptionSet]:
    """The option set of an extension; an empty one if it cannot be loaded."""
    try:
        return plugins.extension(token).Options
    except PluginError:
        return OptionSet


def _row(dotted: str, value: Any, source: str | None) -> dict[str, Any]:
    value = _without_secrets(value)
    name = dotted.rpartition(".")[2]
    is_secret = isinstance(value, Secret) or _is_secret(name)
    if source == "code" or dotted == "serve.ssl_key":  # which is a path
        is_secret = False
    if is_secret and value is not None:
        value = "(hidden)"
    return {"option": dotted, "value": value, "source": source}


def _without_secrets(value: Any) -> Any:
    """A value, also a list or a table, whose URLs have no passwords: of a broker, for example."""
    if isinstance(value, str) and "://" in value:
        return safe_url(value)
    if isinstance(value, (list, tuple)):
        return [_without_secrets(item) for item in value]
    if isinstance(value, Mapping):
        return {
            key: "(hidden)" if _is_secret(key) else _without_secrets(item)
            for key, item in value.items()
        }
    return value


def _is_secret(name: str) -> bool:
    return any(word in name.lower() for word in _SECRET)
