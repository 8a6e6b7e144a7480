"""The cases about local interceptors catch some that are each wrong in one way."""

from __future__ import annotations

from typing import Any, ClassVar

from tests.testing.mutants import Mutants
from wsext import (
    EndSession,
    Frame,
    Interceptor,
    hookimpl,
)

MUTANTS = Mutants()
caught_by = MUTANTS.caught_by


@caught_by("test_its_hooks_are_known")
class TypoInTheHook(Interceptor):
    """A hook that nobody calls."""

    name: ClassVar[str] = "typo"

    @hookimpl
    def wsext_frame_recieved(self, frame: Frame) -> None:
        """Never called."""


@caught_by("test_no_frame_makes_it_raise")
class TrustsText(Interceptor):
    """Takes every payload for UTF-8."""

    name: ClassVar[str] = "trusting"

    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> None:
        bytes(frame.payload).decode()


@caught_by("test_fragments_change_nothing")
class FiltersFrames(Interceptor):
    """Looks for a word in every frame."""

    name: ClassVar[str] = "filters-frames"

    @hookimpl
    def wsext_frame_received(self, frame: Frame) -> tuple[()] | None:
        return () if b"price" in bytes(frame.payload) else None


@caught_by("test_fragments_change_nothing")
class FiltersWhatIsSent(Interceptor):
    """Ends the session of who sends a word, if one frame has all of it."""

    name: ClassVar[str] = "filters-what-is-sent"

    @hookimpl
    def wsext_frame_sending(self, frame: Frame) -> None:
        if b"hello" in bytes(frame.payload):
            raise EndSession(4000)


@caught_by("test_messages_arrive_on_both_sides")
class MakesText(Interceptor):
    """Sends every message as text."""

    name: ClassVar[str] = "makes-text"

    @hookimpl
    async def wsext_message_sending(self, message: str | bytes) -> str:
        return message if isinstance(message, str) else message.decode("latin-1")


@caught_by("test_no_frame_makes_it_raise")
class TrustsBinary(Interceptor):
    """Takes every message for text."""

    name: ClassVar[str] = "trusts-binary"
    fail_closed: ClassVar[bool] = True

    @hookimpl
    def wsext_message_received(self, message: Any) -> Any:
        return message.replace("a", "b")


test_every_mutant_is_caught_by_the_case_meant_for_it = MUTANTS.as_test()
