"""The live page: sessions, how they were negotiated, and their frames at every stage.

``wsext serve --inspect`` installs it, and so does ``app.install(Inspector())``. It is a plugin like
any other: routes and hooks, on public names.

GET /_wsext/       the page for who has the cookie, else 403 and a form for the token
GET /_wsext/web/…  its scripts and styles (see `assets`)
GET /_wsext/login  gives the cookie for the token
WS  /_wsext/live   the page's feed (see `feed`)
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable

from wsext import App, CloseInfo, Request, Response, Secret, Session, hookimpl
from wsext.inspector.assets import HEADERS, SHARED, add_assets, page
from wsext.inspector.feed import Live
from wsext.inspector.register import Register

__all__ = ["PATH", "Inspector"]

#: Where the page is, unless it is put elsewhere.
PATH = "/_wsext"

#: Pages that may be open at the same time.
_MAX_PAGES = 8

#: Its files, beside those that all pages share.
_FILES = ("inspect.css", "inspect.js", "charts.js", "sessions.js", "login.js")


class Inspector:
    """A page for developers. Whoever has its token sees every session; it cannot change any.

    While a page is open, the last frames of each session are kept, at every stage. Otherwise frames
    are not looked at.

    Args:
        token: The secret that opens the page; by default a new one.
        path: Where the page is.
        payload: Whether the page may show the beginning of payloads.
        hidden: Beginnings of paths whose sessions are not shown, such as ``/internal/``. Its own
            sessions never are.
    """

    def __init__(
        self,
        *,
        token: str | None = None,
        path: str = PATH,
        payload: bool = True,
        hidden: Iterable[str] = (),
    ) -> None:
        self.token = token or secrets.token_urlsafe(24)
        self.path = path.rstrip("/")
        self.register = Register((f"{self.path}/", *hidden), payload)
        # The cookie is not the token: a leaked one ends with this process's token, and the token
        # itself is in no header that a browser repeats.
        self._cookie = hmac.new(self.token.encode(), b"cookie", hashlib.sha256).hexdigest()
        # Cookies know no ports, so that two servers on one machine need two names.
        self._cookie_name = f"wsext_{hashlib.sha256(self._cookie.encode()).hexdigest()[:8]}"

    def url(self, base: str) -> str:
        """The page's address with the token, which is in the fragment: browsers do not send it.

        Args:
            base: The server's address: ``http://127.0.0.1:8765``.
        """
        return f"{base.rstrip('/')}{self.path}/#{self.token}"

    # --- hooks --------------------------------------------------------------------------------

    @hookimpl
    def wsext_routes(self, app: App) -> None:
        self.register.installed = app.installed
        app.admin.http(f"{self.path}/")(self._page)
        app.admin.http(f"{self.path}/login")(self._login)
        add_assets(app.admin, f"{self.path}/web", __name__, *SHARED, *_FILES)

        # Another port of this machine is the same site for cookies, but not the same origin.
        options = {"max_message_size": 4096, "origins": ("same",)}

        @app.admin.websocket(f"{self.path}/live", guards=[self._guard], options=options)
        async def live(session: Session) -> None:
            await Live(self.register).run(session)

    @hookimpl
    def wsext_session_opened(self, session: Session) -> None:
        self.register.opened(session)

    @hookimpl
    def wsext_session_detached(self, session: Session) -> None:
        self.register.lost(session)

    @hookimpl
    def wsext_session_resumed(self, session: Session) -> None:
        self.register.resumed(session)

    @hookimpl
    def wsext_session_closed(self, session: Session, info: CloseInfo) -> None:
        self.register.closed(session, info)

    # --- who may see it -----------------------------------------------------------------------

    def _knows_token(self, request: Request) -> bool:
        return Secret(self.token).matches(request.bearer_token)

    def _may_see(self, request: Request) -> bool:
        cookie = request.cookies.get(self._cookie_name, "")
        return Secret(self._cookie).matches(cookie) or self._knows_token(request)

    def _page(self, request: Request) -> Response:
        if self._may_see(request):
            return page(__name__, "inspect.html")
        return page(__name__, "login.html", 403)

    def _login(self, request: Request) -> Response:
        if not self._knows_token(request):
            return Response(403, "the token is another one\n", HEADERS)
        cookie = f"{self._cookie_name}={self._cookie}; Path={self.path}; HttpOnly; SameSite=Strict"
        if request.secure:
            cookie += "; Secure"
        return Response(204, headers={**HEADERS, "Set-Cookie": cookie})

    def _guard(self, request: Request) -> Response | None:
        if not self._may_see(request):
            return Response(403, "open the address that the server printed\n")
        if self.register.pages >= _MAX_PAGES:
            return Response(503, f"{_MAX_PAGES} pages are open already\n")
        return None
