"""Compiles the fast modules in place, if it can, and makes sdists that can be built again to the
byte; everything else is in pyproject.toml.

``WSEXT_BUILD_CODEC=auto`` (the default) goes on without a compiler, ``yes`` fails without one,
``no`` does not try. `wsext.compiled` lists the modules and says how they are chosen.
"""

import gzip
import os
import runpy
import tarfile
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

CHOICE = os.environ.get("WSEXT_BUILD_CODEC", "auto")
if CHOICE not in ("auto", "yes", "no"):
    raise SystemExit(f"WSEXT_BUILD_CODEC is auto, yes or no, not {CHOICE!r}")


def source_of(module):
    """The file to compile: what is C in all but syntax has a ``.pyx`` beside its ``.py``."""
    path = Path(*module.split("."))
    return str(path.with_suffix(".pyx" if path.with_suffix(".pyx").exists() else ".py"))


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
    # -fno-plt: the hot path goes through many small functions of Python's library.
    fast = [] if os.name == "nt" else ["-O3", "-fno-plt"]
    names = runpy.run_path("wsext/compiled.py")["MODULES"]
    compiled = cythonize(
        [Extension(name, [source_of(name)], extra_compile_args=fast) for name in names],
        build_dir="build/cython",
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


class ReproducibleSdist(sdist):
    """An archive in which all times are ``SOURCE_DATE_EPOCH``, if that is set, and nobody is named.

    setuptools does as much for wheels, and not for sdists.
    """

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **owners):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if not epoch or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, **owners)

        def plain(entry):
            entry.mtime = int(epoch)
            entry.uid = entry.gid = 0
            entry.uname = entry.gname = ""
            entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
            return entry

        path = f"{base_name}.tar.gz"
        with (
            open(path, "wb") as file,
            gzip.GzipFile("", "wb", fileobj=file, mtime=int(epoch)) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
        ):
            archive.add(base_dir, filter=plain)
        return path


setup(
    ext_modules=modules(),
    cmdclass={"sdist": ReproducibleSdist},
    options={"build_ext": {"parallel": True}},  # one compiler per core
)
