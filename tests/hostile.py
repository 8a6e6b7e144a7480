"""What hostile peers send, and what they get: the same on every front."""

from __future__ import annotations

import zlib

from tests.raw import KEY, masked

__all__ = ["BAD_FRAMES", "BAD_HEADERS", "BAD_OFFERS", "DEFLATE", "ODD_REQUESTS"]

#: A header that offers permessage-deflate.
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate\r\n"


def deflated(data: bytes, tail: bool = True) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    out = compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)
    return out[:-4] if tail else out


BOMB = deflated(bytes(1_000_000), False) * 49 + deflated(bytes(1_000_000))

#: What breaks a rule where messages have at most 100,000 bytes, and the close code for it.
BAD_FRAMES = [
    (masked(1, b"\xff\xfe"), 1007),
    (masked(3, b"x"), 1002),
    (masked(1, b"x", rsv=0x20), 1002),
    (masked(0, b"x"), 1002),
    (b"\x81\x05hello", 1002),
    (b"\x82\xff" + b"\xff" * 8 + KEY, 1002),
    (b"\x82\xff" + (1 << 40).to_bytes(8, "big") + KEY, 1009),
    (masked(2, b"x" * 100_001), 1009),
    (masked(2, b"x" * 60_000, False) + masked(0, b"x" * 60_000), 1009),
    (masked(1, b"", False) + masked(0, b"x", False) * 100_001, 1009),
    (masked(8, b"\x03\xee"), 1002),
    (masked(9, b"x" * 126), 1002),
    (masked(1, BOMB, rsv=0x40), 1009),
    (masked(2, BOMB[:20_000], False, 0x40) + masked(0, BOMB[20_000:]), 1009),
    (masked(1, b"\xff\xff\xff\xff", rsv=0x40), 1007),
    (masked(1, deflated(b"cut off in the middle", False)[:7], rsv=0x40), 1007),
    (masked(1, deflated(b"\xff"), rsv=0x40), 1007),
    (masked(1, b"\x01\x00\x00\xff\xff" * 5000, rsv=0x40), 1007),
    (masked(1, deflated(b"a"), False, 0x40) + masked(0, b"", True, 0x40), 1002),
]

#: Extension offers that are of the grammar, and that nobody can agree to.
BAD_OFFERS = [
    "permessage-deflate; server_max_window_bits=7",
    "permessage-deflate; server_max_window_bits",
    "permessage-deflate; server_max_window_bits=010",
    "permessage-deflate; server_no_context_takeover=1",
    "permessage-deflate; unknown",
    "permessage-deflate; client_max_window_bits; client_max_window_bits",
    "permessage-deflate" + "; a" * 3000,
    ", ".join(["x-nothing"] * 700),
]

#: Headers of extensions that are not of the grammar.
BAD_HEADERS = ["permessage-deflate; a=", ";;;,,,===", '"' * 1000, ""]

#: Requests that are answered with a 4xx.
ODD_REQUESTS = [
    b"\x00" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + b"\xff: \xfe\r\n\r\n",
    b"GET /" + b"%ff" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET http://evil/ HTTP/1.1\r\nHost: \xc3\xa9\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET // HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: " + b"x" * 5000 + b"\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n",
]
