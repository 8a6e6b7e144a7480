"""What the pipeline needs from a codec, and the shapes of what it calls."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping
from typing import Any, Protocol, TypeAlias

from wsext.protocol.boundary import Steps
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame

__all__ = ["CodecLike", "FrameHook", "Frames", "HistoryLike", "MessageHook", "Trace"]

Frames: TypeAlias = "Frame | Iterable[Frame]"

#: A local interceptor, bound to its session: ``None`` leaves the frame as it is.
FrameHook: TypeAlias = "Callable[[Frame], Frames | None]"

#: Told of every frame at every stage: (``"in"`` or ``"out"``, stage, frame). ``"wire"`` is the
#: stage next to the network, ``"app"`` the one next to the application, and every codec's token
#: names the frames that come out of it.
Trace: TypeAlias = "Callable[[str, str, Frame], None]"


class MessageHook(Protocol):
    """The message interceptors of one direction."""

    @property
    def is_async(self) -> bool: ...
    @property
    def held_bytes(self) -> int: ...

    def __call__(self, frame: Frame) -> Steps[list[Frame]]: ...


class HistoryLike(Protocol):
    """What encodes messages to a group with a memory; `wsext.SharedHistory` is one."""

    @property
    def held_bytes(self) -> int: ...

    def encode(self, frame: Frame) -> Frames: ...
    def close(self) -> None: ...


class CodecLike(Protocol):
    """What the pipeline needs from a codec; `wsext.Codec` is one."""

    rsv: RSV
    control_frames: bool
    first_frame_rsv: bool
    mandatory: bool

    @property
    def share_key(self) -> Hashable | None: ...
    @property
    def held_bytes(self) -> int: ...
    @property
    def has_history(self) -> bool: ...

    def make_history(self) -> HistoryLike: ...
    def encode(self, frame: Frame) -> Frames | Awaitable[Frames]: ...
    def encode_shared(self, frame: Frame) -> Frames | Awaitable[Frames]: ...
    def can_share(self) -> bool: ...
    def skip_shared(self) -> None: ...
    def decode(self, frame: Frame, budget: int) -> Frames | Awaitable[Frames]: ...
    def wants(self, frame: Frame, hints: Mapping[str, Any]) -> bool: ...
    def encoded_bound(self, size: int) -> int: ...
    def close(self) -> Awaitable[None] | None: ...
