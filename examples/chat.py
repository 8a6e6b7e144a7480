"""A chat with rooms: a path converter, a subprotocol, one slow reader that harms nobody.

python examples/chat.py        and: wsext connect ws://127.0.0.1:8765/rooms/tea?name=Ada
"""

from collections import defaultdict

from wsext import App, ConnectionClosed, QueueFull, Session

app = App()
app.install("permessage-deflate", threshold=64)

rooms: dict[str, set[Session]] = defaultdict(set)


@app.websocket("/rooms/<room>", subprotocols=["chat.v1"])
async def chat(session: Session, room: str) -> None:
    session.name = session.request.query.get("name", "somebody")
    members = rooms[room]
    members.add(session)
    tell(members, f"* {session.name} comes in")
    try:
        async for message in session:
            tell(members, f"{session.name}: {message}")
    finally:
        members.discard(session)
        tell(members, f"* {session.name} leaves")


def tell(members: set[Session], text: str) -> None:
    for member in list(members):
        try:
            member.send_nowait(text)
        except QueueFull:
            member.close_nowait(1013, "reads too slowly")
        except ConnectionClosed:
            pass


if __name__ == "__main__":
    app.run()
