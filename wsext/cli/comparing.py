"""Two sequences of answers, side by side: which are the same, differ, are missing, or are new."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

__all__ = ["Answer", "Pair", "align", "describe"]

#: How many answers of both sides are looked at for the next two that are the same.
_AHEAD = 50

#: How much of an answer is shown before and after the place where it differs.
_BEFORE, _AFTER = 12, 48


class Answer(NamedTuple):
    """What a server has sent: a message, or a Close frame.

    Attributes:
        kind: ``text``, ``binary``, ``pong`` or ``close``.
        payload: What is in it, of a recorded one as much as was recorded.
        size: Its bytes in all.
    """

    kind: str
    payload: bytes
    size: int

    def is_like(self, other: Answer) -> bool:
        """Whether both are the same, as far as it is known."""
        known = min(len(self.payload), len(other.payload))
        return (
            self.kind == other.kind
            and self.size == other.size
            and self.payload[:known] == other.payload[:known]
        )


#: A recorded answer and the one that has come in its place; ``None`` where there is none.
Pair: TypeAlias = "tuple[Answer | None, Answer | None]"


def align(recorded: Sequence[Answer], came: Sequence[Answer]) -> Iterator[Pair]:
    """Put each answer beside the recorded one that it stands for.

    Where two differ, the nearest two that are the same are looked for. What lies between differs,
    and what is left over on one side is missing, or new.
    """
    one, other = 0, 0
    while one < len(recorded) and other < len(came):
        ahead = _next_same(recorded[one : one + _AHEAD], came[other : other + _AHEAD])
        for step in range(max(ahead)):
            yield (
                recorded[one + step] if step < ahead[0] else None,
                came[other + step] if step < ahead[1] else None,
            )
        one, other = one + ahead[0], other + ahead[1]
        if one < len(recorded) and other < len(came):
            yield recorded[one], came[other]
            one, other = one + 1, other + 1
    yield from ((answer, None) for answer in recorded[one:])
    yield from ((None, answer) for answer in came[other:])


def _next_same(recorded: Sequence[Answer], came: Sequence[Answer]) -> tuple[int, int]:
    """How many answers of each side stand before two that are the same."""
    for steps in range(len(recorded) + len(came) - 1):
        for one in range(max(0, steps - len(came) + 1), min(steps + 1, len(recorded))):
            if recorded[one].is_like(came[steps - one]):
                return one, steps - one
    pairs = min(len(recorded), len(came))
    return pairs, pairs  # they have nothing in common


def describe(pair: Pair) -> list[str]:
    """Lines that show how two answers differ, around the first place where they do."""
    recorded, came = pair
    at = 0
    if recorded is not None and came is not None:
        same = zip(recorded.payload, came.payload, strict=False)
        shorter = min(len(recorded.payload), len(came.payload))
        at = next((at for at, (one, other) in enumerate(same) if one != other), shorter)
    marked = (("-", recorded), ("+", came))
    return [f"  {mark} {_show(answer, at)}" for mark, answer in marked if answer is not None]


def _show(answer: Answer, at: int) -> str:
    start = max(0, at - _BEFORE)
    piece = answer.payload[start : at + _AFTER]
    if answer.kind == "binary" or answer.kind == "pong":
        text = piece.hex(" ")
    elif answer.kind == "close":
        code = int.from_bytes(answer.payload[:2], "big")
        text = f"{code} {answer.payload[2:].decode('utf-8', 'replace')}".strip()
        return f"close {text if answer.payload else 'without a code'}"
    else:
        text = repr(piece.decode("utf-8", "replace"))
    before = "… " if start else ""
    after = " …" if start + len(piece) < answer.size else ""
    where = f" from byte {start}" if start else ""
    return f"{answer.kind}, {answer.size} bytes{where}: {before}{text}{after}"
