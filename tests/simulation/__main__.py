"""``python -m tests.simulation --seeds N``: run a random scenario with many seeds.

``--scenario sessions`` is two sessions that talk (`tests.simulation.general`); ``rooms`` is several
servers that share rooms over a broker which fails (`tests.simulation.rooms`).

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
from collections.abc import Callable
from random import Random

from tests.simulation import general, rooms
from tests.simulation.general import Program
from tests.simulation.rooms import Rooms
from wsext.testing import World, calm, mild, rough, simulate

#: Names of what the network may do to the connections of a run.
WEATHERS = {"calm": calm, "mild": mild, "rough": rough}
#: Findings that are shown in full.
_SHOWN = 5


#: Draws the program of a scenario.
SCENARIOS: dict[str, Callable[[Random], Program | Rooms]] = {
    "sessions": general.draw,
    "rooms": rooms.draw,
}


def run(program: Program | Rooms, seed: int) -> Counter[str]:
    """Run one program: how often it ended how.

    Raises:
        Exception: What was found.
    """

    async def scenario(world: World) -> Counter[str]:
        if isinstance(program, Rooms):
            return await rooms.play(world, program)
        outcome = await general.play(world, program, *program.sides())
        return Counter(["/".join(str(code) for code in outcome.codes.values()) or "refused"])

    return simulate(scenario, seed, weather=WEATHERS[program.weather])


def kind(error: BaseException) -> str:
    """What kind of finding it is: how its text begins, without numbers."""
    text = (str(error).splitlines() or [""])[0].partition(":")[0] or type(error).__name__
    return "".join("#" if char.isdigit() else char for char in text)


def smallest(program: Program | Rooms, seed: int, wanted: str) -> Program | Rooms:
    """The same finding with as few steps as possible."""
    while True:
        for candidate in program.simpler():
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
    parser.add_argument("--scenario", choices=SCENARIOS, default="sessions")
    args = parser.parse_args()
    draw = SCENARIOS[args.scenario]
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
            ends += run(draw(Random(seed)), seed)
        except Exception as error:
            found[kind(error)] += 1
            first.setdefault(kind(error), seed)
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
