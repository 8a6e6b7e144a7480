"""``python -m tests.fuzz TARGET [--seconds N]``: search with coverage, and keep what is new.

It needs atheris (``pip install atheris``). The coverage is that of the Python sources, so the
compiled modules are not used. What is found is written to ``crash-…`` in the current folder; give
it back with ``--replay FILE``. At the end the corpus is reduced to what adds coverage;
``--minimise`` does only that.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=sorted(path.name for path in CORPUS.iterdir()))
    parser.add_argument("--seconds", type=int, default=60, help="how long to search (default 60)")
    parser.add_argument("--minimise", action="store_true", help="only reduce the corpus")
    parser.add_argument("--replay", type=Path, help="run the target on this file, and no more")
    parser.add_argument("--inside", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside is not None:
        search(args.target, args.inside)
    elif args.replay is not None:
        from tests.fuzz.targets import TARGETS

        TARGETS[args.target](args.replay.read_bytes())
    else:
        sys.exit(run(args.target, 0 if args.minimise else args.seconds))


def run(target: str, seconds: int) -> int:
    """Search in a process of its own, if for any time, then reduce the corpus in another."""
    known = CORPUS / target
    env = {**os.environ, "WSEXT_CODEC": "python"}
    with tempfile.TemporaryDirectory() as work:
        again = Path(work, "again")  # libFuzzer starts itself anew to reduce the corpus
        again.write_text(
            f"#!/bin/sh\nexec {sys.executable} -m tests.fuzz {target} --inside $0 $@\n"
        )
        again.chmod(0o755)
        inside = [sys.executable, "-m", "tests.fuzz", target, "--inside", str(again)]
        grown, kept = Path(work, "grown"), Path(work, "kept")
        grown.mkdir()
        kept.mkdir()
        code = 0
        if seconds:
            how = [f"-max_total_time={seconds}", "-max_len=512", "-timeout=20"]
            how += ["-rss_limit_mb=2048", "-print_final_stats=1", str(grown), str(known)]
            code = subprocess.run([*inside, *how], env=env).returncode
        if code == 0:
            how = ["-merge=1", "-max_len=512", str(kept), str(known), str(grown)]
            subprocess.run([*inside, *how], env=env, stderr=subprocess.DEVNULL, check=True)
            keep(sorted(kept.iterdir(), key=lambda path: path.stat().st_size), known)
    return code


def keep(found: list[Path], known: Path, at_most: int = 100) -> None:
    """Replace the corpus by the smallest inputs that add coverage."""
    seeds = {path.name: path.read_bytes() for path in known.glob("seed-*")}
    inputs = {path.name: path.read_bytes() for path in found}
    inputs = {name: data for name, data in inputs.items() if data not in seeds.values()}
    inputs = dict(list(inputs.items())[:at_most])
    for path in known.iterdir():
        path.unlink()
    for name, data in {**inputs, **seeds}.items():
        (known / name).write_bytes(data)
    print(f"{known.name}: {len(inputs)} inputs and {len(seeds)} seeds kept")


def search(target: str, arguments: list[str]) -> None:
    """Let libFuzzer drive the target."""
    import atheris

    mine = ["wsext", "wsext_deflate", "wsext_zstd", "wsext_brotli", "wsext_meta", "wsext_seal"]
    with atheris.instrument_imports(include=mine):
        from tests.fuzz.targets import TARGETS
    logging.getLogger("wsext").setLevel(logging.CRITICAL)
    atheris.Setup(arguments, TARGETS[target])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
