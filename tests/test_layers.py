"""The house: which room may import which, and what extensions may import."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

import wsext

ROOT = Path(__file__).parent.parent

#: From the top to the bottom. A file imports its own room and those below it.
ROOMS = (
    "__main__",
    "cli",
    "reference",
    "inspector",
    "scaffold",
    "testing",
    "integrations",
    "trio",
    "sync",
    "client",
    "server",
    "http2",
    "config",
    "app",
    "rooms",
    "rooms/backplanes",
    "runtime",
    "sdk",
    "protocol",
    "errors",
    "escape",
    "version",
    "compiled",
)

#: What `wsext.sdk` and `wsext.protocol` may not touch: they are Sans-I/O.
IO_MODULES = {"asyncio", "socket", "ssl", "selectors", "threading", "time", "uvloop"}


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "tests" not in path.parts)


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


FILES = {module_of(path): path for path in python_files(ROOT / "wsext")}

#: Where each public name is defined.
HOMES = {**wsext._HOMES, "__version__": "wsext.version"}


@cache
def tree_of(module: str) -> ast.Module:
    return ast.parse(FILES[module].read_text())


def room_of(module: str) -> str:
    inner = module.removeprefix("wsext.").replace(".", "/")
    rooms = [room for room in ROOMS if inner == room or inner.startswith(f"{room}/")]
    assert rooms, f"{module} is in no room: add it to ROOMS and to docs/house.md"
    return max(rooms, key=len)


def imports(tree: ast.AST) -> Iterator[tuple[str, tuple[str, ...], int]]:
    """Every imported module with the names taken from it and the line, wherever in the file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, (), node.lineno
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: relative import"
            yield str(node.module), tuple(alias.name for alias in node.names), node.lineno


def imported_files(module: str) -> Iterator[tuple[str, int]]:
    """The modules of wsext that a module imports: in functions and for type checkers, too, and
    those that it gives to `importlib.import_module`."""
    tree = tree_of(module)
    taken = set()
    for source, names, line in imports(tree):
        taken.update(names)
        if source != "wsext" and not source.startswith("wsext."):
            continue
        for name in names or ("",):
            inner = f"{source}.{name}"
            yield (
                inner if inner in FILES
                else HOMES[name] if source == "wsext" and name
                else source
            ), line  # fmt: skip
    if "import_module" in taken:
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and node.value in FILES.keys() - {"wsext"}:
                yield str(node.value), node.lineno


@cache
def graph() -> dict[str, dict[str, int]]:
    """The modules that each module imports, with the line; without the table of public names."""
    edges: dict[str, dict[str, int]] = {}
    for module in FILES:
        if module != "wsext":
            found = edges[module] = {}
            for target, line in imported_files(module):
                if target != module:
                    found.setdefault(target, line)
    return edges


def find_circles(edges: dict[str, dict[str, int]]) -> list[list[str]]:
    """One circle of every group of modules that import each other (Tarjan's algorithm)."""
    order: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    circles: list[list[str]] = []

    def visit(module: str) -> None:
        order[module] = low[module] = len(order)
        stack.append(module)
        for target in edges.get(module, ()):
            if target not in order:
                visit(target)
                low[module] = min(low[module], low[target])
            elif target in stack:
                low[module] = min(low[module], order[target])
        if low[module] == order[module]:
            at = stack.index(module)
            group = set(stack[at:])
            del stack[at:]
            if len(group) > 1:
                circles.append(walk(module, group))

    def walk(start: str, group: set[str]) -> list[str]:
        """The shortest way from a module back to itself."""
        ways = [[start]]
        for way in ways:
            for target in edges[way[-1]]:
                if target == start:
                    return way
                if target in group and target not in way:
                    ways.append([*way, target])
        raise AssertionError(group)

    for module in edges:
        if module not in order:
            visit(module)
    return circles


def test_imports_point_down() -> None:
    wrong = []
    for module, targets in graph().items():
        room = room_of(module)
        for target, line in targets.items():
            where = f"{FILES[module].relative_to(ROOT)}:{line}"
            if target == "wsext":
                wrong.append(f"{where} imports the table of public names itself")
            elif ROOMS.index(room_of(target)) < ROOMS.index(room):
                wrong.append(f"{where} imports {target}: {room_of(target)} is above {room}")
    assert not wrong, "\n".join(wrong)


def test_no_imports_form_a_circle() -> None:
    edges = graph()
    lines = [
        "\n  → ".join(
            f"{FILES[module].relative_to(ROOT)}:{edges[module][target]} imports {target}"
            for module, target in zip(circle, [*circle[1:], circle[0]], strict=True)
        )
        for circle in find_circles(edges)
    ]
    assert not lines, "\n".join(lines)


