"""The files of the pages, and the headers that they are sent with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from wsext import Request, Response, Router

__all__ = ["HEADERS", "SHARED", "add_assets", "page"]

#: What every page uses; the reference app's too.
SHARED = ("theme.css", "dom.js", "frames.js", "icon.svg")

#: Scripts and styles come from files of this server, and from nowhere else.
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def page(package: str, name: str, status: int = 200) -> Response:
    """A file of the folder ``web`` of a package, as an answer."""
    body = files(package).joinpath("web", name).read_bytes()
    return Response(status, body, HEADERS, _TYPES[PurePath(name).suffix])


def add_assets(app: Router, prefix: str, package: str, *names: str) -> None:
    """Serve files of the folder ``web`` of a package below a path; they hold no secret.

    Args:
        app: Who serves them.
        prefix: The path that they are below.
        package: The package.
        names: The files.
    """
    for name in names:

        def answer(request: Request, name: str = name) -> Response:
            return page(package, name)

        app.http(f"{prefix}/{name}")(answer)
