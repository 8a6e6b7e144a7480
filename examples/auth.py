"""Who may connect, in three ways: a cookie from a login form, a bearer token, a token among the
subprotocols.

python examples/auth.py        and open the address that it prints, or:
                               wsext connect --header 'Authorization: Bearer ada-123' \\
                                        ws://127.0.0.1:8765/api
"""

import hmac
from dataclasses import dataclass

from wsext import App, HandshakeRejected, Request, Response, Session

app = App()

#: What a database or an identity provider would know.
TOKENS = {"ada-123": "Ada", "bob-456": "Bob"}
SUBPROTOCOL_PREFIX = "token."

FORM = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Log in</title>
<form method="post"><label>Token <input name="token" type="password" autofocus></label>
<button>Log in</button></form>
"""


@dataclass(frozen=True)
class User:
    """Who is on the other side."""

    name: str


async def find_user(token: str | None) -> User:
    """The user of a token; guards may await, for example a query."""
    for known, name in TOKENS.items():
        if token is not None and hmac.compare_digest(token.encode(), known.encode()):
            return User(name)
    raise HandshakeRejected(401, "who are you?", {"WWW-Authenticate": "Bearer"})


async def by_cookie(request: Request) -> None:
    """For pages of this host: the browser sends the cookie along, and the Origin is checked."""
    request.identity = await find_user(request.cookies.get("session"))


@app.http("/")
def form(request: Request) -> Response:
    return Response(body=FORM, content_type="text/html; charset=utf-8")


@app.http("/", methods=["POST"])
async def log_in(request: Request) -> Response:
    """Trade a token for the cookie. A page of another origin gets 403 before this is called."""
    token = request.form.get("token", "")
    user = await find_user(token)
    cookie = f"session={token}; Path=/; HttpOnly; SameSite=Strict"
    if request.secure:
        cookie += "; Secure"
    return Response(body=f"hello {user.name}\n", headers={"Set-Cookie": cookie})


async def by_bearer_token(request: Request) -> None:
    """For programs."""
    request.identity = await find_user(request.bearer_token)


async def by_subprotocol(request: Request) -> None:
    """For pages of elsewhere, which can set no header but this one.

    ``new WebSocket(url, ["api.v1", "token.ada-123"])``; the answer names ``api.v1`` only.
    """
    tokens = [
        name.removeprefix(SUBPROTOCOL_PREFIX)
        for name in request.subprotocols
        if name.startswith(SUBPROTOCOL_PREFIX)
    ]
    request.identity = await find_user(tokens[0] if len(tokens) == 1 else None)


def only_ada(request: Request) -> Response | None:
    """A second guard of a route sees what the first has found out."""
    return None if request.identity == User("Ada") else Response(403, "not for you\n")


async def greet(session: Session) -> None:
    await session.send(f"hello {session.identity.name}")
    async for message in session:
        await session.send(f"{session.identity.name}: {message}")


app.websocket("/page", guards=[by_cookie])(greet)
app.websocket("/api", guards=[by_bearer_token])(greet)
app.websocket("/admin", guards=[by_bearer_token, only_ada])(greet)
app.websocket(
    "/anywhere", guards=[by_subprotocol], subprotocols=["api.v1"], options={"origins": None}
)(greet)


if __name__ == "__main__":
    app.run()
