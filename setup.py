"""Builds the compiled twins of the hot path, if it can; everything else is in pyproject.toml.

``WSEXT_BUILD_CODEC=auto`` (the default) goes on without a compiler, ``yes`` fails without one,
``no`` does not try.

Every ``_NAME_py.py`` is one readable source with two lives: it runs as it is, and it is compiled
under the name ``_NAME_c`` with the types of ``_NAME_c.pxd``, so that both can be tested.
"""

import os
import re
from pathlib import Path

from setuptools import setup

CHOICE = os.environ.get("WSEXT_BUILD_CODEC", "auto")
if CHOICE not in ("auto", "yes", "no"):
    raise SystemExit(f"WSEXT_BUILD_CODEC is auto, yes or no, not {CHOICE!r}")

#: Modules that are C in all but syntax, and those that are made from a Python source.
LEAVES = ("wsext/_step", "wsext/protocol/_leaf")
TWINS = (
    "wsext/protocol/_frames",
    "wsext/protocol/_wire",
    "wsext/protocol/_pipeline",
    "wsext/protocol/_prepared",
    "wsext/protocol/_connection",
    "wsext/_queues",
    "wsext/_path",
)
BUILD = Path("build/cython")


def source_of(twin):
    """Write a twin's source under its second name, so that twins import twins.

    Some directives count only above the class itself, so those of the .pxd are put there.
    """
    text = Path(f"{twin}_py.py").read_text(encoding="utf-8").replace("_py import ", "_c import ")
    types = Path(f"{twin}_c.pxd").read_text(encoding="utf-8")
    for directives, name in re.findall(r"^((?:@cython\..+\n)+)cdef class (\w+)", types, re.M):
        text = re.sub(rf"^(?=class {name}\b)", f"{directives}@cython.cclass\n", text, flags=re.M)
    text = re.sub(r"^(from __future__ .+\n)", r"\1import cython\n", text, flags=re.M)
    target = BUILD / f"{twin}_c.py"
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.read_text(encoding="utf-8") != text:
        target.write_text(text, encoding="utf-8")
    return str(target)


def modules():
    """The extension modules; none when they are not wanted or Cython is not here."""
    if CHOICE == "no":
        return []
    try:
        from Cython.Build import cythonize
        from setuptools import Extension
    except ImportError:
        if CHOICE == "yes":
            raise
        return []
    fast = [] if os.name == "nt" else ["-O3"]
    sources = {leaf: f"{leaf}_c.pyx" for leaf in LEAVES}
    sources |= {twin: source_of(twin) for twin in TWINS}
    compiled = cythonize(
        [
            Extension(f"{name.replace('/', '.')}_c", [source], extra_compile_args=fast)
            for name, source in sources.items()
        ],
        build_dir=str(BUILD / "c"),
        include_path=["."],
        force=True,  # it does not see that a .pxd elsewhere has changed
        compiler_directives={
            "language_level": "3",
            "annotation_typing": False,
            "boundscheck": False,
            "wraparound": False,
        },
    )
    for module in compiled:
        module.optional = CHOICE == "auto"  # cythonize() forgets it
    return compiled


setup(ext_modules=modules())
