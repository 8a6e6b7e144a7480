"""A crowd in one room, some of whom never read: the others get everything.

SHOW=full python -m pytest tests/e2e/test_crowd.py -n0 -s
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import time
from pathlib import Path

import pytest

from tests.e2e.processes import serving
from tests.raw import REQUEST, masked

FULL = os.environ.get("SHOW") == "full"
CROWD, NEVER_READ = (2000, 100) if FULL else (100, 5)
MIB = 1 << 20
RATE = MIB if FULL else 8 * MIB  # bytes a second for each member
SIZE = 1 << 16
MESSAGES = 16 * MIB // SIZE  # more than the system's buffers take for somebody who does not read
FRAME = SIZE + 10

APP = """
import json
from collections import Counter
from wsext import App, Response, WebSocketOptions, hookimpl

app = App(options=WebSocketOptions(close_timeout=1))
codes = Counter()


class Count:
    @hookimpl
    def wsext_session_closed(self, session, info):
        codes[str(info.code)] += 1


app.install(Count())


@app.http("/codes")
def count(request):
    return Response(200, json.dumps(codes))


@app.websocket("/member")
async def member(session):
    async with app.room("crowd").join(session):
        async for _ in session:
            pass


@app.websocket("/speaker")
async def speaker(session):
    async for message in session:
        await app.room("crowd").broadcast(message)
"""


class Reader:
    """A member that reads, and checks that message after message comes."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at = 0  # bytes of frames so far
        self.rest = b""  # what came of the next frame's first bytes

    def take(self, buffer: memoryview) -> None:
        size = self.sock.recv_into(buffer)
        assert size, f"closed after {self.at // FRAME} messages"
        start, self.at = self.at, self.at + size
        number = -(-start // FRAME)
        if start % FRAME and start % FRAME < 18:  # the number was cut
            number -= 1
        while number * FRAME + 18 <= self.at:
            offset = number * FRAME - start
            head = self.rest + bytes(buffer[max(offset, 0) : offset + 18])
            assert head[:2] == b"\x82\x7f"
            assert int.from_bytes(head[10:18], "big") == number
            self.rest = b""
            number += 1
        if self.at % FRAME < 18:
            self.rest += bytes(buffer[max(number * FRAME - start, 0) : size])


def join(port: int, path: str) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port), timeout=10)
    sock.sendall(REQUEST.format(path=path, more="").encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101")
    return sock


def memory(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def codes(port: int) -> dict[str, int]:
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(b"GET /codes HTTP/1.1\r\nHost: localhost\r\n\r\n")
        answer = b"".join(iter(lambda: sock.recv(4096), b""))
    found: dict[str, int] = json.loads(answer.partition(b"\r\n\r\n")[2])
    return found


@pytest.mark.timeout(300)
def test_those_who_never_read_hold_up_nobody(tmp_path: Path) -> None:
    (tmp_path / "crowd.py").write_text(APP)
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with serving("crowd:app", cwd=tmp_path) as served:
        port, pid = int(served.ws.rpartition(":")[2]), served.process.pid
        silent = [join(port, "/member") for _ in range(NEVER_READ)]
        readers = [Reader(join(port, "/member")) for _ in range(CROWD - NEVER_READ)]
        speaker = join(port, "/speaker")
        idle = memory(pid)
        peak, took = _broadcast(readers, speaker, pid)
        assert all(reader.at == MESSAGES * FRAME for reader in readers)
        while codes(port).get("1013") != NEVER_READ:  # the limit of pytest's is the limit
            time.sleep(0.05)
        print(
            f"{CROWD} connections, {NEVER_READ} never read: {MESSAGES} messages of {SIZE} bytes to "
            f"each of the others in {took:.1f} s; memory {idle / MIB:.0f} MiB idle, "
            f"{peak / MIB:.0f} MiB at most; {codes(port)}"
        )
        assert peak - idle < 64 * MIB
        for sock in [*silent, *(reader.sock for reader in readers), speaker]:
            sock.close()


def _broadcast(readers: list[Reader], speaker: socket.socket, pid: int) -> tuple[int, float]:
    """Say everything at the rate, and have all readers read; the peak of the memory."""
    buffer = memoryview(bytearray(1 << 20))
    peak = said = 0
    begin = time.monotonic()
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            reader.sock.setblocking(False)
            selector.register(reader.sock, selectors.EVENT_READ, reader)
        waiting = len(readers)
        while waiting:
            now = time.monotonic() - begin
            assert now < 120, f"{waiting} of {len(readers)} still wait"
            if said < MESSAGES and said * SIZE <= now * RATE:
                payload = said.to_bytes(8, "big") + bytes(SIZE - 8)
                speaker.sendall(masked(2, payload))
                said += 1
                peak = max(peak, memory(pid))
            for key, _ in selector.select(0.01):
                key.data.take(buffer)
                if key.data.at == MESSAGES * FRAME:
                    selector.unregister(key.fileobj)
                    waiting -= 1
    return max(peak, memory(pid)), time.monotonic() - begin
