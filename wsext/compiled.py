"""Whether the fast modules run compiled, or as the Python source that they are compiled from.

A fast module is one readable file, for example ``wire.py``, with its C types beside it in
``wire.pxd``. The build puts the compiled module next to it under the same name, and Python prefers
that one. ``WSEXT_CODEC=python`` runs the sources instead, ``c`` insists on the compiled modules,
and ``auto``, the default, takes them if all of them are there. `wsext` asks this module before any
of them is imported. What cannot be done is an `ImportError` of the first of them, so that the
command can say it in one line.
"""

import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, SourceFileLoader
from typing import Any

__all__ = ["CODEC", "MODULES", "PROBLEM", "Sources", "cython"]

#: The fast modules. ``setup.py`` compiles the same ones.
MODULES = (
    "wsext.protocol.frames",
    "wsext.protocol.leaf",
    "wsext.protocol.wire",
    "wsext.protocol.journal",
    "wsext.protocol.epochs",
    "wsext.protocol.joining",
    "wsext.protocol.stage",
    "wsext.protocol.stack",
    "wsext.protocol.pipeline",
    "wsext.protocol.prepared",
    "wsext.protocol.sending",
    "wsext.protocol.connection",
    "wsext.runtime.step",
    "wsext.runtime.drive",
    "wsext.runtime.inbox",
    "wsext.runtime.turns",
    "wsext.runtime.write_path",
    "wsext.runtime.session_path",
    "wsext.runtime.read_path",
    "wsext.integrations.asgi_path",
)

_FOLDER = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def _file(module: str) -> str:
    """The path of a module without its suffix."""
    return os.path.join(_FOLDER, *module.split("."))


class Sources:
    """Finds the Python sources of the fast modules, also where compiled modules stand beside them;
    an item of ``sys.meta_path``."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """As of an import system's finder."""
        if name not in MODULES:
            return None
        file = _file(name) + ".py"
        spec = ModuleSpec(name, SourceFileLoader(name, file), origin=file)
        spec.has_location = True
        return spec


def _unchanged(item: Any) -> Any:
    return item


class cython:
    """What decorates the fast modules' classes for the compiler, when Cython is not installed."""

    compiled = False
    cclass = final = no_gc = staticmethod(_unchanged)

    @staticmethod
    def freelist(size: int) -> Any:
        """The number of freed objects that are kept for the next ones."""
        return _unchanged


class _Refuses:
    """Refuses to find the fast modules; an item of ``sys.meta_path``."""

    @staticmethod
    def find_spec(name: str, path: object = None, target: object = None) -> None:
        """As of an import system's finder."""
        if name in MODULES:
            raise ImportError(PROBLEM)


def _choose() -> tuple[str, str]:
    choice = os.environ.get("WSEXT_CODEC", "auto")
    if choice not in ("auto", "c", "python"):
        return "", f"WSEXT_CODEC is auto, c or python, not {choice!r}"
    missing = [
        module
        for module in MODULES
        if not any(os.path.exists(_file(module) + suffix) for suffix in EXTENSION_SUFFIXES)
    ]
    if choice == "c" and missing:
        return "", f"WSEXT_CODEC=c, but {missing[0]} is not compiled: auto runs its source"
    return ("python" if choice == "python" or missing else "c"), ""


#: Which one it is, ``"c"`` or ``"python"``; and what is wrong with the choice, if it is neither.
CODEC, PROBLEM = _choose()
if CODEC != "c":
    sys.meta_path.insert(0, Sources if CODEC else _Refuses)
