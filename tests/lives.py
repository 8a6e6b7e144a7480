"""The two lives of the fast modules, side by side in one process."""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from types import ModuleType
from typing import Any

import pytest

from wsext.compiled import CODEC, MODULES, Sources

__all__ = ["compiled", "sources"]


def _forget(modules: dict[str, ModuleType | None]) -> None:
    """Have ``sys.modules`` and the packages' attributes say this of the fast modules."""
    for name, module in modules.items():
        parent, _, own = name.rpartition(".")
        if module is None:
            sys.modules.pop(name, None)
        else:
            sys.modules[name] = module
            setattr(sys.modules[parent], own, module)


@cache
def _sources() -> dict[str, ModuleType]:
    for package in {name.rpartition(".")[0] for name in MODULES}:
        importlib.import_module(package)
    before: dict[str, ModuleType | None] = {name: sys.modules.get(name) for name in MODULES}
    _forget(dict.fromkeys(MODULES))
    sys.meta_path.insert(0, Sources)  # type: ignore[arg-type]
    try:
        return {name: importlib.import_module(name) for name in MODULES}
    finally:
        sys.meta_path.remove(Sources)  # type: ignore[arg-type]
        _forget(before)


def sources(name: str) -> Any:
    """A fast module as its Python source, for example ``wsext.protocol.wire``; a second copy of it
    when the compiled one runs."""
    return _sources()[name] if CODEC == "c" else importlib.import_module(name)


def compiled(name: str) -> Any:
    """A fast module as it was compiled; the test is skipped without it, except in CI."""
    if CODEC == "c":
        return importlib.import_module(name)
    if os.environ.get("CI") and os.environ.get("WSEXT_CODEC") != "python":
        pytest.fail("the fast modules are not compiled, and CI must test them")
    pytest.skip("the compiled modules do not run here")
