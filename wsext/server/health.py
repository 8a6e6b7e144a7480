"""``/healthz`` and ``/readyz``, for whoever decides where clients are sent.

``/healthz`` says that the process answers, also while it drains: nobody should kill it for that.
``/readyz`` says 503 as soon as it is to get no new clients: while it drains, or while a plugin's
`wsext_not_ready` gives a reason. Before it can answer at all the server accepts no connection.
"""

from __future__ import annotations

from typing import Any

from wsext.app.application import Application
from wsext.protocol.http import Request, Response
from wsext.sdk.hookspecs import hookimpl

__all__ = ["Health"]


class Health:
    """The plugin that adds both routes for the operator, where the app has none of its own."""

    @hookimpl(trylast=True)
    def wsext_routes(self, app: Application) -> None:
        """Add what is missing."""
        taken = {route.path for route in app.admin.routes}

        def healthz(request: Request) -> dict[str, Any]:
            return {"status": "ok"}

        def readyz(request: Request) -> Response:
            reason = "shutting down" if request.draining else app.installed.not_ready()
            if reason is None:
                return Response(200, '{"status":"ready"}', content_type="application/json")
            return Response(503, reason + "\n", {"Retry-After": "5"})

        for path, handler in (("/healthz", healthz), ("/readyz", readyz)):
            if path not in taken:
                app.admin.http(path)(handler)