def test_the_test_finds_circles() -> None:
    edges = {"a": {"b": 1}, "b": {"c": 1, "d": 1}, "c": {"a": 1}, "d": {"e": 1}, "e": {}}
    assert [sorted(circle) for circle in find_circles(edges)] == [["a", "b", "c"]]
    assert find_circles({"a": {"b": 1}, "b": {}}) == []


def test_the_table_of_public_names_imports_nothing_but_what_it_needs() -> None:
    code = "import sys, wsext; print(*sorted(name for name in sys.modules if 'wsext.' in name))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["wsext.compiled", "wsext.version"]


#: Rooms whose public names are those of `wsext`, since they are used the same way.
TWINS = ("trio",)


def test_no_two_classes_share_a_name() -> None:
    where: dict[str, list[str]] = defaultdict(list)
    for module in FILES.keys() - {"wsext"}:
        tree = tree_of(module)
        views = {  # a class for type checkers is a second view of one that there is
            inner
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            for part in node.body
            for inner in ast.walk(part)
        }
        for node in ast.walk(tree):
            is_twin = room_of(module) in TWINS and getattr(node, "name", "") in HOMES
            if isinstance(node, ast.ClassDef) and node not in views and not is_twin:
                where[node.name].append(f"{FILES[module].relative_to(ROOT)}:{node.lineno}")
    clashes = [f"{name}: {', '.join(places)}" for name, places in where.items() if places[1:]]
    assert not clashes, "\n".join(clashes)


@pytest.mark.parametrize("room", ["protocol", "sdk"])
def test_protocol_and_sdk_do_no_io(room: str) -> None:
    for module in FILES:
        if module.startswith(f"wsext.{room}."):
            sources = {source.split(".")[0] for source, _, _ in imports(tree_of(module))}
            found = sources & IO_MODULES
            assert not found, f"{module} imports {found}"


# --- docs/house.md ----------------------------------------------------------------------------


def purposes() -> dict[str, str]:
    """The purpose of each room, as its docstring says it."""
    found = {}
    for room in ROOMS:
        module = "wsext." + room.replace("/", ".")
        docstring = ast.get_docstring(tree_of(module))
        assert docstring, module
        found[room] = docstring.partition("\n")[0]
    return found


def test_the_page_of_the_house_says_what_the_rooms_say() -> None:
    page = (ROOT / "docs" / "house.md").read_text()
    rows = re.findall(r"^\| `wsext/([\w/]+?)(?:/|\.py)` \| (.*) \|$", page, re.MULTILINE)
    wanted = {room: text.replace("``", "`") for room, text in purposes().items()}
    assert list(dict(rows)) == list(ROOMS)
    assert dict(rows) == wanted


# --- extensions -------------------------------------------------------------------------------

EXTENSION_FILES = [
    path
    for folder in sorted((ROOT / "extensions").iterdir())
    if folder.is_dir()
    for path in python_files(folder / "src")
]


@pytest.mark.parametrize("path", EXTENSION_FILES, ids=str)
def test_extensions_use_only_public_names(path: Path) -> None:
    own = path.relative_to(ROOT / "extensions").parts[2]
    for module, names, _ in imports(ast.parse(path.read_text())):
        if module.split(".")[0] != "wsext":
            assert not module.startswith("wsext_") or module.split(".")[0] == own, module
            continue
        assert module == "wsext", f"{path} imports {module}, which is not public"
        for name in names:
            assert name in wsext.__all__, f"{path} imports {name}, which is not public"


# --- public names -----------------------------------------------------------------------------


def test_every_public_name_can_be_imported_and_has_a_docstring() -> None:
    for name in wsext.__all__:
        value = getattr(wsext, name)
        if name != "__version__":
            assert value.__doc__, name
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = wsext.nothing_here


def test_the_type_checkers_names_are_the_tables() -> None:
    checked = {
        names[0]: source
        for source, names, _ in imports(tree_of("wsext"))
        if source.startswith("wsext.") and source != "wsext.version"
    }
    assert checked == wsext._HOMES


def test_public_modules_say_what_they_export() -> None:
    for module in FILES:
        if module.endswith("__main__"):
            continue
        loaded = importlib.import_module(module)
        assert loaded.__doc__, module
        for name in getattr(loaded, "__all__", ()):
            assert hasattr(loaded, name), f"{module}.{name}"


def test_importing_wsext_imports_almost_nothing() -> None:
    code = "import sys, wsext; print('asyncio' in sys.modules, 'werkzeug' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
