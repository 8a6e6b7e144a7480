"""granian, one worker, its own interface (RSGI); it has no permessage-deflate."""

from __future__ import annotations

from typing import Any

from granian import Granian
from granian.constants import Interfaces, Loops
from granian.rsgi import ProtocolClosed, WebsocketMessageType
from shared import PORT

members: set[Any] = set()


async def app(scope: Any, protocol: Any) -> None:
    session = await protocol.accept()
    if scope.path == "/room":
        members.add(session)
    try:
        while (message := await session.receive()).kind != WebsocketMessageType.close:
            if scope.path == "/publish":
                for member in members:
                    await member.send_str(message.data)
            else:
                await session.send_str(message.data)
    except ProtocolClosed:
        pass
    members.discard(session)
    protocol.close()


if __name__ == "__main__":
    Granian(
        "echo_granian:app",
        port=PORT,
        interface=Interfaces.RSGI,
        loop=Loops.uvloop,
        log_enabled=False,
    ).serve()
