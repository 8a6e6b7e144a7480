"""The cases about whole sessions catch extensions that are each wrong in one way."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from tests.testing.mutants import Mutants
from wsext import Codec, Extension, Frame, MessageCodec, NegotiationContext, Params, Phase

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


class Wrong(Extension):
    """Base of the mutants."""

    name: ClassVar[str] = "x-wrong"
    phase: ClassVar[Phase] = Phase.SEMANTIC
    codec: ClassVar[type[Codec]]

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return self.codec()


class _Counts(MessageCodec):
    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        self.count += 1
        await asyncio.sleep(0)
        return b"%d " % self.count + data if self.count == 30 else data


@caught_by("test_the_order_of_messages_is_kept")
class Counts(Wrong):
    """Puts something before the thirtieth message."""

    codec = _Counts


class _ForgetsTheEnd(Codec):
    def encode(self, frame: Frame) -> Any:
        is_last = frame.opcode == 0 and frame.fin
        return frame.replace(payload=b"?") if is_last else frame


@caught_by("test_a_streamed_message_arrives")
class ForgetsTheEnd(Wrong):
    """Spoils the last fragment of a message."""

    codec = _ForgetsTheEnd


class _CannotEnd(Codec):
    def decode(self, frame: Frame, budget: int) -> Frame:
        return frame

    def close(self) -> None:
        raise RuntimeError("not in the middle of a message")


@caught_by("test_ends_in_the_middle_leave_nothing_behind")
class CannotEnd(Wrong):
    """Raises when it is closed."""

    codec = _CannotEnd


class _Deaf(Codec):
    def decode(self, frame: Frame, budget: int) -> Frame:
        return frame.replace(payload=b"") if frame.opcode < 8 else frame


@caught_by("test_a_session_talks_through_it")
class Deaf(Wrong):
    """Loses what it decodes."""

    codec = _Deaf


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
