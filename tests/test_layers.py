"""The boundaries: what the lower layers may import, and what extensions may."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import wsext

ROOT = Path(__file__).parent.parent

#: From the top to the bottom; a layer imports itself and what is below.
LAYERS = [
    {"cli", "reference", "inspector", "__main__", "testing"},
    {"integrations"},
    {"config", "scaffold", "asyncapi"},
    {"supervisor", "worker"},
    {"server", "client", "accept", "limits", "access", "health", "http2"},
    {"app", "hub", "rooms", "presence", "outbox", "routing", "typed"},
    {"session", "channels", "link", "queues", "settings", "net", "backplanes"}
    | {"_path_py", "_queues_py", "_step_py"},
    {"formats"},
    {"sdk"},
    {"protocol"},
    {"errors"},
]

#: What `wsext.sdk` and `wsext.protocol` may not touch: they are Sans-I/O.
IO_MODULES = {"asyncio", "socket", "ssl", "selectors", "threading", "time", "uvloop"}


def python_files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*.py") if "tests" not in path.parts)


def imports(path: Path) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every imported module with the names taken from it, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield alias.name, ()
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield str(node.module), tuple(alias.name for alias in node.names)


def rank(module: str) -> int:
    if module.startswith("_") and module.endswith("_c"):
        module = module.removesuffix("c") + "py"  # a compiled twin ranks as its source
    for at, names in enumerate(LAYERS):
        if module in names:
            return at
    raise AssertionError(f"wsext.{module} is in no layer: add it to LAYERS")


@pytest.mark.parametrize(
    "path",
    python_files(ROOT / "wsext" / "protocol") + python_files(ROOT / "wsext" / "sdk"),
    ids=str,
)
def test_protocol_and_sdk_do_no_io(path: Path) -> None:
    modules = {module.split(".")[0] for module, _ in imports(path)}
    assert not modules & IO_MODULES


@pytest.mark.parametrize("path", python_files(ROOT / "wsext"), ids=str)
def test_imports_point_down(path: Path) -> None:
    relative = path.relative_to(ROOT / "wsext")
    if relative.name == "__init__.py" and len(relative.parts) == 1:
        return  # the table of public names
    own = rank(relative.parts[0].removesuffix(".py"))
    tree = ast.parse(path.read_text())
    lazy = {  # inside functions: broken cycles, such as `App.run`
        id(node) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) for node in ast.walk(f)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            lazy |= {id(inner) for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.ImportFrom) or id(node) in lazy:
            continue
        module = str(node.module)
        if module.startswith("wsext."):
            assert rank(module.split(".")[1]) >= own, f"{path} imports {module}"


EXTENSION_FILES = [
    path
    for folder in sorted((ROOT / "extensions").iterdir())
    if folder.is_dir()
    for path in python_files(folder / "src")
]


@pytest.mark.parametrize("path", EXTENSION_FILES, ids=str)
def test_extensions_use_only_public_names(path: Path) -> None:
    own = path.relative_to(ROOT / "extensions").parts[2]
    for module, names in imports(path):
        if module.split(".")[0] != "wsext":
            assert not module.startswith("wsext_") or module.split(".")[0] == own, module
            continue
        assert module == "wsext", f"{path} imports {module}, which is not public"
        for name in names:
            assert name in wsext.__all__, f"{path} imports {name}, which is not public"


def test_every_public_name_can_be_imported_and_has_a_docstring() -> None:
    for name in wsext.__all__:
        value = getattr(wsext, name)
        if name != "__version__":
            assert value.__doc__, name
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = wsext.nothing_here


def test_the_type_checkers_names_are_the_tables() -> None:
    tree = ast.parse((ROOT / "wsext" / "__init__.py").read_text())
    checked = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("wsext.")
        for alias in node.names
    }
    assert checked == set(wsext.__all__) - {"__version__"}


def test_public_modules_say_what_they_export() -> None:
    for path in python_files(ROOT / "wsext"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
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
