"""Every call into an extension, failing in every way, on every front: the table of the docs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest

from tests.extensions import Asking
from tests.outcomes.faulty import LEGAL, NAME, SECRET, faulty, with_codec
from tests.outcomes.fronts import FRONTS, MESSAGE, Seen
from tests.outcomes.table import CALLS, FAULTS, markdown
from wsext import App, Frame, NegotiationError, OptionError, PluginError, Session
from wsext.testing import World, simulate

DOCS = Path(__file__).parent.parent.parent / "docs" / "outcomes.md"

#: What is written down in the table although no front has to run it.
_NOT_RUN = {"blocks"}

_SHARING = {"share_key", "can_share", "encode_shared", "skip_shared", "make_history"}
_SHARING.add("SharedHistory.encode")

#: Calls that a front never makes.
_NEVER = {
    "server": {"offers", "confirm"},
    "uvicorn": {"offers", "confirm"},
    "client": {"accept", *_SHARING},
    "websockets": {"offers", "confirm", *_SHARING},
    "trio server": {"offers", "confirm"},
    "trio client": {"accept", *_SHARING},
    "sync client": {"accept", *_SHARING},
}

#: Calls that may be asynchronous; in `websockets` nothing may be.
_ASYNCHRONOUS = {"accept", "confirm", "encode", "decode"}

#: The close codes that `websockets` has for what an extension raises.
_THEIRS = {"own": "1011", "1007": "1002"}

#: What a log tells as an error, and what not.
_SILENT = {"ignored", "own", "true", "false", "refused", "option"}

CASES = [
    (front, call, asynchronous)
    for front in FRONTS
    for call in CALLS
    if call not in _NEVER[front]
    for asynchronous in (False, True)
    if not asynchronous or (call in _ASYNCHRONOUS and front != "websockets")
]


@pytest.mark.parametrize(("front", "call", "asynchronous"), CASES)
def test_what_happens_is_what_the_table_says(
    front: str, call: str, asynchronous: bool, caplog: pytest.LogCaptureFixture
) -> None:
    for kind, expected in zip(FAULTS, CALLS[call], strict=True):
        if expected in _NOT_RUN or (kind == "never returns" and not asynchronous):
            continue
        caplog.clear()
        if expected in ("refused", "option"):
            _check_refused(call, kind, OptionError if expected == "option" else PluginError)
            continue
        if expected == "codeless":
            expected = "failed" if "client" in front else "declined"
        extension = faulty(call, kind, asynchronous=asynchronous)
        item: Any = extension if front == "websockets" else extension()
        seen = FRONTS[front](item)
        shown = _THEIRS.get(expected, expected) if front == "websockets" else expected
        _check(seen, shown, f"{front}, {call}, {kind}: {seen}")
        _check_log(caplog.records, expected)
        if front != "websockets":
            assert item.made == item.closed, f"{front}, {call}, {kind}"


def _check_refused(call: str, kind: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=r"x-faulty|Options") as caught:
        faulty(call, kind)()
    if error is PluginError:
        assert "its option set failed" in str(caught.value) or "setup() failed" in str(caught.value)


def _check(seen: Seen, expected: str, what: str) -> None:
    assert SECRET.encode() not in seen.wire, what
    if expected == "unoffered":
        assert isinstance(seen.raised, NegotiationError), what
        assert not seen.wire, what
        return
    if expected == "failed":
        assert isinstance(seen.raised, NegotiationError), what
        assert seen.close == (1011, ""), what
        return
    assert seen.status == 101, what
    assert seen.raised is None, what
    assert seen.agreed == (expected != "declined"), what
    assert seen.close is not None, what
    code, reason = seen.close
    if expected == "own":
        assert (code, reason) == LEGAL, what
    elif expected in ("1002", "1007", "1011"):
        assert code == int(expected), what
        words = ("", "extension failed", "message cannot be decoded")  # `websockets` has none
        assert reason in words, what
    else:
        assert code == 1000, what
        assert seen.echoed == [MESSAGE], what


def _check_log(records: list[logging.LogRecord], expected: str) -> None:
    told = [record for record in records if record.name == "wsext.extensions"]
    errors = [record for record in told if record.levelno == logging.ERROR]
    if expected in _SILENT or (expected == "alone" and not errors):
        assert not errors
        return
    (error,) = errors
    text = error.getMessage()
    assert f"extension {NAME}: " in text
    assert "(from tests.outcomes.faulty)" in text
    assert text.startswith(("session ", "handshake, "))
    assert error.exc_info is not None


def _spoil(codec: Any, frame: Frame, *budget: int) -> Frame:
    frame.payload = "hunter2"  # type: ignore[assignment]
    return frame


@pytest.mark.parametrize("front", [name for name in FRONTS if name != "websockets"])
@pytest.mark.parametrize("call", ["encode", "decode"])
@pytest.mark.parametrize(
    "act", [_spoil, lambda codec, frame, *budget: Frame(9, bytes(200))], ids=["text", "long ping"]
)
def test_what_must_not_travel_fails_the_connection_with_1011(
    act: Any, call: str, front: str, caplog: pytest.LogCaptureFixture
) -> None:
    seen = FRONTS[front](with_codec(**{call: act})())
    _check(seen, "1011", f"{front}, {call}: {seen}")
    _check_log(caplog.records, "1011")


def _fail(*arguments: Any) -> Any:
    raise RuntimeError(SECRET)


@pytest.mark.parametrize("front", [name for name in FRONTS if name != "websockets"])
@pytest.mark.parametrize(
    "members",
    [
        {"encode": None},
        {"mandatory": property(_fail)},
        {"__getattr__": _fail},
        {"encoded_bound": lambda codec, size: 10**30},
        {"encoded_bound": lambda codec, size: -1},
    ],
    ids=["no encode", "mandatory", "every other attribute", "huge bound", "bound below 0"],
)
def test_a_codec_that_cannot_be_used_is_closed_and_never_used(
    members: dict[str, Any], front: str, caplog: pytest.LogCaptureFixture
) -> None:
    extension = with_codec(**members)()
    seen = FRONTS[front](extension)
    _check(seen, "failed" if "client" in front else "declined", f"{front}: {seen}")
    _check_log(caplog.records, "declined")
    assert extension.made == extension.closed


class Patient(Asking):
    """Takes its time, and less than the deadline."""

    name = NAME
    seconds = 4.0


@pytest.mark.parametrize("front", ["server", "uvicorn"])
def test_a_server_waits_for_who_negotiates_asynchronously(front: str) -> None:
    seen = FRONTS[front](Patient())
    assert seen.agreed
    assert (seen.echoed, seen.close) == ([MESSAGE], (1000, ""))


def test_a_client_waits_for_it_too_and_reads_afterwards_what_came_meanwhile() -> None:
    async def greet(session: Session) -> None:
        await session.send("hello")

    async def scenario(world: World) -> None:
        app = App()
        app.install(Patient)
        app.websocket("/")(greet)
        running = await world.serve(app)
        async with world.connect(running, extensions=[Patient]) as session:
            assert session.extension(NAME)
            assert await session.receive() == "hello"

    simulate(scenario)


def test_the_docs_have_the_table() -> None:
    assert markdown() in DOCS.read_text()
