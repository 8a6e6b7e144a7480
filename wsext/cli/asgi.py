"""``wsext serve`` with an app of FastAPI or another ASGI framework: uvicorn answers its HTTP, and
its WebSockets are wsext's."""

from __future__ import annotations

import signal
import socket
from collections.abc import Collection
from math import ceil
from pathlib import Path
from typing import Any

from wsext.cli.loading import ASGIApplication
from wsext.cli.logs import announce_service
from wsext.config.sections import ServeOptions
from wsext.errors import OptionError
from wsext.runtime import net
from wsext.server.notifying import Notifier

__all__ = ["serve_asgi"]

_PROTOCOL = "wsext.integrations.uvicorn:Protocol"

#: Options of ``[serve]`` that uvicorn's own command has, and those that need an `App` of wsext.
_THEIRS = ("workers", "reload")
_OURS = ("inspect", "health", "metrics", "admin_port")


def serve_asgi(
    app: ASGIApplication, where: ServeOptions, explicit: Collection[str], sock: socket.socket | None
) -> None:
    """Serve until a signal.

    Args:
        app: The app, with what was configured for its sessions.
        where: Where it is served.
        explicit: The options of sessions that were set.
        sock: An inherited socket to listen on.

    Raises:
        OptionError: If uvicorn is not installed, or an option needs an `App` of wsext.
        OSError: If the address cannot be listened on.
        SystemExit: With 1, if the app does not start.
    """
    what = f"{app.name} is an ASGI app"
    for name in (*_THEIRS, *_OURS):
        if getattr(where, name):
            count = f" {where.workers}" if name == "workers" else ""
            command = f"uvicorn --{name}{count} --ws {_PROTOCOL} {app.name}"
            hint = f"run {command}" if name in _THEIRS else "it needs an App of wsext"
            raise OptionError("serve", name, f"{what}: {hint}")
    try:
        import uvicorn

        from wsext.integrations.uvicorn import WebSocketProtocol
    except ImportError:
        problem = f"{what}, which uvicorn serves: pip install 'wsext[uvicorn]'"
        raise OptionError("serve", "app", problem) from None

    options = app.server_options
    config = uvicorn.Config(
        app.asgi,
        ws=WebSocketProtocol.using(app, explicit),
        ssl_certfile=where.ssl_cert,
        ssl_keyfile=where.ssl_key,
        log_config=None,  # what wsext serve has set up holds for uvicorn, too
        access_log=where.access_log != "off",
        backlog=options.backlog,
        http="h11",  # httptools takes headers without end
        h11_max_incomplete_event_size=options.max_header_size,
        proxy_headers=bool(options.trusted_proxies),
        forwarded_allow_ips=list(options.trusted_proxies),
        timeout_graceful_shutdown=ceil(options.drain_timeout),
    )
    sockets = [sock] if sock else net.bind(where.host, where.port, where.uds, options.backlog)

    systemd = Notifier()

    class Announced(uvicorn.Server):
        async def startup(self, sockets: Any = None) -> None:
            await super().startup(sockets)
            if self.started:
                url = net.url_of(sockets[0], config.is_ssl)
                announce_service(app.name, url, [item.name for item in app.installed.items])
                systemd.ready()

        async def shutdown(self, sockets: Any = None) -> None:
            systemd.stopping()
            await super().shutdown(sockets)

    for number in (signal.SIGINT, signal.SIGTERM):
        # uvicorn drains, and then raises the signal again: the command has done what it was told.
        signal.signal(number, lambda *_: None)
    server = Announced(config)
    try:
        server.run(sockets)
    except SystemExit:  # it has logged why
        raise SystemExit(1) from None
    finally:
        if where.uds is not None and sock is None:
            Path(where.uds).unlink(missing_ok=True)
    if not server.started:
        raise SystemExit(1)
