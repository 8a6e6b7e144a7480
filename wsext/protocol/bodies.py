"""The body of a request (RFC 9112 §6 and §7), read from bytes as they come and within limits."""

from __future__ import annotations

import re
from collections.abc import Generator
from urllib.parse import parse_qs

from wsext.errors import HandshakeRejected
from wsext.protocol.headers import NAME, VALUE, Headers
from wsext.protocol.lines import LineReader, TooLarge

__all__ = ["BodyReader", "body_length", "parse_form"]

_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 1000

#: Bytes of a body for which its chunks may take one for their sizes and trailers, and how many more
#: these may be. Each chunk takes time: a large body has to come in chunks of 200 bytes or more.
_PER_FRAMES, _FRAMES = 32, 1024

# Neither a sign nor a blank: what one reader takes for a length, and another one for none, is how
# requests are smuggled (RFC 9112 §11.2).
_LENGTH = re.compile("[0-9]{1,18}")
_CHUNK = re.compile(rf"([0-9A-Fa-f]{{1,16}})(?:[ \t]*;{VALUE.pattern})?\r\n")
_END = re.compile("\r\n")
_TRAILER_OR_END = re.compile(rf"(?:{NAME.pattern}:{VALUE.pattern})?\r\n")


def body_length(headers: Headers, version: str) -> int | None:
    """How many bytes a request's body has (RFC 9112 §6.3); ``None`` for what ends otherwise: its
    last chunk, or its stream.

    Raises:
        HandshakeRejected: 400 for two lengths or a malformed one; 501 for a coding beside chunked.
    """
    codings = headers.get_all("Transfer-Encoding")
    lengths = headers.get_all("Content-Length")
    if codings:
        if lengths or len(codings) > 1 or version != "HTTP/1.1":
            raise HandshakeRejected(400, "Transfer-Encoding cannot stand here")
        coding = codings[0].lower()
        if coding != "chunked":
            known = coding.endswith("chunked")
            raise HandshakeRejected(501 if known else 400, "the only Transfer-Encoding is chunked")
        return None
    if not lengths:
        return None if version == "HTTP/2" else 0
    if len(lengths) > 1 or not _LENGTH.fullmatch(lengths[0]):
        raise HandshakeRejected(400, "malformed Content-Length")
    return int(lengths[0])


class BodyReader(LineReader):
    """Server: reads the body of a request. There is never more in it than the body may have.

    Args:
        headers: Of the request.
        version: Of HTTP.
        max_size: The most bytes of the body.

    Raises:
        HandshakeRejected: 413 if the body is too large, 417 if the client expects something else
            than ``100-continue`` (RFC 9110 §10.1.1).
    """

    def __init__(self, headers: Headers, version: str, max_size: int) -> None:
        frames = max_size // _PER_FRAMES + _FRAMES
        super().__init__(frames, frames)
        self._room = max_size
        self._over_stream = version == "HTTP/2"
        self._length = body_length(headers, version)
        self._body = bytearray()
        self._check_room(self._length or 0)
        expected = headers.get("Expect", "").lower()
        #: Whether the client waits for ``100 Continue`` before it sends the body.
        self.is_awaited = expected == "100-continue" and version != "HTTP/1.0"
        if expected and expected != "100-continue":
            raise HandshakeRejected(417, "the only expectation that is met is 100-continue")
        self._parser = self._read()

    def feed(self, data: bytes, *, end: bool = False) -> bytes | None:
        """Take bytes; return the body once it is whole.

        Args:
            data: What has come.
            end: Whether it is the last of a stream.

        Raises:
            HandshakeRejected: 413 if the body is too large, 400 if it is malformed.
        """
        self.buffer += data
        self.ended = end
        try:
            next(self._parser)
        except StopIteration:
            return bytes(self._body)
        except TooLarge:
            raise HandshakeRejected(413, "too many chunks") from None
        return None

    def close(self) -> None:
        """Forget the body. The grammar's generators and this keep one another, with all that has
        come; without this call they would wait for the garbage collector."""
        self._parser.close()

    def _read(self) -> Generator[None, None, None]:
        if self._over_stream:
            while True:
                self._take(len(self.buffer))
                if self.ended:
                    return
                yield
        elif self._length is not None:
            yield from self._read_bytes(self._length)
        else:
            yield from self._read_chunks()

    def _read_chunks(self) -> Generator[None, None, None]:
        while size := int((yield from self._read_match(_CHUNK))[1], 16):
            self._check_room(size)
            yield from self._read_bytes(size)
            yield from self._read_match(_END)
        while (yield from self._read_match(_TRAILER_OR_END))[0] != "\r\n":
            pass  # what stands there is about a body that is whole by now

    def _read_match(self, pattern: re.Pattern[str]) -> Generator[None, None, re.Match[str]]:
        """Read a line of the grammar."""
        line = yield from self.read_line()
        found = pattern.fullmatch(line.decode("latin-1"))
        if found is None:
            raise HandshakeRejected(400, "malformed body")
        return found

    def _read_bytes(self, size: int) -> Generator[None, None, None]:
        while size > 0:
            while not self.buffer:
                yield from self.more()
            size -= self._take(size)

    def _take(self, size: int) -> int:
        """Move bytes from the buffer to the body; how many there were."""
        part = self.buffer[:size]
        del self.buffer[:size]
        self._check_room(len(part))
        self._body += part
        self._room -= len(part)
        return len(part)

    def _check_room(self, size: int) -> None:
        if size > self._room:
            raise HandshakeRejected(413, "the body is too large")


def parse_form(content_type: str, body: bytes) -> dict[str, list[str]]:
    """The fields of a form with all their values.

    Raises:
        HandshakeRejected: 415 for another content type than that of a form, 400 for a form that is
            not UTF-8 or has more than 1000 fields.
    """
    if content_type.partition(";")[0].strip().lower() != _FORM:
        raise HandshakeRejected(415, f"the body has to be {_FORM}", {"Accept-Post": _FORM})
    try:
        return parse_qs(body.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise HandshakeRejected(400, "malformed form") from None
