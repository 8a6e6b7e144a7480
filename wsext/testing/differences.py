"""Where two messages differ, in a sentence for whoever has to find the fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

__all__ = ["check_same", "difference"]

Data: TypeAlias = str | bytes

#: How much of a message is shown before and after the place where it differs.
_AROUND = 12


def check_same(sent: Sequence[Data], got: Sequence[Data], where: str = "") -> None:
    """Check that messages came out as they went in.

    Raises:
        AssertionError: If they did not; it says where the first difference is, and begins with
            ``where``.
    """
    for expected, came in zip(sent, got, strict=False):
        if type(expected) is not type(came) or expected != came:
            raise AssertionError(where + difference(expected, came))
    if len(sent) != len(got):
        rest = sent[len(got) :] or got[len(sent) :]
        what = "is missing" if len(got) < len(sent) else "came, and nobody sent it"
        raise AssertionError(
            f"{where}{len(sent)} messages were sent and {len(got)} came: {_show(rest[0])} {what}"
        )


def difference(sent: Data, got: Data) -> str:
    """How a message differs from what was sent: the first place, and both sides around it."""
    if isinstance(sent, str) != isinstance(got, str):
        was, came = ("text" if isinstance(data, str) else "binary" for data in (sent, got))
        return f"{_show(sent)} was sent as {was} and came as {came}: {_show(got)}"
    same = zip(sent, got, strict=False)
    at = next(
        (at for at, (one, other) in enumerate(same) if one != other), min(len(sent), len(got))
    )
    unit = "characters" if isinstance(sent, str) else "bytes"
    return (
        f"{len(sent)} {unit} were sent and {len(got)} came; they differ first at offset {at}: "
        f"sent {_around(sent, at)}, came {_around(got, at)}"
    )


def _around(data: Data, at: int) -> str:
    start, end = max(0, at - _AROUND), at + _AROUND
    before = "…" if start else ""
    if at >= len(data):
        return f"{before}{data[start:at]!r} and then its end"
    return f"{before}{data[start:end]!r}{'…' if end < len(data) else ''}"


def _show(data: Data) -> str:
    return repr(data) if len(data) <= 2 * _AROUND else f"{data[: 2 * _AROUND]!r}…"
