"""A FastAPI app whose WebSockets speak every installed extension.

    pip install 'wsext[uvicorn]' fastapi wsext-deflate wsext-zstd
    uvicorn --ws wsext.integrations.uvicorn:Protocol fastapi_app:app

Browsers get permessage-deflate, and a service may ask for permessage-zstd. Nothing in the app
depends on it: without ``--ws`` it runs on uvicorn's own protocols.
"""

from fastapi import FastAPI, WebSocket
from fastapi.responses import HTMLResponse, JSONResponse

app = FastAPI()

PAGE = """<!doctype html>
<title>FastAPI on wsext</title>
<form><input id="text" autofocus><button>Send</button></form>
<pre id="log"></pre>
<script>
  const socket = new WebSocket(`ws://${location.host}/echo`)
  const log = (line) => document.getElementById("log").append(line + "\\n")
  socket.onopen = () => log("extensions: " + (socket.extensions || "none"))
  socket.onmessage = ({data}) => log(data)
  document.forms[0].onsubmit = (event) => {
    event.preventDefault()
    socket.send(document.getElementById("text").value)
  }
</script>
"""


@app.get("/", response_class=HTMLResponse)
async def page() -> str:
    return PAGE


@app.websocket("/echo")
async def echo(websocket: WebSocket) -> None:
    await websocket.accept()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if "text" in message:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


@app.websocket("/agreed")
async def agreed(websocket: WebSocket) -> None:
    """Tells the client what was agreed: ASGI's scope has it."""
    await websocket.accept()
    wsext = websocket.scope["extensions"].get("wsext", {"extensions": []})
    await websocket.send_json(wsext["extensions"])
    await websocket.close()


@app.websocket("/private")
async def private(websocket: WebSocket) -> None:
    """Denied with a response of the app's own, before anything is accepted."""
    await websocket.send_denial_response(JSONResponse({"error": "log in first"}, status_code=401))
