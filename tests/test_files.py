"""Where tests stand, ``wsext/A/b.py`` in ``tests/A/test_b.py``, and what they leave alone."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(
    path.relative_to(ROOT / "wsext").as_posix()
    for path in (ROOT / "wsext").rglob("*.py")
    if path.name not in ("__init__.py", "__main__.py")
)

#: Modules that only declare something, and what: there is no behaviour to test.
DECLARATIONS = {
    "app/settings.py": "an option set",
    "protocol/contract.py": "a Protocol and the shapes of what the pipeline calls",
    "rooms/ports.py": "a Protocol",
    "rooms/settings.py": "an option set",
    "runtime/ports.py": "Protocols",
    "runtime/stats.py": "a record",
    "runtime/timers.py": "a Protocol",
    "trio/ports.py": "Protocols",
    "version.py": "a number",
}


def file_of(module: str) -> Path:
    """Where the tests of a module stand."""
    path = Path(module)
    return ROOT / "tests" / path.parent / f"test_{path.name}"


@pytest.mark.parametrize("module", [name for name in MODULES if name not in DECLARATIONS])
def test_every_module_has_a_test_file_of_its_name(module: str) -> None:
    path = file_of(module)
    assert path.exists(), f"wsext/{module} has no {path.relative_to(ROOT)}"
    tests = re.search(r"^ *((async )?def )?test_", path.read_text(), re.MULTILINE)
    assert tests, f"{path.relative_to(ROOT)} has no test"


@pytest.mark.parametrize("module", DECLARATIONS)
def test_what_has_no_test_file_does_nothing(module: str) -> None:
    assert not file_of(module).exists(), f"wsext/{module} is tested: take it off the list"
    for node in ast.walk(ast.parse((ROOT / "wsext" / module).read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            (body,) = node.body  # a docstring, or three dots
            assert isinstance(body, ast.Expr), f"wsext/{module}: {node.name} does something"
            assert isinstance(body.value, ast.Constant)


TESTS = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in ("tests", "examples", *ROOT.glob("extensions/*/tests"))
    for path in (ROOT / folder).rglob("*.py")
)


def private_attributes(tree: ast.AST) -> list[str]:
    """Private attributes of anything but the object itself."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not node.attr.isupper()  # a table that a test checks
        and ast.unparse(node.value) not in ("self", "cls", "super()")
    ]


@pytest.mark.parametrize("path", TESTS)
def test_tests_use_no_private_attributes(path: str) -> None:
    found = private_attributes(ast.parse((ROOT / path).read_text()))
    assert not found, "\n".join(found)


def test_the_test_finds_private_attributes() -> None:
    tree = ast.parse("session._link._write = 1\nself._x = wsext._HOMES\nkind.__name__")
    assert private_attributes(tree) == [
        "line 1: session._link._write",
        "line 1: session._link",
    ]
