"""``wsext ext check``: the conformance kit on anything that is installed, with a report."""

from __future__ import annotations

import inspect
import logging
import sys
import time
from collections import Counter
from importlib import import_module
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.markup import escape

from wsext.cli.common import ExtensionToken, config_option, fail, json_option, plugins_from
from wsext.cli.results import as_json, output
from wsext.sdk.extension import Installable
from wsext.sdk.plugins import Plugins

__all__ = ["check"]


@click.command()
@click.argument("name", type=ExtensionToken())
@click.option(
    "--examples", type=click.IntRange(1, 10_000), default=40, show_default=True,
    help="Random conversations, which are the same in every run.",
)  # fmt: skip
@click.option(
    "--case-timeout", type=click.FloatRange(0.1), default=60, show_default=True, metavar="SECONDS",
    help="How long a case may take. One that takes longer has failed, and is the last one.",
)  # fmt: skip
@click.option(
    "--mutate",
    is_flag=True,
    help="Then change the code of the extension in one place after the other, and say which of the "
    "changes neither the kit notices nor the folder tests of its package.",
)
@click.option(
    "--kit-only", is_flag=True, help="With --mutate: leave out the folder tests of its package."
)
@click.option(
    "--time-limit", type=click.IntRange(1), default=120, show_default=True, metavar="SECONDS",
    help="With --mutate: how long all changes may take together.",
)  # fmt: skip
@json_option
@click.option("-v", "--verbose", is_flag=True, help="Name the cases that pass, too.")
@config_option
def check(
    name: str,
    examples: int,
    case_timeout: float,
    mutate: bool,
    kit_only: bool,
    time_limit: int,
    as_json_: bool,
    verbose: bool,
    config: str | None,
) -> None:
    """Run the conformance kit on an installed extension, interceptor or other plugin.

    Ends with 0 when every case that applies holds, and with 1 otherwise; with --mutate also when
    there is a change that nothing notices.
    """
    from wsext.testing.suite import Outcome, run, suite_for  # no other command needs it

    if mutate:
        mutation = _needs_mutation()
    plugins = plugins_from(config)
    kind = plugins.load(name) if name in plugins else plugins.extension(name)
    attributes = {"examples": examples, **getattr(kind, "conformance", {})}
    try:
        suite = suite_for(kind, **attributes)
    except TypeError as error:
        fail(str(error))
    started = time.perf_counter()
    logging.getLogger("wsext").addHandler(logging.NullHandler())  # what fails is in the report
    with Console(stderr=True).status(f"checking {name}") as status:
        results = list(run(suite, status.update, seconds=case_timeout))
        passed = all(item.outcome is not Outcome.FAILED for item in results)
        changes, tests = [], None
        if mutate and passed:
            if not (inspect.isclass(kind) and issubclass(kind, Installable)):
                fail(f"--mutate changes extensions and interceptors, and {name} is neither")
            status.update(f"changing the code of {name}")
            tests = None if kit_only else mutation.tests_of(kind)
            try:
                found = mutation.try_changes(kind, {"examples": examples}, time_limit, tests)
                changes = list(found)
            except (OSError, RuntimeError) as error:
                fail(str(error))
    notes = _packaging(name, plugins)
    missed = [change for change, verdict in changes if verdict == "missed"]
    took = time.perf_counter() - started
    if as_json_:
        report = {"name": name, "passed": passed, "cases": results, "packaging": notes}
        if mutate:
            report["tests"] = str(tests) if tests else None
            report["changes"] = [
                {"file": change.path, "line": change.line, "diff": change.diff, "verdict": verdict}
                for change, verdict in changes
            ]
        click.echo(as_json(report))
    else:
        _print(name, results, notes, took, verbose)
        if changes:
            _print_changes(name, changes, tests)
    sys.exit(0 if passed and not missed else 1)


def _needs_mutation() -> Any:
    """What tries changes; it needs a library that the kit does not."""
    try:
        return import_module("wsext.testing.mutation")
    except ModuleNotFoundError as error:
        fail(f"--mutate needs {error.name}: pip install 'wsext[mutate]'")


def _print_changes(name: str, changes: list[tuple[Any, Any]], tests: Path | None) -> None:
    """The changes that nothing notices, in the order of the lines, and how many there were."""
    console = output()
    counts = Counter(str(verdict) for _, verdict in changes)
    for change, verdict in sorted(changes, key=lambda item: (item[0].path, item[0].line)):
        if verdict == "missed":
            console.print(
                f"[red]not noticed[/]  {escape(change.path)}:{change.line}", soft_wrap=True
            )
            for line in change.diff.splitlines():
                console.print(f"      {escape(line)}", soft_wrap=True)
    by = f"the kit and {tests}" if tests else "the kit"
    parts = [f"{counts['noticed']} of {len(changes)} changes of the code were noticed by {by}"]
    parts += [f"{counts['missed']} were not"]
    parts += [f"{counts['endless']} never ended"] * bool(counts["endless"])
    parts += [f"{counts['None']} were not tried in time (--time-limit)"] * bool(counts["None"])
    console.print(f"{escape(name)}: {', '.join(parts)}", soft_wrap=True)


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
