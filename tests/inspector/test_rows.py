"""What a page's table tells of a session, which sessions it shows, and in which order."""

from __future__ import annotations

from typing import Any

import pytest

from wsext import CloseInfo
from wsext.inspector.rows import End, Row, Traffic, View


def row(id: str, **values: Any) -> Row:
    """A session that is open, unless the values say more."""
    usual = {
        "name": id, "path": "/", "remote": "127.0.0.1:1", "subprotocol": None, "extensions": [],
        "age": 1.0, "latency": None, "connected": True, "resumptions": 0,
        "incoming": Traffic(), "outgoing": Traffic(),
    }  # fmt: skip
    return Row(id, **{**usual, **values})


ROWS = [
    row("s1", name="Ada", path="/chat", extensions=["permessage-zstd"], age=30),
    row("s2", path="/Echo", remote="10.0.0.7:99", age=20, outgoing=Traffic(9, 100, 20)),
    row("s3", subprotocol="soap", connected=False, age=10, incoming=Traffic(3, 10, 10)),
    row("s4", age=5, end=End.of(CloseInfo(remote=(1001, "")))),
]


@pytest.mark.parametrize(
    ("view", "expected"),
    [
        (View(), "s4 s3 s2 s1"),
        (View(descending=True), "s1 s2 s3 s4"),
        (View(text="ada"), "s1"),
        (View(text="echo"), "s2"),
        (View(text="10.0.0.7"), "s2"),
        (View(text="SOAP"), "s3"),
        (View(text="zstd"), "s1"),
        (View(text="s4"), "s4"),
        (View(text="nothing is called like that"), ""),
        (View(state="open"), "s2 s1"),
        (View(state="detached"), "s3"),
        (View(state="ended"), "s4"),
        (View(extension="permessage-zstd"), "s1"),
        (View(extension="permessage"), ""),
        (View(sort="in", descending=True, state="detached"), "s3"),
        (View(sort="out", descending=True), "s2 s1 s3 s4"),
        (View(sort="wire", descending=True), "s3 s2 s1 s4"),
        (View(sort="state"), "s3 s4 s1 s2"),
        (View(sort="peer"), "s2 s1 s3 s4"),
        (View(sort="extensions", descending=True), "s1 s2 s3 s4"),
        (View(sort="path", text="127"), "s3 s4 s1"),
    ],
)
def test_a_view_finds_and_orders(view: View, expected: str) -> None:
    assert " ".join(found.id for found in view.of(ROWS)) == expected


def test_only_the_view_that_nobody_has_touched_takes_the_newest() -> None:
    assert View().takes_newest
    assert not View(text="x").takes_newest
    assert not View(descending=True).takes_newest


def test_an_end_says_who_began_it() -> None:
    assert End.of(CloseInfo(remote=(4000, "bye"))).by == "client"
    assert End.of(CloseInfo(local=(1001, ""), local_first=True)).by == "server"
    end = End.of(CloseInfo(exception=ConnectionResetError("a secret")))
    assert (end.by, end.code, end.error) == ("nobody", 1006, "ConnectionResetError")
