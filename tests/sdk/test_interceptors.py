"""Interceptors as the pipeline calls them: what they may return, and what a fault leads to."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest

from wsext import (
    EndSession,
    Frame,
    Interceptor,
    LocalProtocolError,
    PluginError,
    ProtocolError,
    RemoteProtocolError,
    hookimpl,
)
from wsext.protocol.pipeline import Pipeline
from wsext.sdk.installed import Installed

LIMIT = 1000


class OnFrames(Interceptor):
    """Does what the test says with every frame that comes."""

    name: ClassVar[str] = "on-frames"
    act: Callable[[Frame], Any]
    calls = 0

    @hookimpl
    def wsext_frame_received(self, session: Any, frame: Frame) -> Any:
        self.calls += 1
        return self.act(frame)


class OnMessages(Interceptor):
    """Does what the test says with every message, in both directions."""

    name: ClassVar[str] = "on-messages"
    act: Callable[[str | bytes], Any]
    calls = 0

    @hookimpl
    def wsext_message_received(self, session: Any, message: str | bytes) -> Any:
        self.calls += 1
        return self.act(message)

    @hookimpl
    def wsext_message_sending(self, session: Any, message: str | bytes) -> Any:
        return self.act(message)


class Closed(OnMessages):
    name: ClassVar[str] = "closed"
    fail_closed = True


class ClosedOnFrames(OnFrames):
    name: ClassVar[str] = "closed-on-frames"
    fail_closed = True


KINDS = (OnFrames, OnMessages)
CLOSED = (ClosedOnFrames, Closed)


def acting(kind: type[Any], act: Callable[[Any], Any]) -> Any:
    one = kind()
    one.act = act
    return one


def pipeline_of(*items: Any) -> Pipeline:
    installed = Installed()
    for item in items:
        installed.install(item)
    pipeline = Pipeline(max_message_size=LIMIT)
    installed.set_frame_hooks(None, pipeline)
    return pipeline


def raising(error: BaseException) -> Callable[[Any], Any]:
    def act(what: Any) -> Any:
        raise error

    return act


def frames() -> Iterator[Any]:
    yield Frame(1, b"one")
    yield "two"


FAULTS = [
    raising(RuntimeError("broken")),
    raising(RemoteProtocolError(1002, "what only a codec may raise")),
    raising(EndSession(1005)),
    raising(EndSession(1006)),
    raising(EndSession(99999)),
    raising(EndSession(4000, "\ud800")),
    raising(EndSession(4000, 5)),  # type: ignore[arg-type]
    raising(SystemExit(3)),
    raising(KeyboardInterrupt()),
    raising(asyncio.CancelledError()),
    raising(GeneratorExit()),
    lambda what: 5,
    lambda what: True,
    lambda what: [b"bytes"],
    lambda what: {},
    lambda what: asyncio.sleep(0),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fault_is_isolated_and_after_three_the_hook_is_left_out(
    kind: Any, fault: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    one = acting(kind, fault)
    pipeline = pipeline_of(one)
    for number in range(5):
        frame = Frame(1, b"%d" % number)
        assert pipeline.decode(frame) == [frame]
    assert one.calls == 3
    assert all(f"interceptor {one.name}" in record.getMessage() for record in caplog.records)
    levels = [record.levelno for record in caplog.records]
    assert levels == [logging.ERROR, logging.WARNING, logging.WARNING, logging.ERROR]
    assert caplog.records[0].exc_info
    assert "is disabled for this session" in caplog.records[3].getMessage()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", CLOSED)
def test_a_fault_of_one_that_fails_closed_ends_the_session_with_1011(
    kind: Any, fault: Callable[[Any], Any], caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_of(acting(kind, fault))
    with pytest.raises(LocalProtocolError) as raised:
        pipeline.decode(Frame(1, b"secret"))
    assert (raised.value.code, raised.value.reason) == (1011, "interceptor failed")
    assert raised.value.extension == kind.name
    assert kind.name in caplog.text


@pytest.mark.parametrize("result", ["", "text", b"", b"bytes", [Frame(1), "no"], frames()])
def test_what_is_no_frame_is_a_fault_of_a_frame_hook(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_of(acting(OnFrames, lambda frame: result))
    assert pipeline.decode(Frame(1, b"a")) == [Frame(1, b"a")]
    assert "expected None, a Frame, or several frames" in caplog.text


@pytest.mark.parametrize("field", ["payload", "opcode", "rsv"])
def test_a_frame_that_a_hook_has_spoilt_passes_as_it_was(
    field: str, caplog: pytest.LogCaptureFixture
) -> None:
    def spoil(frame: Frame) -> None:
        setattr(frame, field, "text" if field == "payload" else 999)

    pipeline = pipeline_of(acting(OnFrames, spoil))
    assert pipeline.decode(Frame(1, b"a")) == [Frame(1, b"a")]
    assert "interceptor on-frames failed" in caplog.text
    assert "TypeError: a frame's" in caplog.text


@pytest.mark.parametrize("result", [[], ["no"], Frame(1, b"no"), ("no",)])
def test_what_is_no_message_is_a_fault_of_a_message_hook(
    result: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_of(acting(OnMessages, lambda message: result))
    assert pipeline.encode(Frame(1, b"a")) == [Frame(1, b"a")]
    assert "expected None, a str, bytes, or () to drop the message" in caplog.text


def test_text_that_is_no_unicode_is_a_fault() -> None:
    pipeline = pipeline_of(acting(OnMessages, lambda message: "\ud800"))
    assert pipeline.encode(Frame(1, b"a")) == [Frame(1, b"a")]


def test_faults_are_in_a_row_only_without_a_success_between_them() -> None:
    def act(message: str | bytes) -> None:
        if message == "bad":
            raise RuntimeError

    one = acting(OnMessages, act)
    pipeline = pipeline_of(one)
    for text in (b"bad", b"bad", b"good") * 3:
        pipeline.decode(Frame(1, text))
    assert one.calls == 9


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (None, [Frame(1, b"a")]),
        ((), []),
        ("b", [Frame(1, b"b")]),
        (b"b", [Frame(2, b"b")]),
        (bytearray(b"b"), [Frame(2, b"b")]),
        (memoryview(b"b"), [Frame(2, b"b")]),
        ("", [Frame(1, b"")]),
    ],
)
def test_a_message_hook_leaves_drops_or_replaces(result: Any, expected: list[Frame]) -> None:
    pipeline = pipeline_of(acting(OnMessages, lambda message: result))
    assert pipeline.encode(Frame(1, b"a")) == expected
    assert pipeline.decode(Frame(1, b"a")) == expected


def test_a_message_hook_sees_whole_messages_and_no_control_frames() -> None:
    seen: list[Any] = []
    pipeline = pipeline_of(acting(OnMessages, seen.append))
    for through in (pipeline.encode, pipeline.decode):
        assert through(Frame(1, "é".encode()[:1], False)) == []
        assert through(Frame(9, b"ping")) == [Frame(9, b"ping")]
        assert through(Frame(0, b"", False)) == []
        assert pipeline.joined_bytes == (1 if through == pipeline.decode else 0)
        assert through(Frame(0, "é".encode()[1:])) == [Frame(1, "é".encode())]
        assert through(Frame(2, b"\xff")) == [Frame(2, b"\xff")]
    assert seen == ["é", b"\xff"] * 2
    assert pipeline.joined_bytes == 0


def test_hints_and_metadata_are_those_of_the_first_fragment() -> None:
    told: list[Any] = []

    class Told(Interceptor):
        name: ClassVar[str] = "told"

        @hookimpl
        def wsext_message_sending(self, message: Any, hints: Any, meta: Any) -> str:
            told.append((message, dict(hints), dict(meta)))
            return "other"

        @hookimpl
        def wsext_message_received(self, message: Any, meta: Any) -> None:
            told.append((message, dict(meta)))

    pipeline = pipeline_of(Told())
    pipeline.encode(Frame(1, b"a", False, 0, {"compress": False}, {"id": 1}))
    (sent,) = pipeline.encode(Frame(0, b"b"))
    assert (sent.payload, sent.hints, sent.meta) == (b"other", {"compress": False}, {"id": 1})
    pipeline.decode(Frame(2, b"c", meta={"id": 2}))
    pipeline.decode(Frame(2, b"c"))
    assert told == [("ab", {"compress": False}, {"id": 1}), (b"c", {"id": 2}), (b"c", {})]


def test_messages_are_nearest_to_the_application_and_keep_the_order_of_installation() -> None:
    def letter(kind: type[Any], name: str, what: str) -> Any:
        class Letter(kind):  # type: ignore[misc]
            pass

        Letter.name = name
        if kind is OnMessages:
            return acting(Letter, lambda message: message + what)
        return acting(Letter, lambda frame: frame.replace(payload=bytes(frame.payload) + b"f"))

    items = [letter(OnMessages, "1", "1"), letter(OnFrames, "f", "f"), letter(OnMessages, "2", "2")]
    pipeline = pipeline_of(*items)
    assert pipeline.encode(Frame(1, b"a")) == [Frame(1, b"a12")]
    assert pipeline.decode(Frame(1, b"a")) == [Frame(1, b"af21")]


@pytest.mark.parametrize("kind", KINDS)
def test_a_session_is_ended_with_a_code_and_a_reason(
    kind: Any, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = pipeline_of(acting(kind, raising(EndSession(4001, "no links"))))
    with caplog.at_level("INFO"), pytest.raises(EndSession) as raised:
        pipeline.decode(Frame(1, b"http://"))
    assert (raised.value.code, raised.value.reason) == (4001, "no links")
    assert raised.value.extension == kind.name
    assert [record.levelname for record in caplog.records] == ["INFO"]


def refused(pipeline: Pipeline, *received: Frame) -> ProtocolError:
    *before, last = received
    for frame in before:
        assert pipeline.decode(frame) == []
    with pytest.raises(ProtocolError) as raised:
        pipeline.decode(last)
    return raised.value


def test_what_cannot_be_joined_is_refused() -> None:
    def fresh() -> Pipeline:
        return pipeline_of(acting(OnMessages, lambda message: None))

    too_much = refused(fresh(), Frame(2, b"x" * LIMIT, False), Frame(0, b"x", False))
    assert str(too_much) == f"message of more than {LIMIT} bytes (close code 1009)"
    assert refused(fresh(), Frame(0, b"no beginning")).code == 1011
    assert refused(fresh(), Frame(1, b"a", False), Frame(1, b"another")).code == 1011
    no_text = refused(fresh(), Frame(1, b"\xff"))
    assert isinstance(no_text, RemoteProtocolError)
    assert no_text.code == 1007
    with pytest.raises(LocalProtocolError, match="not valid UTF-8"):
        fresh().encode(Frame(1, b"\xff"))


def test_a_received_message_is_not_made_too_large(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = pipeline_of(acting(OnMessages, lambda message: message * LIMIT))
    assert pipeline.decode(Frame(1, b"ab")) == [Frame(1, b"ab")]
    assert f"returned {2 * LIMIT} bytes, at most {LIMIT} are allowed" in caplog.text
    assert pipeline.encode(Frame(1, b"ab")) == [Frame(1, b"ab" * LIMIT)]


def test_without_message_hooks_nothing_is_joined() -> None:
    pipeline = pipeline_of(acting(OnFrames, lambda frame: None))
    assert pipeline.decode(Frame(1, b"a", False)) == [Frame(1, b"a", False)]
    assert pipeline.shared_key == ()


def test_a_message_is_shared_unless_somebody_sees_it_leave() -> None:
    class Receives(Interceptor):
        name: ClassVar[str] = "receives"

        @hookimpl
        def wsext_message_received(self, message: Any) -> None: ...

    assert pipeline_of(Receives()).shared_key == ()
    assert pipeline_of(OnMessages()).shared_key is None


def test_a_hook_that_must_not_wait_is_refused() -> None:
    class Waits(Interceptor):
        name: ClassVar[str] = "waits"

        @hookimpl
        async def wsext_frame_received(self, session: Any, frame: Frame) -> None: ...

    installed = Installed()
    with pytest.raises(PluginError, match="'waits': wsext_frame_received is a coroutine function"):
        installed.install(Waits)
    pipeline = Pipeline()
    installed.set_frame_hooks(None, pipeline)
    assert pipeline.passive
