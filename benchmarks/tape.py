"""Before a measurement: does the server do the work rightly, and what are the frames to send?

The check is made with the client of `websockets`, which the servers did not choose.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Sequence
from typing import Any

from websockets.extensions import ClientExtensionFactory, Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension
from websockets.sync.client import ClientConnection, connect
from workloads import NO_TAKEOVER, Workload

__all__ = ["Wrong", "agreed", "check", "offer", "tape"]


class Wrong(Exception):
    """The server does not do what is to be measured."""


class _NoOp(ClientExtensionFactory, Extension):
    """An extension without parameters that changes nothing."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_request_params(self) -> list[Any]:
        return []

    def process_response_params(self, params: Any, accepted: Any) -> Extension:
        return self

    def decode(self, frame: Frame, *, max_size: int | None = None) -> Frame:
        return frame

    def encode(self, frame: Frame) -> Frame:
        return frame


def _extensions(workload: Workload, no_ops: int) -> list[ClientExtensionFactory]:
    made: list[ClientExtensionFactory] = [_NoOp(f"x-noop{number}") for number in range(no_ops)]
    if workload.deflate:
        fresh = workload.deflate == NO_TAKEOVER
        made.append(ClientPerMessageDeflateFactory(fresh, fresh, client_max_window_bits=True))
    return made


def offer(workload: Workload, no_ops: int = 0) -> str:
    """The value of Sec-WebSocket-Extensions; empty for none."""
    factories = _extensions(workload, no_ops)
    return str(build_extension([(f.name, f.get_request_params()) for f in factories]))


def agreed(connection: ClientConnection) -> str:
    """What the server answered to the offer."""
    assert connection.response is not None
    return connection.response.headers.get("Sec-WebSocket-Extensions", "")


def _dial(port: int, path: str, workload: Workload, no_ops: int = 0) -> ClientConnection:
    return connect(
        f"ws://127.0.0.1:{port}{path}",
        compression=None,
        extensions=_extensions(workload, no_ops) or None,
        max_size=1 << 22,
        open_timeout=10,
        proxy=None,
    )


def check(port: int, workload: Workload, no_ops: int) -> str:
    """Send each message and compare the replies; gives the extensions that were agreed.

    Raises:
        Wrong: If a reply differs, or what was offered was not agreed.
    """
    listens, talks = ("/room", "/publish") if workload.kind == "room" else ("/", "/")
    with _dial(port, listens, workload, no_ops) as here:
        answer = agreed(here)
        if workload.deflate and "permessage-deflate" not in answer:
            raise Wrong("permessage-deflate is not agreed")
        if answer.count("x-noop") != no_ops:
            raise Wrong("the no-op extensions are not agreed")
        if talks == listens:
            _compare(here, here, workload.messages)
        else:
            with _dial(port, talks, workload) as publisher:
                _compare(publisher, here, workload.messages)
    return answer


def _compare(there: ClientConnection, here: ClientConnection, messages: Sequence[bytes]) -> None:
    for message in messages:
        there.send(message, text=True)
        try:
            reply = here.recv(timeout=10, decode=False)
        except TimeoutError:
            raise Wrong("no reply") from None
        if reply != message:
            raise Wrong("a reply differs from what was sent")


def tape(workload: Workload, answer: str) -> bytes:
    """The frames that a connection sends again and again, with their sizes before them.

    They are compressed as was agreed. With context takeover no message refers to what came before
    the first one, so that the tape can start over.
    """
    messages = workload.messages
    count = len(messages)
    while count % workload.in_flight:
        count += len(messages)
    packed = workload.deflate and workload.kind != "room"  # a publisher sends plain text
    packer, frames = _Packer(answer), []
    for number in range(count):
        message = messages[number % len(messages)]
        frame = Frame(Opcode.TEXT, packer(message) if packed else message, rsv1=bool(packed))
        frames.append(frame.serialize(mask=True))
    sizes = [len(frame) for frame in frames]
    return struct.pack(f"={count + 1}I", count, *sizes) + b"".join(frames)


class _Packer:
    """The compressor of a client that agreed to this."""

    def __init__(self, answer: str) -> None:
        bits = re.search(r"client_max_window_bits=(\d+)", answer)
        self._bits = int(bits[1]) if bits else 15
        self._fresh = "client_no_context_takeover" in answer
        self._packer = self._new()

    def _new(self) -> Any:
        return zlib.compressobj(6, zlib.DEFLATED, -max(self._bits, 9))

    def __call__(self, message: bytes) -> bytes:
        if self._fresh:
            self._packer = self._new()
        return (self._packer.compress(message) + self._packer.flush(zlib.Z_SYNC_FLUSH))[:-4]
