"""Idle memory: how much a server's resident memory grows with open connections."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from contextlib import ExitStack

from fleet import Server, Unavailable
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import Event, RemoteSettingsChanged, ResponseReceived

__all__ = ["per_connection"]

WARM = 50
SETTLE = 0.5  # seconds for a server to finish what a handshake left to do

#: A client's TLS that does not ask who the server is.
_ANYBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
_ANYBODY.check_hostname = False
_ANYBODY.verify_mode = ssl.CERT_NONE


def per_connection(
    server: Server, offer: str, connections: int, first: bytes, transport: str = ""
) -> float:
    """KiB per idle connection, the first few not counted.

    Args:
        server: A fresh one.
        offer: The extensions to offer.
        connections: How many to open.
        first: The frame that each sends and has echoed, or nothing.
        transport: What is below: ``tls``, or ``http2`` with one session on each connection.

    Raises:
        Unavailable: If a connection fails.
    """
    with ExitStack() as stack:
        sizes = []
        for count in (WARM, connections):
            for _ in range(count):
                sock = stack.enter_context(_connect(server.port, transport))
                if transport == "http2":
                    _begin_stream(sock)
                else:
                    _begin(sock, offer, first)
            time.sleep(SETTLE)
            sizes.append(server.rss())
    return (sizes[1] - sizes[0]) / connections / 1024


def _connect(port: int, transport: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    return _ANYBODY.wrap_socket(sock) if transport == "tls" else sock


def _begin(sock: socket.socket, offer: str, first: bytes) -> None:
    extensions = f"Sec-WebSocket-Extensions: {offer}\r\n" if offer else ""
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        f"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extensions}\r\n".encode()
    )
    response = b""
    while b"\r\n\r\n" not in response:
        response += _read(sock)
    if not response.startswith(b"HTTP/1.1 101") or (offer and offer[:18].encode() not in response):
        raise Unavailable("the handshake failed")
    if first:
        sock.sendall(first)
        _read_message(sock)


def _begin_stream(sock: socket.socket) -> None:
    """A session on the first stream of a connection (RFC 8441 §5)."""
    connection = H2Connection(H2Configuration(client_side=True))

    def wait_for(kind: type[Event]) -> None:
        sock.sendall(connection.data_to_send())
        while not any(isinstance(event, kind) for event in connection.receive_data(_read(sock))):
            sock.sendall(connection.data_to_send())
        sock.sendall(connection.data_to_send())

    connection.initiate_connection()
    wait_for(RemoteSettingsChanged)
    pseudo = {"method": "CONNECT", "protocol": "websocket", "scheme": "http", "path": "/"}
    headers = [(f":{name}", value) for name, value in pseudo.items()]
    headers += [(":authority", "127.0.0.1"), ("sec-websocket-version", "13")]
    connection.send_headers(1, headers)
    wait_for(ResponseReceived)


def _read_message(sock: socket.socket) -> None:
    data = _read(sock)
    while True:
        size = data[1] & 127 if len(data) >= 2 else 0
        if size < 126 and len(data) >= 2 + size:
            return
        if size == 126 and len(data) >= 4 and len(data) >= 4 + struct.unpack("!H", data[2:4])[0]:
            return
        data += _read(sock)


def _read(sock: socket.socket) -> bytes:
    data = sock.recv(65536)
    if not data:
        raise Unavailable("the server dropped a connection")
    return data
