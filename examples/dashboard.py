"""A dashboard behind a login: the page, its cookie, and numbers that whoever is signed in gets.

python examples/dashboard.py        and open the address that it prints
"""

import asyncio
import hmac
import os
import secrets
import time
from contextlib import suppress
from typing import Annotated

from msgspec import Meta, Struct

from wsext import App, HandshakeRejected, Request, Response, Session

app = App()
app.install("permessage-deflate", threshold=256)

#: Whoever has it may sign in once for each browser; a real one would ask an identity provider.
LOGIN = os.environ.get("DASHBOARD_TOKEN") or secrets.token_urlsafe(24)
signed_in: dict[str, str] = {}

PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Dashboard</title>
<style>
  body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 40rem; }
  dl { display: grid; grid-template-columns: 1fr 1fr 1fr; gap: 1rem; }
  div { border: 1px solid #ccc; border-radius: .5rem; padding: 1rem; }
  dd { font-size: 2rem; margin: 0; }
</style>
<h1>Dashboard</h1>
<p>Signed in as <b id="user">…</b>, <span id="status">connecting</span>.
<label>Every <input id="every" type="number" min="0.1" max="10" step="0.1" value="1"> s</label>
<dl>
  <div><dt>Viewers</dt><dd id="viewers">?</dd></div>
  <div><dt>Load</dt><dd id="load">?</dd></div>
  <div><dt>Up, s</dt><dd id="up">?</dd></div>
</dl>
<script>
  const show = (id, value) => { document.getElementById(id).textContent = value; };
  const socket = new WebSocket(`ws${location.protocol.slice(4)}//${location.host}/live`);
  socket.onopen = () => show("status", "live");
  socket.onclose = () => show("status", "disconnected");
  socket.onmessage = (event) => {
    for (const [id, value] of Object.entries(JSON.parse(event.data))) show(id, value);
  };
  document.getElementById("every").onchange = (event) =>
    socket.send(JSON.stringify({ every: event.target.valueAsNumber }));
</script>
"""


class Reading(Struct):
    """What a viewer sees."""

    user: str
    viewers: int
    load: float
    up: float


class Wish(Struct):
    """What a viewer may ask for: seconds between two readings."""

    every: Annotated[float, Meta(ge=0.1, le=10)]


def who(request: Request) -> None:
    """Guard: the cookie says who it is. Other hosts' pages are refused by their Origin before."""
    name = signed_in.get(request.cookies.get("dashboard", ""))
    if name is None:
        raise HandshakeRejected(401, "open the address that the server printed")
    request.identity = name


@app.http("/login/<name>")
def login(request: Request, name: str) -> Response:
    """Trade the token of the address for a cookie, so that it does not stay in the address."""
    if not hmac.compare_digest(request.query.get("token", "").encode(), LOGIN.encode()):
        return Response(403, "this is not the token\n")
    cookie = secrets.token_urlsafe(24)
    signed_in[cookie] = name
    headers = {
        "Location": "/",
        "Set-Cookie": f"dashboard={cookie}; Path=/; HttpOnly; SameSite=Strict",
    }
    return Response(303, headers=headers)


@app.http("/", guards=[who])
def page(request: Request) -> Response:
    return Response(body=PAGE, content_type="text/html; charset=utf-8")


@app.websocket("/live", guards=[who])
async def live(session: Session) -> None:
    changed = asyncio.Event()
    wish = Wish(every=1)

    async def report() -> None:
        async with app.room("viewers").join(session) as viewers:
            while True:
                up = round(time.monotonic() - STARTED, 1)
                load = round(os.getloadavg()[0], 2)
                await session.send_json(Reading(session.identity, len(viewers), load, up))
                changed.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(changed.wait(), wish.every)

    session.create_task(report())
    while True:
        wish = await session.receive_json(Wish)  # anything else closes the session with 1007
        changed.set()


STARTED = time.monotonic()

if __name__ == "__main__":
    print(f"http://127.0.0.1:8765/login/Ada?token={LOGIN}")
    app.run()
