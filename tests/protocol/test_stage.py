"""One codec in a pipeline: who is asked, what is counted, and what becomes of what it raises."""

from __future__ import annotations

import functools

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
