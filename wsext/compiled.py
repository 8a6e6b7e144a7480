"""Which twin of the hot path runs: the compiled one when it was built, else its Python source.

``WSEXT_CODEC=python`` takes the source, ``c`` insists on the compiled twin, ``auto`` is the
default. Every ``_NAME_c`` is made from ``_NAME_py.py``; all of them are taken, or none.
"""

from __future__ import annotations

import importlib
import os

__all__ = ["CODEC"]


def _choose() -> str:
    choice = os.environ.get("WSEXT_CODEC", "auto")
    if choice not in ("auto", "c", "python"):
        raise ImportError(f"WSEXT_CODEC is auto, c or python, not {choice!r}")
    if choice != "python":
        try:
            importlib.import_module("wsext._path_c")  # which imports all the others
        except ImportError:
            if choice == "c":
                raise
        else:
            return "c"
    return "python"


#: Which one it is: ``"c"`` or ``"python"``.
CODEC = _choose()
