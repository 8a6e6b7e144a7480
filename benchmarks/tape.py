"""Before a measurement: does the server do the work rightly, and what are the frames to send?

The check is made with the client of `websockets`, which the servers did not choose.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from websockets.exceptions import NegotiationError
from websockets.extensions import ClientExtensionFactory, Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension
from websockets.sync.client import ClientConnection, connect
from websockets.typing import ExtensionName
from workloads import NO_TAKEOVER, Workload

__all__ = ["Wrong", "check", "first_frame", "offer", "tape"]


class Wrong(Exception):
    """The server does not do what is to be measured."""


class _NoOp(ClientExtensionFactory, Extension):
    """An extension without parameters that changes nothing."""

    def __init__(self, name: str) -> None:
        self.name = ExtensionName(name)

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
    if not factories:
        return ""
    return str(build_extension([(f.name, f.get_request_params()) for f in factories]))


def _answer(connection: ClientConnection) -> str:
    assert connection.response is not None
    return connection.response.headers.get("Sec-WebSocket-Extensions", "")


def _dial(port: int, path: str, workload: Workload, no_ops: int = 0) -> ClientConnection:
    try:
        return connect(
            f"ws://127.0.0.1:{port}{path}",
            compression=None,
            extensions=_extensions(workload, no_ops) or None,
            max_size=1 << 22,
            open_timeout=10,
            proxy=None,
        )
    except NegotiationError as error:
        raise Wrong(f"its answer is not one to what was offered: {error}") from None


def check(port: int, workload: Workload, no_ops: int) -> str:
    """Send each message and compare the replies; gives the extensions that were agreed.

    Raises:
        Wrong: If a reply differs, or what was offered was not agreed.
    """
    is_room = workload.kind == "room"
    with _dial(port, "/room" if is_room else "/", workload, no_ops) as here:
        answer = _answer(here)
        if workload.deflate and "permessage-deflate" not in answer:
            raise Wrong("permessage-deflate is not agreed")
        if answer.count("x-noop") != no_ops:
            raise Wrong("the no-op extensions are not agreed")
        if is_room:
            with _dial(port, "/publish", workload) as publisher:
                _compare(publisher, here, workload.messages)
        else:
            _compare(here, here, workload.messages)
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


def tape(workload: Workload, no_ops: int, answer: str) -> bytes:
    """The frames that a connection sends again and again, with their sizes before them.

    They are compressed as was agreed. With context takeover no message refers to what came before
    the first one, so that the tape can start over.
    """
    messages = workload.messages
    count = len(messages)
    while count % workload.in_flight:
        count += len(messages)
    codecs = []
    if workload.kind != "room":  # a publisher sends plain text
        factories = {factory.name: factory for factory in _extensions(workload, no_ops)}
        codecs = [
            factories[name].process_response_params(params, [])
            for name, params in (parse_extension(answer) if answer else ())
        ]
    frames = [
        Frame(Opcode.TEXT, messages[number % len(messages)]).serialize(mask=True, extensions=codecs)
        for number in range(count)
    ]
    sizes = [len(frame) for frame in frames]
    return struct.pack(f"={count + 1}I", count, *sizes) + b"".join(frames)


def first_frame(data: bytes) -> bytes:
    """The first frame of a tape."""
    count, size = struct.unpack_from("=2I", data)
    return data[4 + 4 * count :][:size]
