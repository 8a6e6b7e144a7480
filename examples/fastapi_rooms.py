"""Rooms in a FastAPI app: history, who is there, push from HTTP, a broker between processes.

    pip install 'wsext[uvicorn,redis]' fastapi wsext-deflate
    uvicorn --ws fastapi_rooms:Protocol fastapi_rooms:api
    BROKER=redis://localhost uvicorn --workers 4 --ws fastapi_rooms:Protocol fastapi_rooms:api

Open two windows of http://127.0.0.1:8000/ and chat. To push from anywhere:

    curl -d '{"text": "tea is ready"}' -H 'Content-Type: application/json' \\
        http://127.0.0.1:8000/rooms/tea
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI, Query, WebSocket
from fastapi.responses import HTMLResponse
from pydantic import BaseModel

from wsext import App, Membership, RoomOptions, WebSocketOptions
from wsext.integrations.asgi import session
from wsext.integrations.uvicorn import WebSocketProtocol

#: Extensions, options and rooms. FastAPI has the routes.
live = App(
    options=WebSocketOptions(origins=("same", "https://app.example.com")),
    rooms=RoomOptions(history=50),
    backplane=os.environ.get("BROKER", "memory://"),
)
live.install("permessage-deflate", threshold=64)
Protocol = WebSocketProtocol.using(live)


@asynccontextmanager
async def lifespan(api: FastAPI) -> AsyncIterator[None]:
    async with live.running():  # connected to the broker before the first client comes
        yield


api = FastAPI(lifespan=lifespan)


class Note(BaseModel):
    """What is said in a room."""

    text: str
    who: str = "the system"


async def join(
    websocket: WebSocket, room: str, name: Annotated[str, Query(min_length=1)]
) -> AsyncIterator[Membership]:
    """Accept the WebSocket and be in the room, until the route returns."""
    await websocket.accept()
    mine = session(websocket)
    mine.name = name
    async with live.room(room).join(mine, history=20, info={"mood": "fine"}) as members:
        yield members


@api.websocket("/rooms/{room}")
async def chat(websocket: WebSocket, members: Annotated[Membership, Depends(join)]) -> None:
    members.session.create_task(announce(websocket, members))
    async for text in websocket.iter_text():
        await members.broadcast_json(Note(text=text, who=members.session.name))


async def announce(websocket: WebSocket, members: Membership) -> None:
    """Who is here, in every process, and who comes and goes from then on."""
    async with members.follow_presence() as who:
        await websocket.send_json({"here": sorted(member.name for member in who.present)})
        async for change in who:
            await websocket.send_json({change.kind: change.member.name})


@api.post("/rooms/{room}", status_code=202)
async def push(room: str, note: Note) -> None:
    """Everybody in the room gets it, whichever process they are connected to."""
    await live.room(room).broadcast_json(note)


@api.get("/rooms/{room}")
async def present(room: str) -> list[str]:
    return sorted(member.name for member in await live.room(room).presence())


@api.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>Tea room</title>
<form><input id="text" aria-label="Message" autofocus><button>Send</button></form>
<pre id="log"></pre>
<script>
  const name = "guest" + Math.floor(Math.random() * 1000)
  const place = `${location.protocol.replace("http", "ws")}//${location.host}/rooms/tea`
  const socket = new WebSocket(`${place}?name=${name}`)
  socket.onmessage = ({data}) => document.getElementById("log").append(data + "\\n")
  document.forms[0].onsubmit = (event) => {
    event.preventDefault()
    socket.send(document.getElementById("text").value)
    event.target.reset()
  }
</script>
"""
