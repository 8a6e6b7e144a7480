"""An echo server on trio, and a client that says hello with one extension after the other.

python examples/trio_echo.py serve [PORT]        Ctrl-C ends it
python examples/trio_echo.py ws://127.0.0.1:8765/ permessage-deflate permessage-zstd

The server may as well be `wsext serve`, and the client `wsext connect`: the front is not to be seen
from outside.
"""

import signal
import sys
from functools import partial

import trio

import wsext.trio


async def echo(session: wsext.trio.Session) -> None:
    async for message in session:
        await session.send(message)


async def run_server(port: int) -> None:
    async with trio.open_nursery() as nursery:
        serve = partial(wsext.trio.serve, echo, port=port, extensions=["permessage-deflate"])
        server = await nursery.start(serve)
        print(server.url, flush=True)
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                break
        await server.close()  # sessions end with 1001


async def say_hello(url: str, extension: str) -> None:
    async with wsext.trio.connect(url, extensions=[extension]) as session:
        with trio.fail_after(10):
            await session.send("hello " * 100)
            message = await session.receive()
        wire = session.stats.wire_bytes_out
        print(f"{session.negotiation.header}: {len(message)} bytes travelled as {wire}")


async def run_client(url: str, extensions: list[str]) -> None:
    for extension in extensions:
        await say_hello(url, extension)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        trio.run(run_server, int(sys.argv[2]) if len(sys.argv) > 2 else 8765)
    else:
        trio.run(run_client, sys.argv[1], sys.argv[2:])
