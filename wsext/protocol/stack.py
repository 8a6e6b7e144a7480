"""What was agreed for one connection, in order, and what follows from it.

Codecs are stages, with the local interceptors on their application side. From them follow the
reserved bits and opcodes that may travel, how large a message may be on the wire, and whether
connections may share what is encoded. `Pipeline` runs frames through all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from functools import lru_cache
from typing import Any, TypeAlias
from weakref import WeakValueDictionary

from wsext.protocol.boundary import Boundary
from wsext.protocol.contract import FrameHook, HistoryLike, MessageHook, Trace
from wsext.protocol.epochs import Follower
from wsext.protocol.frames import Frame
from wsext.protocol.journal import Journal
from wsext.protocol.stage import Stage

__all__ = ["Stack"]

_NO_OPCODES: frozenset[int] = frozenset()
_NO_OPCODE = -1


class _Key:
    """Stands for a share key of codecs: it is looked up for every message of a broadcast and every
    receiver, and what each codec has made is slow to hash, and far from each other in memory."""

    __slots__ = ("__weakref__",)


_keys: WeakValueDictionary[Hashable, _Key] = WeakValueDictionary()


def _key_of(key: Hashable) -> Hashable:
    """What stands for a key: the same for equal keys, as long as any connection has it."""
    return _keys.setdefault(key, _Key()) if key else key


#: Awaits what a method of a codec has returned, in place of ``await``.
Wait: TypeAlias = "Callable[[Awaitable[Any], Boundary | None, str], Awaitable[Any]]"


class Stack:
    """The stages of one connection, and the local hooks on their application side.

    Args:
        stages: In the order of the response.
        max_message_size: The limit of a whole message as the application sees it, in bytes.
        journal: What counts and keeps messages where the codecs begin.
        keeper: The boundary of the codec that has the journal, if it is no stage: it does nothing
            else then.

    Attributes:
        entered: Where there is a journal: the frames that the interceptors gave to the codecs last.
        left: As ``entered``: the frames that the codecs gave to the interceptors last.
        history_key: Equal keys mean that they can follow the same shared history; ``None`` means
            none.
        follower: How far the connection follows one; ``None`` while it never did.
    """

    def __init__(
        self,
        stages: Sequence[Stage] = (),
        *,
        max_message_size: int = 1 << 20,
        journal: Journal | None = None,
        keeper: Boundary | None = None,
    ) -> None:
        self.journal = journal
        self._keeper = keeper
        self.entered: list[Frame] | None = None
        self.left: list[Frame] | None = None
        # Acknowledgements are no interceptor's business.
        self._own = _NO_OPCODE if journal is None else journal.opcode
        self.stages = tuple(stages)
        # Of these, who has something to do with what goes out, and who is the first each way.
        self._encoders: tuple[Stage, ...] = ()
        self._first_encoder: Stage | None = None
        self._first_decoder: Stage | None = None
        self._hints: Mapping[str, Any] | None = None
        self._receiving: tuple[FrameHook, ...] = ()
        self._sending: tuple[FrameHook, ...] = ()
        self._message_received: MessageHook | None = None
        self._message_sending: MessageHook | None = None
        self._trace: Trace | None = None
        #: Awaits what is asynchronous; by default without any limit.
        self.wait: Wait | None = None
        self._asked: Boundary | None = None  # whom `_through` has asked last
        #: Whether an interceptor let nothing pass of the frame that was encoded last: it has
        #: dropped it, or keeps it until its message is whole.
        self.has_dropped = False
        # Whether somebody else has to see what goes out, and what comes in.
        self._seen_out = self._seen_in = False
        self._closed = False
        self.max_message_size = max_message_size
        self.is_async = any(stage.is_async for stage in stages)
        self.rsv_first = self.rsv_rest = self.rsv_control = 0
        #: Bits that may stay on what is encoded and decoded, because somebody else handles them.
        self.rsv_foreign = 0
        opcodes = _NO_OPCODES if journal is None else _union(_NO_OPCODES, journal.opcode)
        size = max_message_size
        for stage in self.stages:
            self.rsv_first |= stage.rsv
            if not stage.codec.first_frame_rsv:
                self.rsv_rest |= stage.rsv
            if stage.control:
                self.rsv_control |= stage.rsv
            opcodes = _union(opcodes, *stage.opcodes)
            stage.limit = stage.whole = size
            if stage.encodes or stage.decodes:
                size = max(size, stage.boundary.encoded_bound(size))
        self.opcodes = opcodes
        self.wire_limit = size
        #: Nothing to do for any frame: the connection skips the pipeline.
        self.passive = True
        self.history_key: Hashable | None = None
        self.follower: Follower | None = None
        #: The share key while nothing on this connection has to see its own frames, else ``None``.
        self.shared_key: Hashable | None = None
        self._update()

    def set_hooks(
        self, receiving: Sequence[FrameHook] = (), sending: Sequence[FrameHook] = ()
    ) -> None:
        """Put local interceptors on the application side, in the order in which they run."""
        self._receiving, self._sending = tuple(receiving), tuple(sending)
        self._update()

    def set_message_hooks(
        self, received: MessageHook | None = None, sending: MessageHook | None = None
    ) -> None:
        """Put message interceptors on the application side of the others; before any frame."""
        self._message_received, self._message_sending = received, sending
        for hook in (received, sending):
            if hook is not None and hook.is_async:
                self.is_async = True
        self._update()

    def set_trace(self, trace: Trace | None) -> None:
        """Be told of every frame at every stage, or no more. Costs nothing while unset."""
        self._trace = trace
        self._update()

    def _update(self) -> None:
        if self._closed:
            return
        traced = self._trace is not None  # a trace shows every stage
        self._encoders = tuple(stage for stage in self.stages if stage.encodes or traced)
        self._first_encoder = self._first_decoder = None
        for stage in reversed(self._encoders):
            stage.below, self._first_encoder = self._first_encoder, stage
        for stage in self.stages:
            if stage.decodes or traced:
                stage.above, self._first_decoder = self._first_decoder, stage
        self._seen_out = traced or bool(self._sending) or self._message_sending is not None
        self.has_dropped = False
        self._seen_in = traced or bool(self._receiving) or self._message_received is not None
        self.passive = not (
            self._seen_out
            or self._seen_in
            or self._encoders
            or self._first_decoder is not None
            or self.rsv_first
            or any(opcode != self._own for opcode in self.opcodes)
        )
        self.shared_key = self._shared_key()
        followers = tuple([n for n, stage in enumerate(self._encoders) if stage.remembers])
        can_follow = bool(followers) and self.shared_key is not None
        self.history_key = _key_of((self.shared_key, followers)) if can_follow else None

    def _shared_key(self) -> Hashable | None:
        private = self.is_async or self._seen_out
        return None if private else _key_of(self.share_key)

    @property
    def share_key(self) -> Hashable | None:
        """Equal keys mean that equal messages become equal bytes; ``None`` means never."""
        keys = []
        for stage in self._encoders:
            key = stage.boundary.share_key
            if key is None:
                return None
            keys.append((stage.name, key))
        return tuple(keys)

    def make_histories(self) -> dict[int, HistoryLike] | None:
        """New shared histories, by the number of the stage; ``None`` if a codec cannot make one."""
        made = {
            number: stage.boundary.make_history()
            for number, stage in enumerate(self._encoders)
            if stage.remembers
        }
        return None if None in made.values() else made

    def is_remembered(self, passed: tuple[int, ...]) -> bool:
        """Whether what has passed these stages is remembered by one that follows histories."""
        return any(self._encoders[number].remembers for number in passed)

    def make_follower(self) -> Follower:
        """Says how far the connection follows a shared history; all stages with a memory have the
        same one."""
        follower = self.follower = Follower()
        for stage in self._encoders:
            if stage.remembers:
                stage.follower = follower
        return follower

    @property
    def held_bytes(self) -> int:
        """Bytes that the codecs hold, as far as they tell; closed ones hold nothing."""
        return 0 if self._closed else sum([stage.boundary.held_bytes for stage in self.stages])

    @property
    def joined_bytes(self) -> int:
        """Bytes of the incoming message that message interceptors join, or work on."""
        hook = self._message_received
        return 0 if hook is None else hook.held_bytes

    def close(self) -> list[Boundary]:
        """Close every codec, exactly once; a codec that fails to close does not stop the others.

        Returns:
            Whose `close` is asynchronous: to be closed with `Boundary.aclose`.
        """
        self._closed = True
        self._receiving = self._sending = ()  # they refer to the session
        self._message_received = self._message_sending = None
        self.wait = None
        for stage in self.stages:
            stage.above = stage.below = None
        boundaries = [stage.boundary for stage in self.stages]
        if self._keeper is not None:
            boundaries.append(self._keeper)
        return [boundary for boundary in boundaries if not boundary.close()]


@lru_cache(maxsize=256)
def _union(opcodes: frozenset[int], *more: int) -> frozenset[int]:
    """A set and some more, shared by all connections: each new one would take 200 bytes."""
    return opcodes.union(more)
