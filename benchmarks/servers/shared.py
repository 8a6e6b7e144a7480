"""What the Python servers share: the port of the command line, the message limit, uvloop, TLS."""

from __future__ import annotations

import asyncio
import os
import ssl
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

PORT = int(sys.argv[1]) if len(sys.argv) > 1 else 0
VARIANT = sys.argv[2] if len(sys.argv) > 2 else ""
LARGEST = 1 << 25
FOLDER = Path(os.environ.get("BENCH_FOLDER", "."))
CERTIFICATE, KEY = FOLDER / "cert.pem", FOLDER / "key.pem"
BROKER = os.environ.get("BENCH_BROKER", "")
TLS: ssl.SSLContext | None = None
if os.environ.get("BENCH_TLS"):
    TLS = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    TLS.load_cert_chain(CERTIFICATE, KEY)


_joined = 0


def names(path: str) -> list[str]:
    """The rooms of one more of 50 connections that share the N rooms of ``/rooms/N``."""
    global _joined
    _joined += 1
    rooms = max(int(path.rpartition("/")[2]) // 50, 1)
    return [f"{_joined}-{number}" for number in range(rooms)]


def run(main: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Run until killed, on uvloop."""
    import uvloop

    async def forever() -> None:
        kept = await main()
        await asyncio.get_running_loop().create_future()
        del kept

    uvloop.run(forever())


def serve_asgi(app: Any) -> None:
    """Run an ASGI application under uvicorn until killed; the variant is how it does WebSocket."""
    import uvicorn

    uvicorn.run(
        app,
        host="127.0.0.1",
        port=PORT,
        loop="uvloop",
        ws=VARIANT,  # type: ignore[arg-type]
        ws_max_size=LARGEST,
        ws_ping_interval=None,
        log_level="critical",
        lifespan="off",
        ssl_certfile=CERTIFICATE if TLS else None,
        ssl_keyfile=KEY if TLS else None,
    )
