"""``python -m tests.chaos CASE``: break what can break, and say whether what is promised holds."""

from __future__ import annotations

import argparse
import os
import resource
import sys

from tests.chaos.cuts import cut

KINDS = ("plain", "tls", "deflate", "zstd", "seal")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("case", choices=["cuts"])
    parser.add_argument("--kind", default=",".join(KINDS), help="which connections, with commas")
    parser.add_argument("--workers", default="1,2", help="how many processes, with commas")
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--cuts", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=1, help="of what the network does")
    args = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    failed = 0
    for kind in args.kind.split(","):
        for workers in map(int, args.workers.split(",")):
            outcome = cut(kind, workers, args.sessions, args.cuts, args.seed)
            load = os.getloadavg()[0]
            print(f"{kind}, {workers} workers (load {load:.1f}): {outcome}", flush=True)
            for problem in outcome.wrong[:10]:
                print("    |", problem)
            failed += bool(outcome.wrong)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
