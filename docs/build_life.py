"""Writes the diagram and the table in ``life.md`` from `wsext.runtime.stages.LIFE`.

python docs/build_life.py [--check]
"""

from __future__ import annotations

import sys
from enum import Enum
from pathlib import Path

from wsext.runtime.stages import LIFE

PAGE = Path(__file__).with_name("life.md")

BEGIN = "<!-- begin: made by docs/build_life.py from wsext.runtime.stages.LIFE -->\n"
END = "<!-- end -->\n"

# What the table is made of, whatever its classes are called.
_Stage: type[Enum] = type(next(iter(LIFE))[0])
STAGES = list(_Stage)


def diagram() -> list[str]:
    """The stages and what leads from one to another; what changes nothing is left out."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (stage, happening), following in LIFE.items():
        if stage is not following:
            arrows.setdefault((stage.name, following.name), []).append(happening.value)
    lines = [f"    {one} --> {two}: {' / '.join(words)}" for (one, two), words in arrows.items()]
    first, last = STAGES[0].name, STAGES[-1].name
    head = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    return [*head, *lines, f"    {last} --> [*]", "```"]


def table() -> list[str]:
    """Every line of the table, in the order of the stages."""
    rows = sorted(LIFE.items(), key=lambda row: STAGES.index(row[0][0]))
    return [
        "| in this stage | when this happens | the next stage is |",
        "|---|---|---|",
        *(
            f"| {stage.name} | {happening.value} | {following.name} |"
            for (stage, happening), following in rows
        ),
    ]


def page(text: str) -> str:
    """The page with the part between the marks made again."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    made = "\n".join(["", *diagram(), "", *table(), "", ""])
    return before + BEGIN + made + END + after


def main() -> None:
    """Write the page, or say that it is old."""
    old = PAGE.read_text(encoding="utf-8")
    new = page(old)
    if "--check" in sys.argv:
        if old != new:
            sys.exit("docs/life.md is not what LIFE says: run python docs/build_life.py")
        return
    PAGE.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
