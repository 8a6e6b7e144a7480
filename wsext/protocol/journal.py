"""What a session has sent and received over all of its connections, without I/O.

A `Journal` owns every counter and every kept message of a session that outlives its connection. It
is the only thing that moves from one connection to the next. An extension gives it to a session by
`Codec.journal`; the engine writes into it. ``docs/resuming.md`` has the rules. Runs as it is, and
compiled.

Messages are numbered from 1, in each direction. Of those that this side sends, these are kept::

    1 … acknowledged │ acknowledged+1 … sent │ sent+1 …
     the peer's      │   written, and not    │ to be written again: the connection was lost,
     program has it  │   acknowledged        │ and the peer has not received them
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sized
from typing import Any

from wsext.errors import RemoteProtocolError
from wsext.protocol.frames import Frame

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Journal"]

#: An acknowledgement is due after so many messages, if so many may be kept.
_EVERY = 64

#: No acknowledgement has been sent on this connection.
_NEVER = -1


@cython.final
@cython.cclass
class Journal:
    """The counters and the kept messages of one session.

    Args:
        opcode: The reserved control opcode that carries acknowledgements.
        window: Seconds that the session is kept without a connection.
        max_bytes: Bytes of sent messages that are kept before more is sent. One message may be
            larger.
        max_messages: How many of them.

    Attributes:
        sent: Messages that this side has sent and the peer has, or will have read when it reads on.
        acknowledged: How many of them the peer's program has taken.
        received: Messages that have come, whole.
        kept_bytes: Bytes of the messages that are kept.
        is_full: Whether so much is kept that nothing new may be sent.
        acks: Acknowledgements that have come, over all connections.
        session: The session whose journal it is, once it has started; ``None`` before, and after it
            has ended.
        is_started: Whether there is, or was, such a session.
        peer_received: What the peer has said in the handshake that it has received; for the front,
            set by the extension.
        fresh: Client: why the server did not resume the session before this one; for the front, set
            by the extension.
        drop: What cuts off the session's connection; see `cut_off`.
        queue: What of the received messages nobody has taken yet.
    """

    __slots__ = (
        "_again",
        "_again_bytes",
        "_begun",
        "_begun_again",
        "_begun_bytes",
        "_bytes",
        "_bytes_told",
        "_every",
        "_kept",
        "_lost",
        "_parts",
        "_parts_bytes",
        "_quarter",
        "_taken",
        "_told",
        "acknowledged",
        "acks",
        "drop",
        "fresh",
        "is_full",
        "is_started",
        "kept_bytes",
        "max_bytes",
        "max_messages",
        "opcode",
        "peer_received",
        "queue",
        "received",
        "replayed",
        "replayed_bytes",
        "sent",
        "session",
        "skip",
        "window",
    )

    def __init__(
        self,
        opcode: int = 0xB,
        *,
        window: float = 60.0,
        max_bytes: int = 1 << 20,
        max_messages: int = 1024,
    ) -> None:
        self.opcode = opcode
        self.window = window
        self.max_bytes = max_bytes
        self.max_messages = max_messages
        self.sent = self.acknowledged = self.received = 0
        self.kept_bytes = 0
        self.is_full = False
        self.acks = 0
        self.session: Any = None
        self.is_started = False
        self.peer_received: int | None = None
        self.fresh = ""
        self.drop: Callable[[], None] | None = None
        self.queue: Sized = ()

    # --- for extensions -----------------------------------------------------------------------

    def cut_off(self) -> None:
        """Freeze the session's connection and drop it: from now on nothing that it reads or writes
        counts, and `received` is final. Nothing happens where there is none."""
        if self.drop is not None:
            self.drop()

    def can_rewind(self, received: int) -> bool:
        """Whether the peer may have received so many messages, so that the rest can be sent again."""
        raise NotImplementedError

    @property
    def is_resumable(self) -> bool:
        """Whether everything is kept that the peer may lack."""
        raise NotImplementedError

    def unconfirmed(self) -> list[str | bytes]:
        """The messages that were sent and that the peer's program has not taken, as far as is known."""
        raise NotImplementedError

    def rewind(self, received: int) -> int:
        """The peer has received so many messages: have the others written again.

        Returns:
            How many these are.

        Raises:
            ValueError: If that cannot be (`can_rewind`); nothing has changed then.
        """
        raise NotImplementedError
