"""tornado, on uvloop."""

from __future__ import annotations

from typing import Any

from shared import LARGEST, PORT, run
from tornado.web import Application
from tornado.websocket import WebSocketHandler

members: set[WebSocketHandler] = set()


class Base(WebSocketHandler):
    def get_compression_options(self) -> dict[str, Any]:
        return {}

    def on_message(self, message: str | bytes) -> Any:
        pass


class Echo(Base):
    def on_message(self, message: str | bytes) -> Any:
        return self.write_message(message)


class Room(Base):
    def open(self, *args: str, **kwargs: str) -> None:
        members.add(self)

    def on_close(self) -> None:
        members.discard(self)


class Publish(Base):
    def on_message(self, message: str | bytes) -> Any:
        for member in members:
            member.write_message(message)


async def main() -> object:
    routes = [("/", Echo), ("/room", Room), ("/publish", Publish)]
    app = Application(routes, websocket_max_message_size=LARGEST)
    return app.listen(PORT, "127.0.0.1")


run(main)
