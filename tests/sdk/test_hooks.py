"""Hooks: their order, their faults, and what costs nothing without them."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from wsext import (
    App,
    Frame,
    Interceptor,
    PluginError,
    hookimpl,
)
from wsext.protocol.pipeline import Pipeline
from wsext.sdk.hooks import Hooks
from wsext.sdk.installed import Installed


class Recorder(Interceptor):
    """Appends its letter to every frame, in both directions."""

    name: ClassVar[str] = "recorder"
    letter = b"1"

    @hookimpl
    def wsext_frame_received(self, session: Any, frame: Frame) -> Frame:
        return frame.replace(payload=bytes(frame.payload) + self.letter)

    @hookimpl
    def wsext_frame_sending(self, session: Any, frame: Frame) -> Frame:
        return frame.replace(payload=bytes(frame.payload) + self.letter)


class Second(Recorder):
    name: ClassVar[str] = "second"
    letter = b"2"


class Breaking(Interceptor):
    """Fails on every frame."""

    name: ClassVar[str] = "breaking"

    @hookimpl
    def wsext_frame_received(self, session: Any, frame: Frame) -> Frame:
        raise RuntimeError("broken")


def pipeline_of(*items: Any) -> Pipeline:
    installed = Installed()
    for item in items:
        installed.install(item)
    pipeline = Pipeline()
    installed.set_frame_hooks(None, pipeline)
    return pipeline


def test_interceptors_run_in_order_going_out_and_backwards_coming_in() -> None:
    pipeline = pipeline_of(Recorder, Second)
    assert pipeline.encode(Frame(1, b"a"))[0].payload == b"a12"
    assert pipeline.decode(Frame(1, b"a"))[0].payload == b"a21"


def test_an_interceptor_that_fails_is_isolated_and_then_left_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    pipeline = pipeline_of(Recorder, Breaking)
    for _ in range(5):
        assert pipeline.decode(Frame(1, b"a"))[0].payload == b"a1"
    failures = [r for r in caplog.records if "interceptor breaking failed" in r.getMessage()]
    assert len(failures) == 3
    assert "disabled for this session" in caplog.text


def test_without_hooks_the_pipeline_stays_passive() -> None:
    assert pipeline_of().passive
    assert not pipeline_of(Recorder).passive


def test_an_object_without_hooks_cannot_be_installed() -> None:
    with pytest.raises(PluginError, match="no hook implementation"):
        App().install(object())


def test_a_copy_has_the_same_hooks_and_is_on_its_own() -> None:
    one, other = Hooks(), Hooks()
    first = Recorder()
    one.register(first, "first")
    other.copy_hooks(one)
    other.register(Second(), "second")
    one.unregister(first)
    one.unregister(first)  # nothing happens
    pipeline = Pipeline()
    other.set_frame_hooks(None, pipeline)
    assert pipeline.encode(Frame(1, b"a"))[0].payload == b"a12"
    empty = Pipeline()
    one.set_frame_hooks(None, empty)
    assert empty.passive
