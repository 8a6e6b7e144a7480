"""A chat with rooms: a path converter, a subprotocol, one slow reader that harms nobody.

python examples/chat.py        and: wsext connect ws://127.0.0.1:8765/rooms/tea?name=Ada
"""

from wsext import App, Session

app = App()
app.install("permessage-deflate", threshold=64)


@app.websocket("/rooms/<room>", subprotocols=["chat.v1"])
async def chat(session: Session, room: str) -> None:
    session.name = session.request.query.get("name", "somebody")
    async with app.room(room).join(session) as members:
        await members.broadcast(f"* {session.name} comes in")
        async for message in session:
            await members.broadcast(f"{session.name}: {message}")
    await app.room(room).broadcast(f"* {session.name} leaves")


if __name__ == "__main__":
    app.run()
