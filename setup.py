"""Builds the compiled twin of the wire codec, if it can; everything else is in pyproject.toml.

``WSEXT_BUILD_CODEC=auto`` (the default) goes on without a compiler, ``yes`` fails without one,
``no`` does not try.
"""

import os

from setuptools import setup

CHOICE = os.environ.get("WSEXT_BUILD_CODEC", "auto")
if CHOICE not in ("auto", "yes", "no"):
    raise SystemExit(f"WSEXT_BUILD_CODEC is auto, yes or no, not {CHOICE!r}")


def twins():
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
    modules = cythonize(
        [
            Extension("wsext.protocol._mask_c", ["wsext/protocol/_mask_c.pyx"]),
            # One readable source, compiled under a second name, so that both can be tested.
            Extension("wsext.protocol._wire_c", ["wsext/protocol/_wire_py.py"]),
        ],
        build_dir="build/cython",
        compiler_directives={
            "language_level": "3",
            "annotation_typing": False,
            "boundscheck": False,
            "wraparound": False,
        },
    )
    for module in modules:
        module.optional = CHOICE == "auto"  # cythonize() forgets it
    return modules


setup(ext_modules=twins())
