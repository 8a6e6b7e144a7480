"""Running a server: for as long as a block lasts, or until a signal, also by the app itself."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import ssl as ssl_module
import threading
from collections.abc import Callable, Generator, Sequence
from functools import partial
from typing import Any

from wsext.app.application import Application
from wsext.errors import LifespanError
from wsext.escape import get_logger
from wsext.runtime import net
from wsext.runtime.loop import new_event_loop, refuse_running_loop
from wsext.server.accepting import raise_descriptor_limit
from wsext.server.collecting import frozen
from wsext.server.notifying import Notifier
from wsext.server.server import Server
from wsext.version import __version__

__all__ = ["App", "first_lines", "run_until_signal", "serve", "serve_until_signal"]

logger = get_logger("wsext.server")


class serve:
    """Start a server: ``server = await serve(app)``, or ``async with serve(app) as server``.

    Args:
        app: The application.
        host: Address or addresses to listen on; ``None`` for all interfaces.
        port: TCP port; 0 for any free one (see `Server.port`).
        uds: Path of a Unix socket to listen on instead.
        sock: A bound socket to listen on instead.
        ssl: A TLS context. With the server option ``http2`` it is told to offer ``h2`` by ALPN.
        reuse_port: Let several processes listen on the port.

    Raises:
        OptionError, PluginError: If the app asks for what cannot be.
        LifespanError: If a lifespan of the app fails to start; at the end of the block, if a task
            of the app has failed, or a lifespan fails to end.
        OSError: If the address cannot be listened on.
    """

    def __init__(
        self,
        app: Application,
        host: str | Sequence[str] | None = "127.0.0.1",
        port: int = 0,
        *,
        uds: str | None = None,
        sock: socket.socket | None = None,
        ssl: ssl_module.SSLContext | None = None,
        reuse_port: bool = False,
    ) -> None:
        self._app = app
        self._where: tuple[Any, int] = (host, port)
        self._how: dict[str, Any] = {"uds": uds, "sock": sock, "reuse_port": reuse_port}
        self._ssl = ssl
        self._server: Server | None = None

    async def _start(self) -> Server:
        server = Server(self._app, self._ssl)
        try:
            await server.listen(*self._where, **self._how)
        except BaseException:
            await server.close(0)
            raise
        self._server = server
        return server

    def __await__(self) -> Generator[Any, None, Server]:
        return self._start().__await__()

    async def __aenter__(self) -> Server:
        return await self._start()

    async def __aexit__(self, *exc_info: object) -> None:
        if self._server is not None:
            await self._server.close()
            await self._server.wait_closed()


async def serve_until_signal(
    app: Application,
    host: str | Sequence[str] | None,
    port: int,
    *,
    started: Callable[[Server], None] | None = None,
    admin: Sequence[socket.socket] = (),
    **serving: Any,
) -> None:
    """Serve until SIGINT or SIGTERM, then drain; a second signal ends the sessions at once, and
    then another one the tasks and lifespans of the app.

    SIGHUP does the same where there is a terminal, which has been closed then. Where there is none,
    it asks to reload, and what one process cannot do is logged. systemd is told of all this.

    Args:
        app: The application.
        host, port: As for `serve`.
        started: Called once connections may come; by default the address is printed.
        admin: The listening sockets of the admin port.
        serving: What else `serve` takes.

    Raises:
        LifespanError: If a lifespan or a task of the app has failed.
    """
    loop = asyncio.get_running_loop()
    server: Server | None = None
    starting = asyncio.current_task()
    assert starting is not None  # this is a coroutine
    stopping = False
    systemd = Notifier()

    def on_signal() -> None:
        nonlocal stopping
        if server is None:
            starting.cancel()
        elif stopping:
            server.abort()
        else:
            systemd.stopping()
            logger.info("draining %d sessions", len(server.sessions))
            server.close_soon()
        stopping = True

    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError):  # Windows has no loop signal handlers
            loop.add_signal_handler(number, on_signal)
    # Who has left SIGHUP ignored, such as nohup, wants that.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        on_hangup = on_signal if _has_terminal() else partial(_on_hangup, systemd)
        loop.add_signal_handler(signal.SIGHUP, on_hangup)
    try:
        server = await serve(app, host, port, **serving)
        if admin:
            await server.start_admin(admin)
    except asyncio.CancelledError:
        if not stopping:
            raise
        logger.info("stopped before it served")
        return
    if started is None:
        names = [item.name for item in app.installed.items]
        lines = first_lines("the app", net.page_of(server.url), names)
        print("\n".join(lines), flush=True)  # noqa: T201
    else:
        started(server)
    systemd.ready()
    await server.serve_forever()


def first_lines(name: str, url: str, extensions: Sequence[str]) -> list[str]:
    """What says that something is served, and where."""
    return [
        f"wsext {__version__} serves {name} on {url}",
        f"extensions: {', '.join(extensions) or 'none'}",
    ]


def _has_terminal() -> bool:
    """Whether this process would get SIGHUP because its terminal was closed."""
    try:
        os.close(os.open(os.ctermid(), os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _on_hangup(systemd: Notifier) -> None:
    systemd.reloading()  # it waits for a reload to end
    logger.warning(
        "SIGHUP changes nothing: one process cannot be reloaded; wsext serve --workers can, and"
        " this one has to be restarted"
    )
    systemd.ready()


def run_until_signal(
    app: Application, host: str | Sequence[str] | None, port: int, **serving: Any
) -> None:
    """`serve_until_signal` on a new event loop; uvloop when it is installed.

    With the server option ``gc_freeze`` the garbage collector passes over what exists by now.

    Raises:
        RuntimeError: If an event loop runs in this thread, or this is not the main thread.
        SystemExit: With 1, if a lifespan or a task of the app has failed; the log says which.
    """
    instead = "`async with wsext.serve(app, host, port): ...`"
    refuse_running_loop("app.run()", f"write {instead}")
    if threading.current_thread() is not threading.main_thread():
        raise RuntimeError(
            "app.run() serves until a signal, and Python gives signals to the main thread only:"
            f" in another thread, asyncio.run() a coroutine with {instead}"
        )
    raise_descriptor_limit()
    freezing = frozen(app.server_options.gc_freeze)
    try:
        with freezing, asyncio.Runner(loop_factory=new_event_loop) as runner:
            runner.run(serve_until_signal(app, host, port, **serving))
    except LifespanError:
        raise SystemExit(1) from None


class App(Application):
    __doc__ = Application.__doc__

    def run(self, host: str = "127.0.0.1", port: int = 8765, **serving: Any) -> None:
        """Print where it listens, serve until SIGINT or SIGTERM, then drain. Takes what `serve`
        takes.

        Uses uvloop when it is installed.

        Raises:
            SystemExit: With 1, if a lifespan or a task of the app has failed; the log says which.
        """
        run_until_signal(self, host, port, **serving)
