"""An order feed that survives dropped connections, deploys, killed workers and a broker's restart.

wsext serve order_feed:app --app-dir examples --workers 2 --backplane redis://localhost
python examples/order_feed.py ws://127.0.0.1:8765/orders Ada 100

Kill and restart what you like, but let the broker keep its data: each trader sees every order once,
and all of them in the same order.
"""

import asyncio
import sys

import msgspec

import wsext
from wsext import App, Backoff, RoomMessage, RoomOptions, Session


class Order(msgspec.Struct, tag="order"):
    """What a trader sends. The id is the trader's own, so that the order can be sent again."""

    id: str
    text: str


class Hello(msgspec.Struct, tag="hello"):
    """What a trader sends first: the last position that it has seen."""

    since: str | None


class Welcome(msgspec.Struct, tag="welcome"):
    """The answer: from where on the trader gets all orders. If that is not where it was, `missed`
    says why."""

    since: str
    missed: str | None


class Placed(msgspec.Struct, tag="placed"):
    """What everybody gets of each order, in the same order."""

    position: str
    order: Order


class Confirmed(msgspec.Struct, tag="confirmed"):
    """What the trader of an order gets: it is in the feed, now or since an earlier attempt."""

    id: str


# --- the server -------------------------------------------------------------------------------


def stamp(message: RoomMessage) -> str:
    order = msgspec.json.decode(message.data, type=Order)
    return msgspec.json.encode(Placed(str(message.position), order)).decode()


app = App(rooms=RoomOptions(recovery=True, stamp=stamp))
app.install("session-resume")


@app.websocket("/orders")
async def feed(session: Session) -> None:
    hello = await session.receive_json(Hello)
    async with app.room("orders").join(session, since=hello.since) as members:
        missed = None if members.missed is None else members.missed.reason
        welcome = Welcome(str(members.position), missed)  # it comes before what was missed
        session.send_nowait(msgspec.json.encode(welcome).decode())
        while True:
            order = await session.receive_json(Order)
            await members.broadcast(msgspec.json.encode(order).decode(), id=order.id)
            await session.send_json(Confirmed(order.id))


# --- a trader ---------------------------------------------------------------------------------


async def trade(
    url: str, name: str, count: int, pause: float = 0.1, backoff: Backoff | None = None
) -> list[str]:
    """Place some orders; what was seen in the feed until all of them were there."""
    waiting = {id: Order(id, "buy") for id in (f"{name}-{number}" for number in range(count))}
    seen: list[str] = []
    since: str | None = None
    has_missed = False
    async for session in wsext.connect(url, extensions=["session-resume"], backoff=backoff):
        await session.send_json(Hello(since))
        session.create_task(place(session, list(waiting.values()), pause))
        async for data in session:
            message = msgspec.json.decode(data, type=Welcome | Placed | Confirmed)
            if isinstance(message, Placed):
                since = message.position
                seen.append(message.order.id)
                waiting.pop(message.order.id, None)
            elif isinstance(message, Welcome):
                since = message.since
                if message.missed is not None:
                    has_missed = True
                    print(f"{name}: orders are missing: {message.missed}", file=sys.stderr)
            elif has_missed:  # this one may be among those that are missing
                waiting.pop(message.id, None)
            if not waiting:
                return seen
    return seen


async def place(session: Session, orders: list[Order], pause: float) -> None:
    """Send what the feed has not shown yet, even if the server may have it: the id tells."""
    for order in orders:
        await session.send_json(order)
        await asyncio.sleep(pause)


if __name__ == "__main__":
    for id in asyncio.run(trade(sys.argv[1], sys.argv[2], int(sys.argv[3]))):
        print(id)
