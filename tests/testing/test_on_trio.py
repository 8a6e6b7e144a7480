"""The conformance kit's cases about sessions, on trio, and what runs them there."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
import trio

from tests.codecs import History
from tests.trio.peers import run
from wsext import Codec, Extension, Frame, Interceptor, NegotiationContext, Params, hookimpl
from wsext.sdk.plugins import default_plugins
from wsext.testing.cases_local import LocalCases
from wsext.testing.cases_session import SessionCases
from wsext.testing.on_trio import OnTrio, connect, pair, serving

WIRE = ("deflate", "zstd", "brotli")


def suite(kind: Any, base: type, **members: Any) -> Any:
    """A suite of the kit for an extension, on trio."""
    members = {"extension": kind, "ground": OnTrio(), "messages": (b"", b"abc" * 1000), **members}
    return type("Suite", (base,), members)()


def cases(base: type) -> list[str]:
    return sorted(name for name in dir(base) if name.startswith("test_"))


@pytest.mark.parametrize("case", cases(SessionCases))
@pytest.mark.parametrize("token", [f"permessage-{name}" for name in WIRE])
def test_compressions(token: str, case: str) -> None:
    getattr(suite(default_plugins().extension(token), SessionCases), case)()


class _AwaitedCodec(Codec):
    """Takes a moment for everything."""

    async def encode(self, frame: Frame) -> Frame:  # type: ignore[override]
        await trio.sleep(0.1)
        return frame.replace(payload=bytes(frame.payload)[::-1])

    async def decode(self, frame: Frame, budget: int) -> Frame:  # type: ignore[override]
        await trio.sleep(0.1)
        return frame.replace(payload=bytes(frame.payload)[::-1])


class Awaited(Extension):
    """Its codec is asynchronous."""

    name: ClassVar[str] = "x-awaited"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return _AwaitedCodec()


@pytest.mark.parametrize("case", cases(SessionCases))
@pytest.mark.parametrize("kind", [History, Awaited])
def test_codecs_with_a_memory_and_asynchronous_ones(kind: Any, case: str) -> None:
    getattr(suite(kind, SessionCases), case)()


class Watching(Interceptor):
    """Sees every frame and changes none."""

    name: ClassVar[str] = "watching"

    @hookimpl
    def wsext_frame_received(self, session: Any, frame: Frame) -> None:
        assert session.id

    @hookimpl
    async def wsext_message_sending(self, message: str | bytes) -> None:
        await trio.sleep(0.1)


@pytest.mark.parametrize("case", cases(LocalCases))
def test_an_interceptor(case: str) -> None:
    getattr(suite(Watching, LocalCases), case)()


def test_a_wrong_codec_is_caught() -> None:
    class Swapping(Awaited):
        name: ClassVar[str] = "x-swapping"

        def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
            codec = _AwaitedCodec()
            codec.decode = lambda frame, budget: frame  # type: ignore[assignment,method-assign]
            return codec

    with pytest.raises(AssertionError):
        suite(Swapping, SessionCases).test_a_session_talks_through_it()


def test_what_a_block_raises_is_in_no_group() -> None:
    async def echo(session: Any) -> None:
        await session.receive()

    async def fail(opening: Any) -> None:
        async with opening:
            raise KeyError("mine")

    async def scenario() -> None:
        for opening in (serving(echo), connect(echo), pair()):
            with pytest.raises(KeyError, match="mine"):
                await fail(opening)

    run(scenario)
