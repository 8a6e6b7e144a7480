"""``wsext ext negotiate``, ``doctor`` and ``freeze``: why something is, or is not, in use."""

from __future__ import annotations

import itertools
import os
import sys
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import click
from rich.markup import escape

from wsext.cli.common import (
    Choice,
    ExtensionArgument,
    config_option,
    fail,
    json_option,
    plugins_from,
    server_config_option,
    take_options,
)
from wsext.cli.ext_status import examine, how_to_configure, waits_for_code
from wsext.cli.results import as_json, new_table, output
from wsext.config.applying import configure, install, plugins_of
from wsext.config.configuration import Config
from wsext.config.sections import SECTIONS
from wsext.config.sources import HERE, read_config
from wsext.errors import NegotiationError, OptionError, WsextError
from wsext.protocol.agreement import Negotiation, NegotiationContext
from wsext.protocol.negotiation import (
    confirm,
    make_offers,
    negotiate,
    offers_header,
    parse_offers,
    shared_claim,
)
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed
from wsext.sdk.plugins import PluginInfo, Plugins, PluginStatus

__all__ = ["doctor", "freeze", "negotiate_"]


# --- negotiate --------------------------------------------------------------------------------


@click.command("negotiate")
@click.option("--offer", help="A client's Sec-WebSocket-Extensions.")
@click.option("--answer", help="A server's: check it as a client does.")
@click.option(
    "--ext", "extensions", multiple=True, type=ExtensionArgument(),
    help="Only this extension, with options. Repeatable; the order is the order of installation.",
)  # fmt: skip
@click.option(
    "--prefer", type=Choice(["client", "server"]), default="client", show_default=True,
    help="Whose order decides.",
)  # fmt: skip
@json_option
@config_option
def negotiate_(
    offer: str | None,
    answer: str | None,
    extensions: tuple[str, ...],
    prefer: str,
    as_json_: bool,
    config: str | None,
) -> None:
    """Negotiate without a connection: the same code, the same verdicts and reasons.

    \b
    wsext ext negotiate                                        what our client would offer
    wsext ext negotiate --offer 'permessage-deflate; x=1'      what our server would answer
    wsext ext negotiate --answer 'permessage-deflate'          what our client makes of an answer
    """
    conf = read_config(config, trust_folder=False, raise_errors=False)
    take_options(conf, extensions=extensions)
    installed = install(conf, plugins_of(conf), others=not extensions).extensions
    if answer is not None:
        outcome = _as_client(installed, answer)
        heading, header = "agreed", outcome.header
    elif offer is not None:
        ctx = NegotiationContext("server", 1 << 20)
        outcome = negotiate(parse_offers([offer]), installed, ctx, prefer=prefer)
        heading, header = "response", outcome.header
    else:
        outcome, heading = Negotiation(), "request"
        header = offers_header(make_offers(installed))
    outcome.close()
    if as_json_:
        records = [
            {"offer": str(record.offer), "verdict": record.verdict, "reason": record.reason}
            for record in outcome.records
        ]
        click.echo(as_json({heading: header, "offers": records}))
    else:
        _print_outcome(outcome, heading, header)


def _as_client(installed: tuple[Extension, ...], answer: str) -> Negotiation:
    ctx = NegotiationContext("client", 1 << 20)
    try:
        return confirm(make_offers(installed), [answer], installed, ctx)
    except NegotiationError as error:
        fail(f"the client refuses this answer: {error}")


def _print_outcome(outcome: Negotiation, heading: str, header: str | None) -> None:
    console = output()
    if outcome.records:
        table = new_table("OFFER", "VERDICT", "REASON")
        for record in outcome.records:
            style = "green" if record.verdict.value == "agreed" else ""
            cells = (str(record.offer), record.verdict.value, record.reason)
            table.add_row(*map(escape, cells), style=style)
        console.print(table)
    text = f"Sec-WebSocket-Extensions: {header}" if header else "no Sec-WebSocket-Extensions header"
    console.print(f"{heading}: {escape(text)}", soft_wrap=True)


# --- doctor -----------------------------------------------------------------------------------


@click.command()
@json_option
@server_config_option
def doctor(as_json_: bool, config: str | None) -> None:
    """Load every plugin and say what keeps a server here from using it, and what to do about it.

    Ends with 1 when something is broken.
    """
    conf = read_config(config)
    plugins = plugins_of(conf)
    findings = list(_examine(conf, plugins, config))
    broken = any(item["level"] == "problem" for item in findings)
    if as_json_:
        click.echo(as_json(findings))
    else:
        _print_findings(findings)
    sys.exit(1 if broken else 0)


