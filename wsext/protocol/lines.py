"""The lines of an HTTP head, read from bytes as they come and within limits."""

from __future__ import annotations

from collections.abc import Generator

__all__ = ["LineReader", "TooLarge"]

#: The longest line that the grammar takes.
_MAX_LINE = 8192


class TooLarge(Exception):
    """A line, the whole head or a body is over its limit."""


class LineReader:
    """Keeps bytes, and gives a head's lines to the generators of a grammar.

    Args:
        max_size: The most bytes of all lines.
        max_count: The most lines, without the first one and the empty one.

    Attributes:
        buffer: What has come and is not read.
        lines: The lines that were read.
        ended: Whether no more bytes will come.
    """

    def __init__(self, max_size: int, max_count: int) -> None:
        self.buffer = bytearray()
        self.lines = 0
        self.ended = False
        self._max_size = max_size
        self._max_count = max_count
        self._size = 0

    def read_line(self) -> Generator[None, None, bytearray]:
        """Read a line with its end.

        Raises:
            TooLarge: For too long or too many lines.
            EOFError: If the bytes end before the line does.
        """
        end = size = 0
        while not end:
            end = self.buffer.find(b"\n", size) + 1
            size = end or len(self.buffer)
            if size > _MAX_LINE or self._size + size > self._max_size:
                raise TooLarge(f"more than {min(_MAX_LINE, self._max_size)} bytes")
            if not end:
                yield from self.more()
        self._size += size
        self.lines += 1
        if self.lines > self._max_count + 2:
            raise TooLarge(f"more than {self._max_count} headers")
        line = self.buffer[:end]
        del self.buffer[:end]
        return line

    def more(self) -> Generator[None, None, None]:
        """Wait for more bytes.

        Raises:
            EOFError: If there are none.
        """
        if self.ended:
            raise EOFError("the connection was closed too early")
        yield

    def keep(self, data: bytes) -> None:
        """Keep bytes that came after the handshake for `take_rest`."""
        self.buffer += data

    def take_rest(self) -> bytes:
        """What came after the handshake: the first frames."""
        rest = bytes(self.buffer)
        self.buffer.clear()
        return rest
