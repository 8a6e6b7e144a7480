"""One codec in a pipeline: who is asked, what is counted, and what becomes of what it raises."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable
from typing import Any

import pytest

from wsext.errors import LocalProtocolError, RemoteProtocolError
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage
from wsext.sdk.codec import Codec


def test_hints_are_asked_before_a_codec_sees_the_message() -> None:
    class Picky(Codec):
        rsv = RSV.RSV1

        def wants(self, frame: Frame, hints: object) -> bool:
            return hints.get("shout", True)  # type: ignore[attr-defined,no-any-return]

        def encode(self, frame: Frame) -> Frame:
            return frame.replace(payload=bytes(frame.payload).upper(), rsv=RSV.RSV1)

    pipeline = Pipeline([Stage("picky", Picky(), RSV.RSV1)])
    assert pipeline.encode(Frame(1, b"a"))[0].payload == b"A"
    quiet = pipeline.encode(Frame(1, b"a", False, hints={"shout": False}))
    quiet += pipeline.encode(Frame(0, b"b"))
    assert [(frame.payload, frame.rsv) for frame in quiet] == [(b"a", 0), (b"b", 0)]


class Failing(Codec):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def encode(self, frame: Frame) -> Frame:
        raise self.error

    def decode(self, frame: Frame, budget: int) -> Frame:
        raise self.error


@pytest.mark.parametrize(
    ("error", "decoding", "encoding"),
    [
        (RemoteProtocolError(1009, "too much"), 1009, 1009),
        (ValueError("secret"), 1007, 1011),
        (KeyError("secret"), 1011, 1011),
    ],
)
def test_a_codec_that_raises_fails_the_connection_with_a_mapped_code(
    error: Exception, decoding: int, encoding: int
) -> None:
    pipeline = Pipeline([Stage("x-bad", Failing(error), RSV.NONE)])
    with pytest.raises((LocalProtocolError, RemoteProtocolError)) as caught:
        pipeline.decode(Frame(1, b"a"))
    assert caught.value.code == decoding
    assert caught.value.extension == "x-bad"
    assert "secret" not in caught.value.reason
    with pytest.raises((LocalProtocolError, RemoteProtocolError)) as sent:
        pipeline.encode(Frame(1, b"a"))
    assert sent.value.code == encoding
    assert "secret" not in sent.value.reason


def test_what_a_codec_makes_counts_over_all_fragments() -> None:
    class Grow(Codec):
        def decode(self, frame: Frame, budget: int) -> Frame:
            return frame.replace(payload=bytes(frame.payload) * 10)

    pipeline = Pipeline([Stage("x-grow", Grow(), RSV.NONE)], max_message_size=100)
    pipeline.decode(Frame(1, b"x" * 9, False))
    with pytest.raises(RemoteProtocolError) as caught:
        pipeline.decode(Frame(0, b"x" * 2))
    assert caught.value.code == 1009


@pytest.mark.parametrize("method", ["wants", "encode", "encode_shared", "skip_shared", "decode"])
def test_a_codec_that_overrides_anything_is_asked(method: str) -> None:
    class Some(Codec):
        pass

    setattr(Some, method, lambda self, *args: getattr(Codec, method)(self, *args))
    assert not Pipeline([Stage("some", Some(), RSV.NONE)]).passive


def test_a_wrapper_around_a_method_that_does_nothing_is_asked() -> None:
    codec, seen = Codec(), []

    @functools.wraps(Codec.encode)
    def watched(frame: Frame) -> Frame:
        seen.append(frame)
        return frame

    codec.encode = watched  # type: ignore[method-assign]
    Pipeline([Stage("watched", codec, RSV.NONE)]).encode(Frame(1, b"abc"))
    assert len(seen) == 1


def spoilt(**fields: Any) -> Callable[[Frame], Frame]:
    """Changes a frame in place, where nothing checks it."""

    def act(frame: Frame) -> Frame:
        for name, value in fields.items():
            setattr(frame, name, value)
        return frame

    return act


#: What a codec makes of a whole message, and why it may not be sent or handed out.
ILLEGAL = {
    "no bytes": (spoilt(payload=5), "a frame's payload is bytes-like, not int"),
    "text": (spoilt(payload="text"), "a frame's payload is bytes-like, not str"),
    "no opcode": (spoilt(opcode=300), "opcode is 0 to 15, not 300"),
    "no bits": (spoilt(rsv=0x80), "rsv is a sum of"),
    "a reserved opcode": (lambda frame: frame.replace(opcode=3), "opcode 3, which it does not"),
    "a Close frame": (lambda frame: Frame(8, b"\x03\xe8"), "opcode 8, which it does not claim"),
    "a long ping": (lambda frame: Frame(9, bytes(126)), "a control frame that"),
    "half a ping": (lambda frame: Frame(9, b"", False), "a control frame that is fragmented"),
    "a continuation": (lambda frame: frame.replace(opcode=0), "was not begun"),
    "two beginnings": (lambda frame: [Frame(2, b"", False), frame], "inside of one that is not"),
}


class Acting(Codec):
    def __init__(self, act: Callable[[Frame], Any]) -> None:
        self.act = act

    def encode(self, frame: Frame) -> Any:
        return self.act(frame)

    def decode(self, frame: Frame, budget: int) -> Any:
        return self.act(frame)


@pytest.mark.parametrize("way", ["encode", "decode"])
@pytest.mark.parametrize("what", ILLEGAL)
def test_what_must_not_travel_is_a_fault_of_the_codec(
    what: str, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    act, words = ILLEGAL[what]
    stages = [Stage("x-above", Acting(lambda frame: frame), RSV.NONE)]
    stages.append(Stage("x-bad", Acting(act), RSV.NONE))
    pipeline = Pipeline(stages)
    with pytest.raises(LocalProtocolError) as caught:
        getattr(pipeline, way)(Frame(2, b"a message"))
    assert (caught.value.code, caught.value.extension) == (1011, "x-bad")
    (record,) = caplog.records
    assert f"extension x-bad: {way}()" in record.getMessage()
    assert words in record.getMessage()


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_a_codec_that_begins_a_message_inside_of_another_fails(way: str) -> None:
    pipeline = Pipeline([Stage("x-bad", Acting(lambda frame: Frame(2, b"", False)), RSV.NONE)])
    turn = getattr(pipeline, way)
    turn(Frame(2, b"", False))
    with pytest.raises(LocalProtocolError) as caught:
        turn(Frame(0, b""))
    assert caught.value.extension == "x-bad"


def test_a_message_that_is_shared_has_to_be_whole(caplog: pytest.LogCaptureFixture) -> None:
    pipeline = Pipeline([Stage("x-bad", Acting(lambda frame: frame.replace(fin=False)), RSV.NONE)])
    with pytest.raises(LocalProtocolError):
        pipeline.encode_shared(Frame(2, b"all"))
    assert "encode_shared() of outgoing data failed" in caplog.text


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_what_was_wrong_before_is_no_fault_of_a_codec_that_passes_it_on(way: str) -> None:
    """An interceptor may have dropped the first fragment."""
    pipeline = Pipeline([Stage("x-fine", Acting(lambda frame: frame), RSV.NONE)])
    frame = Frame(0, b"the rest")
    assert getattr(pipeline, way)(frame) == [frame]


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_a_codec_may_cut_messages_hold_them_and_ask_for_a_pong(way: str) -> None:
    held: list[Frame] = []

    def act(frame: Frame) -> list[Frame]:
        held.append(frame)
        if not frame.fin:
            return []
        data = b"".join(bytes(part.payload) for part in held)
        half = len(data) // 2
        return [Frame(2, data[:half], False), Frame(9, b"?"), Frame(0, data[half:])]

    pipeline = Pipeline([Stage("x-fine", Acting(act), RSV.NONE)])
    turn = getattr(pipeline, way)
    assert turn(Frame(2, b"four ", False)) == []
    assert [frame.opcode for frame in turn(Frame(0, b"words"))] == [2, 9, 0]


@pytest.mark.parametrize("way", ["encode", "decode"])
def test_a_codec_cannot_pretend_that_nobody_waits_for_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline = Pipeline([Stage("x-bad", Failing(GeneratorExit()), RSV.NONE)])
    with pytest.raises(LocalProtocolError):
        getattr(pipeline, way)(Frame(1, b"a"))
    assert "GeneratorExit" in caplog.text


@pytest.mark.parametrize("way", ["aencode", "adecode"])
async def test_who_stops_waiting_for_a_codec_is_no_fault_of_it(
    way: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Waiting(Codec):
        async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
            await asyncio.Event().wait()
            return frame

        async def decode(self, frame: Frame, budget: int) -> Frame:  # type: ignore[override]
            return await self.encode(frame)

    pipeline = Pipeline([Stage("x-slow", Waiting(), RSV.NONE)])
    task = asyncio.create_task(getattr(pipeline, way)(Frame(1, b"a")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    del task
    gc.collect()
    assert not caplog.records
