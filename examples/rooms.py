"""Rooms over several processes: history, who is there, prices of which only the newest counts.

wsext serve rooms:app --app-dir examples --port 8001 --backplane redis://localhost
wsext serve rooms:app --app-dir examples --port 8002 --backplane redis://localhost
wsext connect "ws://127.0.0.1:8001/rooms/tea?name=Ada"
"""

import msgspec

from wsext import App, Membership, RoomOptions, Session

app = App(rooms=RoomOptions(history=50))


@app.websocket("/rooms/<room>")
async def chat(session: Session, room: str) -> None:
    session.name = session.request.query.get("name", "somebody")
    async with app.room(room).join(session, history=20, info={"mood": "fine"}) as members:
        session.create_task(announce(session, members))
        async for message in session:
            await members.broadcast(f"{session.name}: {message}")


async def announce(session: Session, members: Membership) -> None:
    """Who is here and who comes and goes from then on: nobody is missing between the two."""
    async with members.follow_presence() as who:
        names = sorted(member.name for member in who.present)
        await session.send(f"* here: {', '.join(names)}")
        async for change in who:
            verb = "comes in" if change.kind == "join" else "leaves"
            await session.send(f"* {change.member.name} {verb}")


@app.websocket("/prices")
async def prices(session: Session) -> None:
    """Who reads too slowly skips prices, but never the last one of a symbol."""
    async with app.room("prices").join(session, overflow="coalesce") as members:
        async for message in session:  # {"symbol": "WSX", "price": 17}
            price = msgspec.json.decode(message)
            await members.broadcast(message, key=price["symbol"])


if __name__ == "__main__":
    app.run()
