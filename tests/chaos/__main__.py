"""``python -m tests.chaos CASE``: break what can break, and say whether what is promised holds."""

from __future__ import annotations

import argparse
import os
import resource
import sys
from collections.abc import Iterator

from tests.chaos.cuts import cut
from tests.chaos.kill import FAULTS, kill
from tests.chaos.resumptions import wait_beside

KINDS = ("plain", "tls", "deflate", "zstd", "seal")


def cuts(args: argparse.Namespace) -> Iterator[tuple[str, object, list[str]]]:
    for kind in (args.kind or ",".join(KINDS)).split(","):
        for workers in map(int, args.workers.split(",")):
            outcome = cut(kind, workers, args.sessions, args.cuts, args.seed)
            yield f"{kind}, {workers} workers", outcome, outcome.wrong


def kills(args: argparse.Namespace) -> Iterator[tuple[str, object, list[str]]]:
    for kind in (args.kind or "redis,nats").split(","):
        for fault in FAULTS:
            if args.only in fault:
                cell = kill(fault, kind, args.sessions, 20, times=3, each=200)
                yield f"{kind}, {fault}", cell, cell.wrong


def resumptions(args: argparse.Namespace) -> Iterator[tuple[str, object, list[str]]]:
    waits = wait_beside(args.rate, args.messages, args.seconds)
    yield f"{args.rate} resumptions and {args.messages} messages a second", waits, waits.wrong


CASES = {"cuts": cuts, "kill": kills, "resumptions": resumptions}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--kind", help="which connections or brokers, with commas")
    parser.add_argument("--only", default="", metavar="TEXT", help="faults with it in their name")
    parser.add_argument("--workers", default="1,2", help="how many processes, with commas")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--rate", type=int, default=100, help="resumptions in a second")
    parser.add_argument("--messages", type=int, default=4000, help="in a second, beside them")
    parser.add_argument("--seconds", type=float, default=60, help="of each measurement")
    parser.add_argument("--seed", type=int, default=1, help="of what the network does")
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    failed = 0
    for name, outcome, wrong in CASES[args.case](args):
        print(f"{name} (load {os.getloadavg()[0]:.1f}): {outcome}", flush=True)
        for problem in wrong[:10]:
            print("    |", problem, flush=True)
        failed += bool(wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
