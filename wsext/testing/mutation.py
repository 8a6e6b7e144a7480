"""Which changes of an extension's code no test notices: one change after the other.

For each change the conformance kit runs, and if it has noticed nothing, the tests that the package
brings along. The changes come from cosmic-ray, which makes of a text and a number a text with one
change. (mutmut and others write changed files and run pytest themselves.) Each one is tried in a
process of its own kind, so that one that never ends can be ended. Needs cosmic-ray and pytest:
``pip install 'wsext[mutate]'``.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import multiprocessing
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import reduce
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import find_spec, spec_from_file_location
from multiprocessing.connection import Connection
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator

from wsext.sdk.extension import Extension
from wsext.testing.engines import Engines
from wsext.testing.suite import Outcome, run, suite_for

__all__ = ["CodeChange", "Reaction", "changes_of", "modules_of", "tests_of", "try_changes"]

#: One replacement for each operator: all that there are would take ten times as long.
_OPERATORS = [
    *(
        f"core/ReplaceBinaryOperator_{pair}"
        for pair in (
            "Add_Sub", "Sub_Add", "Mul_Add", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "Pow_Mul",
            "LShift_RShift", "RShift_LShift", "BitOr_BitAnd", "BitAnd_BitOr", "BitXor_BitOr",
        )
    ),
    *(
        f"core/ReplaceComparisonOperator_{pair}"
        for pair in (
            "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is",
        )
    ),
    "core/ReplaceUnaryOperator_USub_UAdd",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ExceptionReplacer",
    "core/NumberReplacer",
    "core/ZeroIterationForLoop",
]  # fmt: skip

#: Seconds that a change may take beside five times the time of the unchanged code; one that takes
#: longer counts as endless.
PATIENCE = 2.0


class Reaction(StrEnum):
    """What the tests made of a change."""

    NOTICED = "noticed"
    MISSED = "missed"
    ENDLESS = "endless"


@dataclass(frozen=True)
class CodeChange:
    """One change of the code.

    Attributes:
        module: The module that is changed.
        path: Its file.
        line: The line that is changed.
        source: The whole text of the file with the change.
        diff: The change as a unified diff, without its heading.
    """

    module: str
    path: str
    line: int
    source: str
    diff: str


def modules_of(kind: Any) -> list[str]:
    """The modules whose code is changed: where the class of an extension stands, and those of its
    codecs, as far as they are of the same package."""
    kinds = list(kind.__mro__)
    if issubclass(kind, Extension):
        one = suite_for(kind, **kind.conformance)().make()
        with Engines([one], [one]) as engines:
            sides = (engines.on_client, engines.on_server)
            kinds += [
                cls for side in sides for item in side.agreed for cls in type(item.codec).__mro__
            ]
    package = _package(kind.__module__)
    return list(
        dict.fromkeys(cls.__module__ for cls in kinds if _package(cls.__module__) == package)
    )


def changes_of(module: str) -> Iterator[CodeChange]:
    """Every change of the bodies of a module's functions, in the order of the lines.

    Raises:
        OSError: If there is no source.
    """
    spec = find_spec(module)
    if spec is None or not spec.origin or not spec.origin.endswith(".py"):
        raise OSError(f"{module} has no source in Python that could be changed")
    source = Path(spec.origin).read_text(encoding="utf-8")
    bodies = [
        (node.body[0].lineno, node.end_lineno or 0)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    tree, found = get_ast(source), []
    for operator in [get_operator(name)() for name in _OPERATORS]:
        places = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
        for number, ((line, column), _) in enumerate(places):
            if any(first <= line <= last for first, last in bodies):
                found.append((line, column, operator, number))
    for line, _, operator, number in sorted(found, key=lambda item: item[:2]):
        changed = mutate_code(source, operator, number)
        if changed is not None and changed != source:
            yield CodeChange(module, spec.origin, line, changed, _diff(source, changed))


def tests_of(kind: Any) -> Path | None:
    """The folder with the tests of the package that a class is from.

    That is ``tests``, beside the ``pyproject.toml`` of what is installed in place (``pip install
    -e``). A wheel brings no tests along.
    """
    file = Path(sys.modules[kind.__module__].__file__ or "")
    for folder in file.parents:
        if folder.name in ("site-packages", "dist-packages"):
            break
        if (folder / "pyproject.toml").exists():
            return folder / "tests" if (folder / "tests").is_dir() else None
    return None


def try_changes(
    kind: Any, attributes: Mapping[str, Any], seconds: float, tests: Path | None = None
) -> Iterator[tuple[CodeChange, Reaction | None]]:
    """Run the kit on an extension with each of its changes, in an order that is mixed the same way
    in every run.

    Args:
        kind: The class, which has to be importable.
        attributes: Of the suite, besides those of ``conformance``.
        seconds: How long all of them may take together; those that are left get ``None``.
        tests: A folder of tests for pytest, which are run where the kit has noticed nothing.

    Raises:
        OSError: If there is no source.
        RuntimeError: If the unchanged code does not pass.
    """
    ends = time.monotonic() + seconds
    found = [change for module in modules_of(kind) for change in changes_of(module)]
    random.Random(0).shuffle(found)
    worker = _Worker(kind, attributes, tests)
    try:
        for change in found:
            left = ends - time.monotonic()
            yield change, worker.verdict(change, left) if left > 0 else None
    finally:
        worker.end()


class _Worker:
    """A process that runs the tests on changed code, and another one after one that never ends."""

    def __init__(self, kind: Any, attributes: Mapping[str, Any], tests: Path | None) -> None:
        self._arguments = (kind.__module__, kind.__qualname__, dict(attributes), tests)
        self._process: Any = None
        self._connection: Any = None
        self._limit = 0.0

    def verdict(self, change: CodeChange, left: float) -> Reaction | None:
        """What the tests say, or ``None`` if the time is over before it does."""
        if self._process is None:
            self._start()
        self._connection.send(change)
        if not self._connection.poll(min(self._limit, left)):
            self.end()
            return Reaction.ENDLESS if self._limit < left else None
        try:
            verdict: Reaction = self._connection.recv()
        except EOFError:  # the change has ended the process
            self.end()
            return Reaction.NOTICED
        return verdict

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, *self._arguments), name="wsext mutation", daemon=True
        )
        self._process.start()
        theirs.close()
        self._connection.recv()  # it has started
        started = time.monotonic()
        if self._connection.recv() is not Reaction.MISSED:
            module, name, _, tests = self._arguments
            which = f"the kit and {tests}" if tests else "the kit"
            raise RuntimeError(f"{module}.{name} does not pass {which} in a process of its own")
        self._limit = PATIENCE + 5 * (time.monotonic() - started)

    def end(self) -> None:
        """End the process, whatever it does."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._connection.close()
            self._process = None


