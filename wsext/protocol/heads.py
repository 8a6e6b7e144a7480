"""The head of a request (RFC 9112 §2 to §5), read from bytes as they come and within limits."""

from __future__ import annotations

import re

from wsext.errors import HandshakeRejected
from wsext.protocol.bodies import body_length
from wsext.protocol.headers import Headers, check_fields, is_host
from wsext.protocol.http import Request

__all__ = ["RequestReader"]

#: The longest line.
_MAX_LINE = 8192

#: Methods whose requests have bodies, which nobody reads here. That of POST is read later.
_WITH_BODY = ("PUT", "PATCH", "DELETE")

# The grammar is strict: lines end with CR and LF, nothing stands between a name and its colon, and
# no line goes on in the next one (RFC 9112 §2.2, §5.1, §5.2).
_REQUEST_LINE = re.compile(r"([A-Za-z]+) ([!-~]+) (HTTP/1\.[01])\r\n")
_NAME = r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"
_VALUE = r"[\t\x20-\x7e\x80-\xff]*"
_FIELD = re.compile(rf"^({_NAME}):({_VALUE})\r\n", re.MULTILINE)

#: A path and query, or a whole URL. There is no fragment in it (RFC 9112 §3.2).
_TARGET = re.compile(r"/[^#]*|(?:https?|wss?)://(?P<host>[^/?#]+)(?:[/?][^#]*)?", re.I)


class RequestReader:
    """Server: reads the client's request.

    Args:
        max_size: The most bytes of request line and headers together (431 beyond).
        max_count: The most header lines (431 beyond).
    """

    __slots__ = ("_buffer", "_checked", "_fields", "_line", "_max_count", "_max_size", "_text")

    def __init__(self, *, max_size: int = 16384, max_count: int = 100) -> None:
        self._max_size = max_size
        self._max_count = max_count
        self._buffer = bytearray()
        self._checked = 0  # how many of its bytes are lines of the grammar
        self._line: tuple[str, ...] = ()  # method, target, version
        self._fields: list[tuple[str, str]] = []
        self._text = ""  # of the fields

    def feed(self, data: bytes) -> Request | None:
        """Take bytes; return the request once it is whole.

        Raises:
            HandshakeRejected: If it is malformed or too large; answer with its status.
        """
        buffer, checked = self._buffer, self._checked
        buffer += data
        last = buffer.find(b"\r\n\r\n", max(checked - 2, 0)) + 2
        is_whole = last >= 2
        if not is_whole:
            last = buffer.rfind(b"\n", checked) + 1 or checked
        self._check_size(last + 2 if is_whole else len(buffer))
        if last > checked:
            self._read_lines(buffer[checked:last].decode("latin-1"))
            self._checked = last
        if not is_whole:
            return None
        del buffer[: last + 2]
        return self._make()

    def keep(self, data: bytes) -> None:
        """Keep bytes that came after the request for `take_rest`."""
        self._buffer += data

    def take_rest(self) -> bytes:
        """What came after the request: the first frames."""
        rest = bytes(self._buffer)
        self._buffer.clear()
        return rest

    def _check_size(self, end: int) -> None:
        """Check the limits of what has come of the head, which ends at ``end`` so far."""
        least = min(self._max_size, _MAX_LINE)
        if end <= least:
            return
        lines = self._buffer[self._checked : end].split(b"\n")
        if end > self._max_size or max(map(len, lines)) >= _MAX_LINE:
            if not self._line and len(lines[0]) >= least:
                raise HandshakeRejected(414, "request line too long")
            raise HandshakeRejected(431, "request headers too large")

    def _read_lines(self, text: str) -> None:
        at = 0
        if not self._line:
            found = _REQUEST_LINE.match(text)
            if found is None:
                raise _malformed(text.partition(" ")[0])
            self._line = method, target, _ = found.group(1, 2, 3)
            if not _is_target(target, method):
                raise HandshakeRejected(400, "malformed request line")
            at = found.end()
        fields = _FIELD.findall(text, at)
        if len(fields) != text.count("\n", at):  # one of the lines is no field
            raise _malformed(self._line[0])
        self._fields += [(name, value.strip(" \t")) for name, value in fields]
        self._text += text[at:]
        if len(self._fields) > self._max_count:
            raise HandshakeRejected(431, f"more than {self._max_count} request headers")

    def _make(self) -> Request:
        assert self._line is not None  # it was read before the headers
        method, target, version = self._line
        headers = Headers.of(self._fields, self._text)
        if method == "POST":
            body_length(headers, version)
        elif "Transfer-Encoding" in headers or {*headers.get_all("Content-Length")} - {"0"}:
            raise _malformed(method)  # nobody reads a body
        check_fields(headers, needs_host=version == "HTTP/1.1")
        return Request(method, target, headers, version=version)


def _malformed(method: str) -> HandshakeRejected:
    if method in _WITH_BODY:
        allowed = "GET, HEAD, POST"
        return HandshakeRejected(405, f"allowed: {allowed}", {"Allow": allowed})
    return HandshakeRejected(400, "malformed request")


def _is_target(target: str, method: str) -> bool:
    """Whether a method may have a target (RFC 9112 §3.2); a WebSocket's URL, too."""
    found = _TARGET.fullmatch(target)
    if found is None:  # OPTIONS * and CONNECT host:port get an answer of their own
        return method in ("OPTIONS", "CONNECT")
    host: str | None = found["host"]
    return host is None or (host[:1] != ":" and is_host(host))
