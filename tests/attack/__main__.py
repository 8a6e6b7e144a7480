"""``python -m tests.attack``: attack, measure, and say whether what is promised holds."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys

import pytest

from tests.attack import report
from tests.attack.fronts import FRONTS
from tests.attack.registry import Attack, load
from tests.attack.running import Result, bystanders, run
from tests.attack.soak import soak


def chosen(only: str, fronts: list[str]) -> list[tuple[Attack, str]]:
    """The attacks with ``only`` in their name, on each of the fronts that they apply to."""
    return [
        (attack, front)
        for attack in load().values()
        if only in attack.name
        for front in attack.fronts
        if front in fronts
    ]


def attack_all(
    attacks: list[tuple[Attack, str]], seconds: float | None, rest: float, lines: int
) -> list[Result]:
    """Run one after the other, each with a server of its own."""
    results = []
    print(report.HEAD, flush=True)
    for number, (attack, front) in enumerate(attacks):
        if sys.stderr.isatty():
            sys.stderr.write(f"\r\x1b[K{number + 1}/{len(attacks)} {front}: {attack.name}")
        try:
            with bystanders(attack, front) as around:
                how = {"seconds": seconds or attack.seconds, "rest": rest}
                result = asyncio.run(run(attack, front, around, **how))
        except pytest.skip.Exception as error:  # a broker that is not installed
            print(f"{front:8} {attack.name:58.58} skipped: {error}")
            continue
        if sys.stderr.isatty():
            sys.stderr.write("\r\x1b[K")
        print(report.line(result), flush=True)
        for said in result.said[:lines]:
            print("    |", said)
        results.append(result)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.attack", description=__doc__)
    parser.add_argument("--list", action="store_true", help="say which attacks there are")
    parser.add_argument("--only", default="", metavar="TEXT", help="those with it in their name")
    usual = ",".join(name for name, front in FRONTS.items() if not front.trio)
    parser.add_argument("--front", default=usual, help="which fronts, with commas; also trio")
    parser.add_argument("--seconds", type=float, help="how long each attack goes on")
    parser.add_argument("--quick", action="store_true", help="rest only until all is as before")
    parser.add_argument("--log", type=int, default=0, metavar="N", help="show N lines of each log")
    parser.add_argument("--write", action="store_true", help="put the table into SECURITY.md")
    parser.add_argument("--soak", type=float, metavar="MINUTES", help="mixed load for so long")
    args = parser.parse_args()
    fronts = args.front.split(",")
    if unknown := set(fronts) - set(FRONTS):
        parser.error(f"no front is called {', '.join(unknown)}; there are {', '.join(FRONTS)}")
    attacks = chosen(args.only, fronts)
    if not attacks:
        parser.error("no attack is like that; --list shows all")
    if args.list:
        for attack in dict.fromkeys(attack for attack, _ in attacks):
            on = ", ".join(front for other, front in attacks if other is attack)
            print(f"{attack.name}\n    against: {attack.promise}\n    on: {on}")
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that all processes are ended
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if args.soak:
        return 0 if soak(args.soak) else 1
    results = attack_all(attacks, args.seconds, 0.0 if args.quick else 5.0, args.log)
    failed = [result for result in results if not result.holds]
    print(f"{len(results) - len(failed)} of {len(results)} hold")
    if args.write:
        report.write(results)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read the output has gone, for example `head`. What is left of it cannot be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)
