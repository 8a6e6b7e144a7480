"""How the fragments of a message become the message, or the pieces that a streaming reader gets.

Runs as it is, and compiled.
"""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from typing import Any

from wsext.errors import RemoteProtocolError
from wsext.protocol.codes import Opcode
from wsext.protocol.frames import Frame, Message
from wsext.protocol.journal import Journal

try:
    import cython  # type: ignore
except ImportError:  # needed to compile this module, not to run it
    from wsext.compiled import cython

__all__ = ["Joiner", "not_utf8", "too_big"]


@cython.final
@cython.cclass
class Joiner:
    """Joins the fragments of one message, from its first frame to its last.

    Args:
        max_size: The most bytes that the message may have (1009 beyond).
        skip: Bytes at its beginning that the program has from an earlier connection already.

    Attributes:
        size: Bytes of the message so far.
    """

    __slots__ = ("_buffer", "_decoder", "_is_first", "_max_size", "_meta", "_skip", "size")

    def __init__(self, max_size: int, skip: int) -> None:
        self.size = 0
        self._max_size = max_size
        self._skip = skip
        # The bytes are kept, not the text: a thousand one-byte fragments must not cost more.
        self._buffer = bytearray()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._is_first = not skip  # whether the next piece of a streamed message is its first
        self._meta: Mapping[str, Any] | None = None

    @property
    def held_bytes(self) -> int:
        """Bytes that have come and are not handed out."""
        return len(self._buffer)

    def take(self, frame: Frame, streaming: bool, journal: Journal | None) -> Message | None:
        """The message with its last fragment; a piece of it with every one, if it is streamed.

        Raises:
            RemoteProtocolError: If the message is too large, or its text is no UTF-8.
        """
        if frame.opcode:
            if frame.opcode > 2:
                raise RemoteProtocolError(1002, f"opcode {frame.opcode} means nothing here")
            is_text = frame.opcode == Opcode.TEXT
            self._decoder = codecs.getincrementaldecoder("utf-8")() if is_text else None
        if frame.meta is not None:
            self._meta = frame.meta
        self.size += len(frame.payload)
        if self.size > self._max_size:
            raise too_big(self._max_size)
        if self._skip:
            rest = bytes(frame.payload)[self._skip :]
            self._skip = 0 if frame.fin else self._skip - (len(frame.payload) - len(rest))
            frame = frame.replace(payload=rest)
        text = ""
        if self._decoder is not None:
            try:
                text = self._decoder.decode(bytes(frame.payload), frame.fin)
            except UnicodeDecodeError:
                raise not_utf8() from None
        if frame.fin and journal is not None:
            journal.skip = 0
        if streaming:
            return self._piece(frame, text, journal)
        self._buffer += frame.payload
        if not frame.fin:
            return None
        whole = bytes(self._buffer)
        data = str(whole, "utf-8") if self._decoder is not None else whole
        return Message(data, self.size, self._meta)

    def _piece(self, frame: Frame, text: str, journal: Journal | None) -> Message | None:
        data: str | bytes = bytes(frame.payload) if self._decoder is None else text
        if self._buffer:  # what came before streaming was asked for
            # Undecoded ends of characters are in the decoder and in `text`, so cut them here.
            before = bytes(self._buffer)
            self._buffer.clear()
            if isinstance(data, str):
                data = before.decode("utf-8", "ignore") + data
            else:
                data = before + data
        message = Message(data, len(frame.payload), self._meta, frame.fin, self._is_first)
        self._is_first = False
        if frame.fin:
            return message
        if journal is not None:
            held = b"" if self._decoder is None else self._decoder.getstate()[0]
            journal.skip = max(journal.skip, self.size - len(held))
        return message if data or message.first else None


def too_big(limit: int) -> RemoteProtocolError:
    """What is raised for a message of more bytes than the limit."""
    return RemoteProtocolError(1009, f"message of more than {limit} bytes")


def not_utf8() -> RemoteProtocolError:
    """What is raised for text that is no UTF-8 (RFC 6455 §8.1)."""
    return RemoteProtocolError(1007, "text is not valid UTF-8")
