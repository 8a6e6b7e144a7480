"""Extensions that do nothing, for what a codec costs."""

from __future__ import annotations

from typing import Any, ClassVar

from wsext import Codec, Extension, Frame

__all__ = ["no_op"]


class Pass(Codec):
    """Looks at every frame and changes none."""

    def encode(self, frame: Frame) -> Frame:
        return frame

    def decode(self, frame: Frame, budget: int) -> Frame:
        return frame


def no_op(number: int) -> type[Extension]:
    class NoOp(Extension):
        """Does nothing."""

        name: ClassVar[str] = f"x-noop{number}"

        def make_codec(self, params: Any, ctx: Any) -> Codec:
            return Pass()

    return NoOp
