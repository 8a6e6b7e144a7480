"""Typed messages: orders are placed, cancelled and watched; a bad message gets a typed error.
Everybody who trades a symbol hears of new orders, as JSON or as MessagePack.

python examples/typed_orders.py        and: wsext connect ws://127.0.0.1:8765/orders/WSX
    {"type": "place", "id": 1, "side": "buy", "amount": 5, "price": 99.5}
    {"type": "place", "id": 2, "side": "buy", "amount": -5}
wsext asyncapi typed_orders:app --app-dir examples      describes it
"""

import itertools
from collections.abc import AsyncIterator
from typing import Annotated, Literal

from msgspec import Meta, Struct

from wsext import App, Dispatcher, ErrorReply, MessageError, PreparedValue, Session, on

app = App()
app.install("permessage-deflate", threshold=256)

Positive = Annotated[float, Meta(gt=0)]


class Message(Struct, tag_field="type", tag=str.lower):
    """What every message has."""

    id: int


class Place(Message):
    """A new order; without a price, at the market's."""

    side: Literal["buy", "sell"]
    amount: Positive
    price: Positive | None = None


class Cancel(Message):
    """Takes an order back."""

    order: int


class Report(Message):
    """Asks for every open order."""


class Placed(Message):
    """The order stands, under this number."""

    order: int


class Cancelled(Message):
    """The order is gone."""

    order: int


class Open(Message):
    """An order that stands."""

    order: int
    amount: float


class News(Struct, tag_field="type", tag="news"):
    """Somebody else has placed an order."""

    side: Literal["buy", "sell"]
    amount: float


class Welcome(Struct, tag_field="type", tag="welcome"):
    """The first message of a session."""

    symbol: str


class Refused(ErrorReply, tag="error"):
    """An error, with the id of the message that caused it."""

    id: int | None = None


class NotOpen(Exception):
    """No such order."""


@app.websocket("/orders/<symbol>")
class Orders(Dispatcher):
    """Trade one symbol."""

    subprotocols = {"orders.json": "json", "orders.msgpack": "msgpack"}
    errors = {NotOpen: "not-open"}
    pushes = (News,)

    async def on_open(self, session: Session, symbol: str) -> Welcome:
        self.open: dict[int, Place] = {}
        self.numbers = itertools.count(1)
        self.traders = await self.enter(app.room(symbol).join(session))
        return Welcome(symbol)

    @on(Place)
    async def place(self, session: Session, message: Place) -> Placed:
        """Place an order."""
        if message.amount > 1000:
            raise MessageError("too-large", "at most 1000 at a time", "$.amount")
        number = next(self.numbers)
        self.open[number] = message
        news = PreparedValue(News(message.side, message.amount))  # each gets it in its own format
        await self.traders.broadcast(news, exclude=session)
        return Placed(message.id, number)

    @on(Cancel)
    def cancel(self, session: Session, message: Cancel) -> Cancelled:
        """Cancel an order that is open."""
        if self.open.pop(message.order, None) is None:
            raise NotOpen(message.order)
        return Cancelled(message.id, message.order)

    @on(Report)
    async def report(self, session: Session, message: Report) -> AsyncIterator[Open]:
        """List what is open, one message per order."""
        for number, order in self.open.items():
            yield Open(message.id, number, order.amount)

    def error_reply(self, error: MessageError, message: Message | None) -> Refused:
        id = None if message is None else message.id
        return Refused(error.code, error.message, error.path, id)


class Ping(Struct, tag_field="type", tag="ping"):
    """Are you there?"""


class Pong(Struct, tag_field="type", tag="pong"):
    """I am."""


@app.websocket("/ping")
@on(Ping)
def ping(session: Session, message: Ping) -> Pong:
    """One function is enough for one type."""
    return Pong()


if __name__ == "__main__":
    app.run()