def _print_findings(findings: list[dict[str, str]]) -> None:
    console = output()
    styles = {"ok": "green", "note": "yellow", "problem": "red"}
    for item in findings:
        level, name, text, advice = map(escape, item.values())
        console.print(f"[{styles[level]}]{level:8}[/]{name}: {text}", soft_wrap=True)
        if advice:
            console.print(f"        → {advice}", soft_wrap=True)


def _finding(level: str, name: str, text: str, advice: str = "") -> dict[str, str]:
    return {"level": level, "name": name, "text": text, "advice": advice}


def _examine(config: Config, plugins: Plugins, path: str | None) -> Any:
    """Findings, one after another."""
    where = path or os.environ.get("WSEXT_CONFIG") or (HERE if Path(HERE).is_file() else None)
    yield _finding("ok", "configuration", where or f"no {HERE} here")
    if not plugins.all():
        yield _finding("note", "plugins", "none is installed", "pip install wsext-deflate")
    for info in examine(plugins, config.extensions):
        yield _describe_status(info, plugins)
    classes = plugins.extensions()
    sets = plugins.option_sets()
    for token, options in config.extensions.items():
        try:
            configure(config, token, Installed(plugins))
        except WsextError as error:
            text = str(error).removeprefix(f"{token}: ")
            if token in classes and waits_for_code(classes[token], options or {}, error):
                yield _finding("note", token, text, how_to_configure(classes[token]))
            else:
                advice = f"configured by: {config.sources[f'extensions.{token}']}"
                yield _finding("problem", token, text, advice)
    for name in config.option_sets:
        if name not in sets:
            known = ", ".join(sets) or "none"
            yield _finding("problem", name, "no such option set", f"known: {known}")
            continue
        try:
            Installed(plugins).install(sets[name])
        except WsextError as error:
            yield _finding("problem", name, str(error), "leave the option set out")
    for section in SECTIONS:
        try:
            config.section(section)
        except OptionError as error:
            yield _finding("problem", section, str(error).removeprefix(f"{section}: "))
    wire = [kind for kind in classes.values() if issubclass(kind, Extension)]
    for first, second in itertools.combinations(wire, 2):
        what = shared_claim(first, second)  # type: ignore[arg-type]  # the classes hold the claims
        if what:
            yield _finding(
                "note",
                f"{first.name}, {second.name}",
                f"both claim {what}: a session agrees on at most one of them",
                'the order of the client\'s offers decides, or prefer = "server"',
            )


def _describe_status(info: PluginInfo, plugins: Plugins) -> dict[str, str]:
    origin = f"{info.distribution} {info.version}"
    if info.status is PluginStatus.ACTIVE:
        but = f"; {info.reason}" if info.reason else ""
        return _finding("ok", info.name, f"active, from {origin}{but}")
    if info.status is PluginStatus.OFF:
        advice = "; ".join(map(how_to_configure, plugins.extensions_of(info.name)))
        text = f"off until it is configured: {info.reason}, from {origin}"
        return _finding("note", info.name, text, advice)
    if info.status is PluginStatus.DISABLED:
        advice = "see [plugins] in wsext.toml, and WSEXT_PLUGINS"
        return _finding("note", info.name, f"{info.reason}, from {origin}", advice)
    if info.status is PluginStatus.SHADOWED:
        return _finding("problem", info.name, f"{info.reason}, so {origin} is not used",
                        f"uninstall one of them: pip uninstall {info.distribution}")  # fmt: skip
    if info.status is PluginStatus.INCOMPATIBLE:
        return _finding("problem", info.name, f"{info.reason}, from {origin}",
                        "pip install --upgrade wsext")  # fmt: skip
    advice = (
        f"tell the authors of {info.distribution}; until then leave it out: "
        f"WSEXT_PLUGINS=-{info.name}"
    )
    if "ModuleNotFoundError" in info.reason:
        advice = (
            "its code or one of its dependencies is missing: "
            f"pip install --force-reinstall {info.distribution}, or {advice}"
        )
    text = f"{info.reason}, from {origin} (entry point {info.value})"
    return _finding("problem", info.name, text, advice)


# --- freeze -----------------------------------------------------------------------------------


@click.command()
@config_option
def freeze(config: str | None) -> None:
    """Print the distributions of all active plugins, pinned, as a requirements file."""
    names = {"wsext"}
    for info in plugins_from(config).all():
        if info.status is PluginStatus.ACTIVE:
            names.add(info.distribution)
    for name in sorted(names):
        try:
            click.echo(f"{name}=={distribution(name).version}")
        except PackageNotFoundError:
            click.echo(f"# {name}: not an installed distribution")
