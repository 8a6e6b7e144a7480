"""pcapng: for Wireshark and its kin.

What an interceptor sees is not what travelled: codecs and TLS come after it. So each session is
written as the TCP connection that it would have been without them, on made-up ports: a handshake
without extensions, and the frames as plain WebSocket frames. Viewers follow it like any other.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import itertools
import struct
import time
from pathlib import Path

from wsext_capture.records import Opened, Record, add_to

__all__ = ["PcapngWriter"]

_ETHERNET = 1
_MSS = 60_000
_FIN, _SYN, _PSH, _ACK = 0x01, 0x02, 0x08, 0x10
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


#: Made-up ports go on from one opening of a file to the next, lest two sessions look like one.
_numbers = itertools.count(time.time_ns() // 1_000_000 % 40000)


def _block(kind: int, body: bytes) -> bytes:
    body += bytes(-len(body) % 4)
    size = struct.pack("<I", len(body) + 12)
    return struct.pack("<I", kind) + size + body + size


def _checksum(data: bytes) -> int:
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


class _Flow:
    """One made-up TCP connection."""

    def __init__(self, client: bytes, port: int) -> None:
        self.addresses = {"client": client, "server": bytes([127, 0, 0, 1])}
        self.ports = {"client": port, "server": 80}
        self.sequence = {"client": 1000, "server": 5000}

    def segment(self, side: str, flags: int, payload: bytes = b"") -> bytes:
        """An Ethernet frame with the next segment of one side."""
        other = "server" if side == "client" else "client"
        ack = self.sequence[other] if flags & _ACK else 0
        tcp = struct.pack(
            ">HHIIBBHHH",
            self.ports[side],
            self.ports[other],
            self.sequence[side] & 0xFFFFFFFF,
            ack & 0xFFFFFFFF,
            5 << 4,
            flags,
            65535,
            0,
            0,
        )
        self.sequence[side] += len(payload) + bool(flags & (_SYN | _FIN))
        source, target = self.addresses[side], self.addresses[other]
        pseudo = source + target + struct.pack(">BBH", 0, 6, len(tcp) + len(payload))
        check = _checksum(pseudo + tcp + payload)
        tcp = tcp[:16] + struct.pack(">H", check) + tcp[18:]
        ip = struct.pack(
            ">BBHHHBBH", 0x45, 0, 20 + len(tcp) + len(payload), 0, 0x4000, 64, 6, 0
        ) + (source + target)
        ip = ip[:10] + struct.pack(">H", _checksum(ip)) + ip[12:]
        return b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02\x08\x00" + ip + tcp + payload


class PcapngWriter:
    """Writes a section of its own at each start, so that a file can be added to."""

    def __init__(self, path: Path) -> None:
        self._file = add_to(path)
        self._flows: dict[Opened, _Flow] = {}
        section = struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1)
        interface = struct.pack("<HHI", _ETHERNET, 0, 0)
        self._file.write(_block(0x0A0D0D0A, section) + _block(1, interface))

    def _packet(self, now: float, data: bytes) -> None:
        micros = int(now * 1_000_000)
        head = struct.pack("<IIIII", 0, micros >> 32, micros & 0xFFFFFFFF, len(data), len(data))
        self._file.write(_block(6, head + data))

    def _send(self, flow: _Flow, now: float, side: str, payload: bytes) -> None:
        for at in range(0, len(payload), _MSS):
            part = payload[at : at + _MSS]
            self._packet(now, flow.segment(side, _PSH | _ACK, part))

    def open(self, opened: Opened) -> None:
        """A session has opened: TCP's and WebSocket's handshakes."""
        flow = self._flows[opened] = _Flow(_address(opened.remote), 20000 + next(_numbers) % 40000)
        now = opened.time
        self._packet(now, flow.segment("client", _SYN))
        self._packet(now, flow.segment("server", _SYN | _ACK))
        self._packet(now, flow.segment("client", _ACK))
        lines = [f"GET {opened.path} HTTP/1.1"]
        skipped = {"sec-websocket-key", "sec-websocket-extensions"}
        kept = [item for item in opened.headers if item[0].lower() not in skipped]
        lines += [f"{name}: {value}" for name, value in kept]
        request = "\r\n".join(lines).encode("latin-1", "replace")
        request += b"\r\nSec-WebSocket-Key: " + _KEY + b"\r\n\r\n"
        self._send(flow, now, "client", request)
        accept = base64.b64encode(hashlib.sha1(_KEY + _GUID).digest())
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
        answer += b"Connection: Upgrade\r\nSec-WebSocket-Accept: " + accept + b"\r\n"
        if opened.subprotocol:
            answer += b"Sec-WebSocket-Protocol: " + opened.subprotocol.encode() + b"\r\n"
        self._send(flow, now, "server", answer + b"\r\n")

    def frame(self, opened: Opened, record: Record) -> None:
        """A frame has travelled; what was cut is written as zeros, so that lengths are right."""
        other = "server" if opened.role == "client" else "client"
        side = opened.role if record.way == "sent" else other
        payload = record.payload + bytes(record.size - len(record.payload))
        first = (0x80 if record.fin else 0) | record.opcode
        mask = 0x80 if side == "client" else 0
        if record.size < 126:
            header = bytes([first, mask | record.size])
        elif record.size < 65536:
            header = bytes([first, mask | 126]) + record.size.to_bytes(2, "big")
        else:
            header = bytes([first, mask | 127]) + record.size.to_bytes(8, "big")
        if mask:
            header += bytes(4)  # a key of zeros leaves the payload to be read
        self._send(self._flows[opened], record.time, side, header + payload)

    def close(self, opened: Opened, now: float, code: int, reason: str) -> None:
        """A session has ended: both sides finish."""
        flow = self._flows.pop(opened)
        self._packet(now, flow.segment("server", _FIN | _ACK))
        self._packet(now, flow.segment("client", _FIN | _ACK))
        self._packet(now, flow.segment("server", _ACK))

    def finish(self) -> None:
        """No session is open."""
        self._file.close()


def _address(remote: str | None) -> bytes:
    host = (remote or "").rpartition(":")[0].strip("[]")
    try:
        return ipaddress.IPv4Address(host).packed
    except ValueError:
        return bytes([127, 0, 0, 2])  # a Unix socket, or an address that has no place here
