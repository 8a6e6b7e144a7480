"""``wsext config``: the configuration in force, and where each value comes from."""

from __future__ import annotations

from typing import Any

import click
from rich.table import Table

from wsext.cli.common import SettingName, as_json, output, plugins_of, read_config
from wsext.config.configuration import Config
from wsext.config.sections import SECTIONS
from wsext.config.sources import take_setting
from wsext.sdk.options import option_fields
from wsext.sdk.plugins import Plugins

__all__ = ["config"]

_SECRET = ("token", "password", "secret")


@click.command()
@click.option("--config", "path", type=click.Path(dir_okay=False), help="Configuration file.")
@click.option(
    "--set", "settings", multiple=True, type=SettingName(),
    help="Set any option by its dotted name. Repeatable.",
)  # fmt: skip
@click.option("--all", "everything", is_flag=True, help="Show what has its default, too.")
@click.option("--json", "as_json_", is_flag=True, help="Print JSON.")
def config(path: str | None, settings: tuple[str, ...], everything: bool, as_json_: bool) -> None:
    """Show the configuration in force, and where each value comes from.

    Option sets come first, then the file, the environment, and the command line. What an app sets
    in its code comes before all of them.
    """
    conf = read_config(path)
    for text in settings:
        take_setting(conf, text)
    rows = [row for row in _rows(conf, plugins_of(conf)) if everything or row["source"]]
    if as_json_:
        click.echo(as_json(rows))
        return
    table = Table(box=None, pad_edge=False)
    for title in ("option", "value", "from"):
        table.add_column(title)
    for row in rows:
        table.add_row(row["option"], _text(row["value"]), row["source"] or "default")
    output().print(table)


def _rows(conf: Config, plugins: Plugins) -> list[dict[str, Any]]:
    """Every option with its value and its source; none for a default."""
    from_sets: dict[str, tuple[Any, str]] = {}
    for name in conf.option_sets:
        found = plugins.option_set(name)
        label = f"option set {name}"
        from_sets |= {f"websocket.{key}": (value, label) for key, value in found.websocket.items()}
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
        for key, value in (chosen or {}).items():
            dotted = f"extensions.{token}.{key}"
            given[dotted] = (value, conf.sources[dotted])
    in_sets = {key: item for key, item in from_sets.items() if key.startswith("extensions.")}
    return rows + [_row(key, *item) for key, item in sorted({**in_sets, **given}.items())]


def _row(dotted: str, value: Any, source: str | None) -> dict[str, Any]:
    name = dotted.rpartition(".")[2]
    if value is not None and any(word in name for word in _SECRET):
        value = "(hidden)"
    return {"option": dotted, "value": value, "source": source}


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, (tuple, list)):
        return ", ".join(str(item) for item in value) or "none"
    return str(value).lower() if isinstance(value, bool) else str(value)