def _work(
    connection: Connection, module: str, name: str, attributes: dict[str, Any], tests: Path | None
) -> None:
    """Run the tests for each change that comes; the case that has noticed most is tried first."""
    sys.stdout = sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    sys.dont_write_bytecode = True
    noticed: dict[str, int] = {}
    loader = _Changed()
    sys.meta_path.insert(0, loader)
    connection.send(None)
    while True:
        verdict, case = Reaction.MISSED, ""
        try:
            first = sorted(noticed, key=lambda name: -noticed[name])
            kind = reduce(getattr, name.split("."), importlib.import_module(module))
            for result in run(suite_for(kind, **{**kind.conformance, **attributes}), first=first):
                if result.outcome is Outcome.FAILED:
                    verdict, case = Reaction.NOTICED, result.name
                    break
            if not case and tests is not None and not _pass(tests):
                verdict = Reaction.NOTICED
        except BaseException:
            verdict = Reaction.NOTICED
        if case:
            noticed[case] = noticed.get(case, 0) + 1
        connection.send(verdict)
        loader.change = connection.recv()
        for loaded in [other for other in sys.modules if _package(other) == _package(module)]:
            del sys.modules[loaded]


def _pass(tests: Path) -> bool:
    """Whether pytest is content with a folder, in this process and without the options that its
    project sets: with ``-n`` for example, the tests would run in processes without the change."""
    for name, loaded in list(sys.modules.items()):  # what has imported the code before
        if tests in Path(getattr(loaded, "__file__", None) or "").parents:
            del sys.modules[name]
    os.environ.pop("PYTEST_ADDOPTS", None)
    os.chdir(tests.parent)
    code = pytest.main([str(tests), "-x", "-q", "-o", "addopts=", "-p", "no:cacheprovider"])
    return code in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)


class _Changed(MetaPathFinder):
    """Imports the changed text of a module in place of its file."""

    change: CodeChange | None = None

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if self.change is None or fullname != self.change.module:
            return None
        loader = _Text(fullname, self.change.path)
        loader.text = self.change.source
        return spec_from_file_location(fullname, self.change.path, loader=loader)


class _Text(SourceFileLoader):
    """Imports a text as if it stood in a file."""

    text = ""

    def get_code(self, fullname: str) -> CodeType:
        return self.source_to_code(self.text, self.path)  # and not what was compiled before


def _package(module: str) -> str:
    return module.partition(".")[0]


def _diff(before: str, after: str) -> str:
    lines = difflib.unified_diff(before.splitlines(), after.splitlines(), n=0, lineterm="")
    return "\n".join(line for line in list(lines)[2:] if not line.startswith("@@"))
