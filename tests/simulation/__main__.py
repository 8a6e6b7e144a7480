"""``python -m tests.simulation --seeds N``: run the random scenario with many seeds.

It prints how many cases there were, how they ended, and what was found. ``--seed S`` runs one and
shows everything about it. A finding is made smaller before it is shown: steps are left out as long
as it stays.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
import traceback
from collections import Counter
from random import Random

from tests.simulation.general import Outcome, Program, draw, play, simpler
from wsext.testing import World, calm, mild, rough, simulate

#: Names of what the network may do to the connections of a run.
WEATHERS = {"calm": calm, "mild": mild, "rough": rough}
#: Findings that are shown in full.
_SHOWN = 5


def run(program: Program, seed: int) -> Outcome:
    """Run one program.

    Raises:
        Exception: What was found.
    """

    async def scenario(world: World) -> Outcome:
        return await play(world, program, *program.sides())

    return simulate(scenario, seed, weather=WEATHERS[program.weather])


def kind(error: BaseException) -> str:
    """What kind of finding it is: how its text begins, without numbers."""
    text = (str(error).splitlines() or [""])[0].partition(":")[0] or type(error).__name__
    return "".join("#" if char.isdigit() else char for char in text)


def smallest(program: Program, seed: int, wanted: str) -> Program:
    """The same finding with as few steps as possible."""
    while True:
        for candidate in simpler(program):
            try:
                run(candidate, seed)
            except Exception as error:
                if kind(error) == wanted:
                    program = candidate
                    break
        else:
            return program


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000, help="how many (default 1000)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default 0)")
    parser.add_argument("--seed", type=int, help="only this one")
    args = parser.parse_args()
    logging.getLogger("wsext").setLevel(logging.ERROR)
    chosen = range(args.first, args.first + args.seeds)
    if args.seed is not None:
        chosen = range(args.seed, args.seed + 1)
    found: Counter[str] = Counter()
    first: dict[str, int] = {}
    ends: Counter[str] = Counter()
    started = time.perf_counter()
    for seed in chosen:
        try:
            outcome = run(draw(Random(seed)), seed)
        except Exception as error:
            found[kind(error)] += 1
            first.setdefault(kind(error), seed)
        else:
            ends["/".join(str(code) for code in outcome.codes.values()) or "refused"] += 1
    seconds = time.perf_counter() - started
    print(f"{len(chosen)} cases in {seconds:.1f} s, {sum(found.values())} with findings")
    print("ends:", ", ".join(f"{end}: {count}" for end, count in ends.most_common(12)))
    for text, count in found.most_common():
        print(f"\n{count} times, first with seed {first[text]}: {text}")
    for text, _ in found.most_common(_SHOWN):
        seed = first[text]
        program = smallest(draw(Random(seed)), seed, text)
        print(f"\n--- seed {seed}, made smaller: {program}")
        try:
            run(program, seed)
        except Exception:
            traceback.print_exc(file=sys.stdout)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
