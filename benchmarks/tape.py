"""Before a measurement: does the server do the work rightly, and what are the frames to send?

The check is made with the client of `websockets`, which the servers did not choose.
"""

from __future__ import annotations

import ssl
import struct
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from websockets.exceptions import NegotiationError
from websockets.extensions import ClientExtensionFactory, Extension
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.headers import build_extension, parse_extension
from websockets.sync.client import ClientConnection, connect
from websockets.typing import ExtensionName
from workloads import NO_TAKEOVER, Workload

from wsext.integrations.websockets import client_extensions

__all__ = ["Wrong", "check", "first_frame", "offer", "tape"]

#: Seconds that a broker may take to hear of a new member.
BRIDGED = 0.2


class Wrong(Exception):
    """The server does not do what is to be measured."""


class _NoOp(ClientExtensionFactory, Extension):
    """An extension that is offered without parameters and changes no message."""

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


def _extensions(
    workload: Workload, offers: Sequence[str], folder: Path
) -> list[ClientExtensionFactory]:
    made: list[ClientExtensionFactory] = [_NoOp(name) for name in offers]
    if workload.deflate:
        fresh = workload.deflate == NO_TAKEOVER
        made.append(ClientPerMessageDeflateFactory(fresh, fresh, client_max_window_bits=True))
    if workload.zstd:
        options: dict[str, Any] = {
            "server_no_context_takeover": True,
            "client_no_context_takeover": True,
        }
        if workload.zstd == "dictionary":
            options["dictionaries"] = [str(folder / "feed.zdict")]
        made.append(client_extensions({"permessage-zstd": options})[0])
    return made


def offer(workload: Workload, offers: Sequence[str], folder: Path) -> str:
    """The value of Sec-WebSocket-Extensions; empty for none."""
    factories = _extensions(workload, offers, folder)
    if not factories:
        return ""
    return str(build_extension([(f.name, f.get_request_params()) for f in factories]))


def _answer(connection: ClientConnection) -> str:
    assert connection.response is not None
    return connection.response.headers.get("Sec-WebSocket-Extensions", "")


def _dial(
    port: int, path: str, workload: Workload, offers: Sequence[str], folder: Path
) -> ClientConnection:
    is_tls = workload.transport in ("tls", "resume")
    try:
        return connect(
            f"{'wss' if is_tls else 'ws'}://127.0.0.1:{port}{path}",
            ssl=ssl._create_unverified_context() if is_tls else None,
            compression=None,
            extensions=_extensions(workload, offers, folder) or None,
            max_size=1 << 25,
            open_timeout=10,
            proxy=None,
        )
    except NegotiationError as error:
        raise Wrong(f"its answer is not one to what was offered: {error}") from None


def check(ports: Sequence[int], workload: Workload, offers: Sequence[str], folder: Path) -> str:
    """Send each message and compare the replies; gives the extensions that were agreed.

    What is spoken over HTTP/2 is checked over HTTP/1.1, on the same port.

    Args:
        ports: Where to receive, and where to publish; the last may be the first.
        workload: What is to be measured.
        offers: Extensions beside the workload's own.
        folder: Where the dictionary is.

    Raises:
        Wrong: If a reply differs, or what was offered was not agreed.
    """
    with _dial(ports[0], workload.target, workload, offers, folder) as here:
        answer = _answer(here)
        wanted = f"permessage-{'zstd' if workload.zstd else 'deflate'}"
        if workload.is_compressed and wanted not in answer:
            raise Wrong(f"{wanted} is not agreed")
        for name in offers:
            if name not in answer:
                raise Wrong(f"{name} is not agreed")
        if workload.is_room:
            with _dial(ports[-1], "/publish", workload, (), folder) as publisher:
                if workload.bridged:
                    time.sleep(BRIDGED)  # until the broker has heard of the member
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


def tape(workload: Workload, offers: Sequence[str], answer: str, folder: Path) -> bytes:
    """The frames that a connection sends again and again, with their sizes before them.

    They are compressed as was agreed. With context takeover no message refers to what came before
    the first one, so that the tape can start over.
    """
    messages = workload.messages
    count = len(messages)
    while count % workload.in_flight:
        count += len(messages)
    codecs = []
    if not workload.is_room:  # a publisher sends plain text
        factories = {factory.name: factory for factory in _extensions(workload, offers, folder)}
        codecs = [
            factories[name].process_response_params(params, [])
            for name, params in (parse_extension(answer) if answer else ())
        ]
    frames = [
        Frame(Opcode.TEXT, messages[number % len(messages)]).serialize(mask=True, extensions=codecs)
        for number in range(count)
    ]
    if workload.transport == "http2":  # each in a DATA frame of stream 1
        frames = [len(frame).to_bytes(3, "big") + b"\0\0\0\0\0\1" + frame for frame in frames]
    sizes = [len(frame) for frame in frames]
    return struct.pack(f"={count + 1}I", count, *sizes) + b"".join(frames)


def first_frame(data: bytes) -> bytes:
    """The first frame of a tape."""
    count, size = struct.unpack_from("=2I", data)
    return data[4 + 4 * count :][:size]
