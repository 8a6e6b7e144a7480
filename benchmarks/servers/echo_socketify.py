"""socketify (uWebSockets); a room is one of its topics. ``shared``: one compressor for all."""

from __future__ import annotations

from typing import Any

from shared import LARGEST, PORT, VARIANT
from socketify import App, AppListenOptions, CompressOptions, OpCode

OWN = CompressOptions.DEDICATED_COMPRESSOR.value | CompressOptions.DEDICATED_DECOMPRESSOR.value
SHARED = CompressOptions.SHARED_COMPRESSOR.value | CompressOptions.SHARED_DECOMPRESSOR.value
app = App()


def echo(ws: Any, message: Any, opcode: Any) -> None:
    ws.send(message, opcode, True)


def publish(ws: Any, message: Any, opcode: Any) -> None:
    app.publish("room", message, OpCode.TEXT, True)


def join(ws: Any) -> None:
    ws.subscribe("room")


def behaviour(**handlers: Any) -> dict[str, Any]:
    return {
        "compression": SHARED if VARIANT == "shared" else OWN,
        "max_payload_length": LARGEST,
        "max_backpressure": LARGEST,
        "idle_timeout": 0,
        **handlers,
    }


app.ws("/", behaviour(message=echo))
app.ws("/room", behaviour(open=join))
app.ws("/publish", behaviour(message=publish))
app.listen(AppListenOptions(port=PORT, host="127.0.0.1"), lambda config: None)
app.run()
