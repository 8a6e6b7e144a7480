"""``wsext ext check``: the conformance kit on anything that is installed, with a report."""

from __future__ import annotations

import sys
import time
from importlib.metadata import PackageNotFoundError, metadata, requires
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from wsext.cli.common import (
    ExtensionToken,
    as_json,
    config_option,
    fail,
    json_option,
    output,
    plugins_from,
)
from wsext.sdk.plugins import Plugins

__all__ = ["check"]


@click.command()
@click.argument("name", type=ExtensionToken())
@click.option(
    "--examples", type=click.IntRange(1, 10_000), default=40, show_default=True,
    help="Random examples per property.",
)  # fmt: skip
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@config_option
def check(name: str, examples: int, as_json_: bool, verbose: bool, config: str | None) -> None:
    """Run the conformance kit on an installed extension, interceptor or other plugin.

    Ends with 0 when every case that applies holds, and with 1 otherwise.
    """
    try:
        from wsext.testing.suite import Outcome, run, suite_for
    except ModuleNotFoundError as error:
        fail(f"the conformance kit needs {error.name}: pip install 'wsext[test]'")
    plugins = plugins_from(config)
    kind = plugins.load(name) if name in plugins else plugins.extension(name)
    known = getattr(kind, "conformance", {})
    suite = suite_for(kind, **{"examples": examples, **known})
    started = time.perf_counter()
    with Console(stderr=True).status(f"checking {name}") as status:
        results = list(run(suite, status.update))
    notes = _packaging(name, plugins)
    failed = [item for item in results if item.outcome is Outcome.FAILED]
    if as_json_:
        report = {"name": name, "passed": not failed, "cases": results, "packaging": notes}
        click.echo(as_json(report))
    else:
        _print(name, results, notes, time.perf_counter() - started, verbose)
    sys.exit(1 if failed else 0)


def _print(name: str, results: list[Any], notes: list[str], took: float, verbose: bool) -> None:
    console = output()
    marks = {"passed": "[green]ok[/]", "failed": "[red]FAIL[/]", "skipped": "[yellow]skip[/]"}
    counts = dict.fromkeys(marks, 0)
    for item in results:
        counts[item.outcome.value] += 1
        if item.outcome.value == "passed" and not verbose:
            continue
        console.print(f"{marks[item.outcome.value]:>4}  {escape(item.title)}", soft_wrap=True)
        for line in item.detail.splitlines():
            console.print(f"      {escape(line)}", soft_wrap=True)
        if item.outcome.value == "failed":
            console.print(f"      ({item.name})", soft_wrap=True)
    for note in notes:
        console.print(f"[yellow]note[/]  {escape(note)}", soft_wrap=True)
    verdict = "[red]does not conform[/]" if counts["failed"] else "[green]conforms[/]"
    console.print(
        f"{escape(name)} {verdict}: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['skipped']} do not apply, {took:.1f} s"
    )


def _packaging(name: str, plugins: Plugins) -> list[str]:
    """What its distribution lacks; advice, not a fault of the extension."""
    info = next((item for item in plugins.all() if item.name == name), None)
    if info is None:
        return []
    try:
        about = metadata(info.distribution)
    except PackageNotFoundError:
        return ["its distribution cannot be found"]
    notes = []
    if "Summary" not in about:
        notes.append(f"{info.distribution} has no description in its metadata")
    if "License" not in about and "License-Expression" not in about:
        notes.append(f"{info.distribution} names no license")
    needed = requires(info.distribution) or []
    if not any(line.replace(" ", "").startswith("wsext") for line in needed):
        notes.append(f"{info.distribution} does not depend on wsext")
    return notes
