"""picows, its core: callbacks on frames, no extensions."""

from __future__ import annotations

from typing import Any

from orders import DECODER, ENCODER
from picows import WSListener, WSMsgType, ws_create_server
from shared import LARGEST, PORT, TLS, run

members: set[Any] = set()


class Echo(WSListener):  # type: ignore[misc]
    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            self.take(transport, frame)

    def take(self, transport: Any, frame: Any) -> None:
        transport.send(frame.msg_type, frame.get_payload_as_memoryview())


class Member(Echo):
    def on_ws_connected(self, transport: Any) -> None:
        members.add(transport)

    def on_ws_disconnected(self, transport: Any) -> None:
        members.discard(transport)


class Publish(Echo):
    def take(self, transport: Any, frame: Any) -> None:
        message = frame.get_payload_as_bytes()
        for member in members:
            member.send(frame.msg_type, message)


class Typed(Echo):
    def take(self, transport: Any, frame: Any) -> None:
        message = DECODER.decode(frame.get_payload_as_memoryview())
        transport.send(frame.msg_type, ENCODER.encode(message))


class PlainEcho(WSListener):  # type: ignore[misc]
    """The fastest form: no second call per frame."""

    def on_ws_frame(self, transport: Any, frame: Any) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code())
            transport.disconnect()
        else:
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())


LISTENERS = {b"/room": Member, b"/publish": Publish, b"/typed": Typed}


async def main() -> object:
    server = await ws_create_server(
        lambda request: LISTENERS.get(request.path, PlainEcho)(),
        "127.0.0.1",
        PORT,
        max_frame_size=LARGEST,
        ssl=TLS,
    )
    await server.start_serving()
    return server


run(main)
