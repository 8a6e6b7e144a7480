"""WebSocket over HTTP/2 (RFC 8441): each session is one stream of a connection.

A stream is an asyncio transport (`stream`), on which links and sessions run as they do on a
socket. The HTTP/2 protocol itself is that of the package ``h2`` (``wsext[http2]``); the modules of
this package import it, so they are themselves imported only when HTTP/2 is spoken.

    frames      floods and GOAWAY, seen before h2 sees them; no I/O
    fields      requests and responses as header fields; no I/O
    stream      one stream as a transport
    connection  streams, windows and limits of one connection, either role

`wsext.server.http2` makes handshakes of requests, `wsext.client.http2` a request of a handshake.
"""

from __future__ import annotations

from importlib.util import find_spec

from wsext.errors import InvalidHandshake

__all__ = ["PREFACE", "NoWebSockets", "is_available"]

#: What a client's side of a connection starts with (RFC 9113 §3.4).
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def is_available() -> bool:
    """Whether the package ``h2`` is installed."""
    return find_spec("h2") is not None


class NoWebSockets(InvalidHandshake):
    """The server speaks HTTP/2, but no WebSocket over it."""
