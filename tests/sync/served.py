"""A server beside the tests of clients that block: in an event loop in a thread."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType

from anyio.from_thread import BlockingPortal, start_blocking_portal

import wsext
from wsext import App, CloseInfo, Session

__all__ = ["EXTENSIONS", "ends", "interrupted", "make_app", "serving"]

#: What a client offers.
EXTENSIONS = ["permessage-deflate", "permessage-zstd"]

#: How sessions of ``/watched`` have ended.
ends: SimpleQueue[CloseInfo] = SimpleQueue()


def make_app() -> App:
    app = App()
    for extension in (*EXTENSIONS, "session-resume"):
        app.install(extension)

    @app.websocket("/echo", subprotocols=["echo.v1"])
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    @app.websocket("/watched")
    async def watched(session: Session) -> None:
        try:
            await echo(session)
        finally:
            ends.put(await session.wait_closed())

    @app.websocket("/count/<int:most>")
    async def count(session: Session, most: int) -> None:
        for number in range(most):
            await session.send(str(number))
        if not most:
            raise LookupError("there is nothing to count")

    @app.websocket("/parts")
    async def parts(session: Session) -> None:
        async for message in session:
            assert isinstance(message, str)

            async def each(text: str = message) -> AsyncIterator[str]:
                for part in text:
                    yield part

            await session.send(each())

    @app.websocket("/deaf")
    async def deaf(session: Session) -> None:
        await session.wait_closed()

    return app


@contextmanager
def serving(app: App | None = None) -> Iterator[tuple[BlockingPortal, wsext.Server]]:
    """A server, and what calls into its event loop."""
    with (
        start_blocking_portal() as portal,
        portal.wrap_async_context_manager(wsext.serve(app or make_app(), port=0)) as server,
    ):
        yield portal, server


@contextmanager
def interrupted() -> Iterator[None]:
    """Ctrl-C as soon as this thread waits for an event loop."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        while frame is not None:
            if os.path.join("concurrent", "futures") in frame.f_code.co_filename:
                done.set()
                raise KeyboardInterrupt
            frame = frame.f_back

    def try_again() -> None:
        while not done.wait(0.005):  # nothing tells that a thread waits
            signal.pthread_kill(main or 0, signal.SIGINT)

    main = threading.main_thread().ident
    done = threading.Event()
    before = signal.signal(signal.SIGINT, interrupt)
    other = threading.Thread(target=try_again)
    other.start()
    try:
        yield
    finally:
        done.set()
        other.join()
        signal.signal(signal.SIGINT, before)
