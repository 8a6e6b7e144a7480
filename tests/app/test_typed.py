"""Typed messages: values in both formats, and dispatchers, in memory and over sockets."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Meta, Struct

import wsext
from tests.waiting import until
from wsext import (
    App,
    CloseInfo,
    ConnectionClosedError,
    Dispatcher,
    ErrorReply,
    MessageError,
    PreparedValue,
    RemoteProtocolError,
    Session,
    on,
    testing,
)
from wsext.runtime.formats import decode


class Place(Struct, tag="place"):
    amount: Annotated[int, Meta(gt=0)]
    tags: list[str] = []


class Cancel(Struct, tag="cancel"):
    order: int


class Watch(Struct, tag="watch"):
    times: int


class Placed(Struct, tag="placed"):
    order: int


class Orders(Dispatcher):
    subprotocols = {"json": "json", "msgpack": "msgpack"}
    errors = {LookupError: "not-found"}
    closed: list[CloseInfo] = []

    def on_open(self, session: Session, book: str) -> Placed | None:
        self.book = book
        return None

    def on_close(self, session: Session, info: CloseInfo) -> None:
        self.closed.append(info)

    @on(Place)
    async def place(self, session: Session, message: Place) -> Placed:
        if message.amount > 100:
            raise MessageError("too-large", "at most 100", "$.amount")
        return Placed(message.amount + len(self.book))

    @on(Cancel)
    def cancel(self, session: Session, message: Cancel) -> None:
        if message.order == 13:
            raise RuntimeError("the secret of order 13")
        raise KeyError(message.order)

    @on(Watch)
    async def watch(self, session: Session, message: Watch) -> AsyncIterator[Placed]:
        for number in range(message.times):
            yield Placed(number)


Reply = Placed | ErrorReply


def app_with(kind: Any) -> App:
    app = App()
    app.websocket("/<book>")(kind)
    return app


async def replies(kind: Any, *messages: str | bytes) -> list[Any]:
    """What a client is answered, message by message."""
    async with testing.connect(app_with(kind), "/abc") as client:
        answers = []
        for message in messages:
            await client.send(message)
            answers.append(await client.receive_json())
        return answers


async def closes(kind: Any, message: str | bytes) -> CloseInfo:
    """How a session ends that one message closes."""
    async with testing.connect(app_with(kind), "/abc") as client:
        await client.send(message)
        return await client.wait_closed()


# --- values -----------------------------------------------------------------------------------


async def test_values_travel_in_both_formats_and_kinds_of_messages() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        order = await session.receive_json(Place | Cancel)
        await session.send_json(order, text=False)
        order = await session.receive_msgpack(Place | Cancel)
        await session.send_msgpack(order)

    async with testing.connect(app) as client:
        await client.send(b'{"type": "cancel", "order": 4}')
        data = await client.receive()
        assert (type(data), msgspec.json.decode(data)) == (bytes, {"type": "cancel", "order": 4})
        await client.send_msgpack(Place(5, ["x"]))
        assert await client.receive_msgpack(Place) == Place(5, ["x"])


@pytest.mark.parametrize(
    "data",
    [
        b"\xff",
        b'"\xff"',
        "{",
        "",
        "[" * 100_000,
        '{"type": "place", "amount": 0}',
        '{"type": "no"}',
        "1e999",
    ],
)
async def test_what_is_not_the_expected_json_is_1007(data: str | bytes) -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        with pytest.raises(RemoteProtocolError) as caught:
            await session.receive_json(Place | Cancel)
        raise caught.value

    async with testing.connect(app) as client:
        await client.send(data)
        info = await client.wait_closed()
    assert info.remote == (1007, "message is not the JSON that was expected")


@pytest.mark.parametrize("data", ["{}", b"\xc1", b"\xa2\xff\xff", b"\x91" * 10**5, b"\x80"])
async def test_what_is_not_the_expected_messagepack_is_1007(data: str | bytes) -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.receive_msgpack(Place)

    async with testing.connect(app) as client:
        await client.send(data)
        info = await client.wait_closed()
    assert info.remote == (1007, "message is not the MessagePack that was expected")


async def test_types_that_cannot_be_hashed_are_decoded_too() -> None:
    kind = Annotated[int, Meta(gt=1, extra={"unit": "s"})]
    assert [decode("2", kind, "json") for _ in "ab"] == [2, 2]
    with pytest.raises(TypeError):
        decode("2", Place | Cancel | dict, "json")


@given(st.binary() | st.text())
def test_no_input_raises_anything_else(data: str | bytes) -> None:
    for format in ("json", "msgpack"):
        with pytest.raises(MessageError) as caught:
            Orders.table.decode(data, format)  # type: ignore[arg-type]
        assert caught.value.code in ("malformed", "invalid", "unknown")


# --- dispatching ------------------------------------------------------------------------------


async def test_each_type_has_its_handler_and_replies_in_order() -> None:
    async with testing.connect(app_with(Orders), "/abc") as client:
        await client.send_json(Watch(2))
        await client.send_json(Watch(0))
        await client.send_json(Place(7))
        await client.send_json(Cancel(1))
        assert [await client.receive_json(Reply) for _ in range(4)] == [
            Placed(0),
            Placed(1),
            Placed(10),
            ErrorReply("not-found"),
        ]
    assert Orders.closed.pop().ok


async def test_the_subprotocol_chooses_the_format() -> None:
    async with wsext.serve(app_with(Orders)) as server:
        url = f"{server.url}/abc"
        async with wsext.connect(url, subprotocols=["msgpack"]) as session:
            await session.send_msgpack(Place(7))
            assert await session.receive_msgpack(Reply) == Placed(10)
            await session.send("{}")
            error = await session.receive_msgpack(Reply)
            assert error == ErrorReply("malformed", "Expected a binary message, got text")
        async with wsext.connect(url, subprotocols=["json"]) as session:
            await session.send_json(Place(7))
            assert await session.receive_json(Reply) == Placed(10)


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ("{", ErrorReply("malformed", "Input data was truncated")),
        (b'"\xff"', ErrorReply("malformed", "Invalid UTF-8 encoded string")),
        ('{"type": "place"}', ErrorReply("invalid", "Object missing required field `amount`")),
        (
            '{"type": "place", "amount": "1"}',
            ErrorReply("invalid", "Expected `int`, got `str`", "$.amount"),
        ),
        (
            '{"type": "place", "amount": 1, "tags": ["a", 2]}',
            ErrorReply("invalid", "Expected `str`, got `int`", "$.tags[1]"),
        ),
        ('{"type": "buy"}', ErrorReply("unknown", "Invalid value 'buy'", "$.type")),
        ('{"type": 1}', ErrorReply("unknown", "Expected `str`", "$.type")),
        ("{}", ErrorReply("invalid", "Object missing required field `type`")),
        ("[1]", ErrorReply("invalid", "Expected `object`, got `array`")),
        ('{"type": "place", "amount": 101}', ErrorReply("too-large", "at most 100", "$.amount")),
    ],
)
async def test_a_bad_message_is_answered_and_the_session_goes_on(
    message: str | bytes, error: ErrorReply
) -> None:
    async with testing.connect(app_with(Orders), "/abc") as client:
        await client.send(message)
        assert await client.receive_json(Reply) == error
        await client.send_json(Place(1))
        assert await client.receive_json(Reply) == Placed(4)


async def test_what_the_peer_sent_is_not_echoed_at_length() -> None:
    (error,) = await replies(Orders, '{"type": "' + "x" * 100_000 + '"}')
    assert len(error["message"]) == 200


@pytest.mark.parametrize("code", [1007, 1008])
async def test_a_bad_message_may_close(code: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Strict(Orders):
        on_invalid = code

    with caplog.at_level(logging.DEBUG, "wsext"):
        info = await closes(Strict, '{"type": "place", "amount": "a\\nb"}')
        assert info.remote == (code, "invalid message at $.amount")
        info = await closes(Strict, '{"type": "s3cret\\nx"}')
        assert info.remote == (code, "unknown message at $.type")
    assert "s3cret" not in caplog.text
    assert "Traceback" not in caplog.text
    (refused,) = await replies(Strict, '{"type": "place", "amount": 101}')
    assert refused["code"] == "too-large"


async def test_other_exceptions_end_the_session_as_in_any_handler() -> None:
    info = await closes(Orders, '{"type": "cancel", "order": 13}')
    assert info.remote == (1011, "internal error")
    app = app_with(Orders)
    app.map_exception(RuntimeError, 4000, "no")
    async with testing.connect(app, "/abc") as client:
        await client.send_json(Cancel(13))
        assert (await client.wait_closed()).remote == (4000, "no")


async def test_on_any_takes_unknown_tags_and_nothing_else() -> None:
    class Lenient(Dispatcher):
        @on(Place, Cancel)
        def known(self, session: Session, message: Place | Cancel) -> Placed:
            return Placed(0)

        @on(Any)
        async def rest(self, session: Session, message: Any) -> Any:
            return {"echo": message}

        def on_open(self, session: Session, book: str) -> None:
            pass

    assert await replies(
        Lenient, '{"type": "new", "x": [1]}', '{"type": "cancel", "order": 1}', "{}"
    ) == [
        {"echo": {"type": "new", "x": [1]}},
        {"type": "placed", "order": 0},
        {"type": "error", "code": "invalid", "message": "Object missing required field `type`"},
    ]


async def test_the_shape_of_errors_can_be_chosen() -> None:
    class Own(Orders):
        def error_reply(self, error: MessageError, message: Any) -> Any:
            return {"kind": "oops", "why": error.code, "about": message}

    assert await replies(Own, "{", '{"type": "cancel", "order": 7}') == [
        {"kind": "oops", "why": "malformed", "about": None},
        {"kind": "oops", "why": "not-found", "about": {"type": "cancel", "order": 7}},
    ]


async def test_a_function_is_enough_for_one_type() -> None:
    @on(Place)
    async def handle(session: Session, message: Place, book: str) -> Placed:
        return Placed(message.amount + len(book))

    assert await replies(handle, '{"type": "place", "amount": 1}', "1") == [
        {"type": "placed", "order": 4},
        {"type": "error", "code": "invalid", "message": "Expected `object`, got `int`"},
    ]


async def test_types_without_tags_are_told_by_their_kind() -> None:
    @dataclass
    class Point:
        x: int

    class Mixed(Dispatcher):
        def on_open(self, session: Session, book: str) -> str:
            return "welcome"

        @on(Point)
        def point(self, session: Session, message: Point) -> str:
            return f"point {message.x}"

        @on(list[int] | str)
        def rest(self, session: Session, message: list[int] | str) -> str:
            return f"{type(message).__name__} {message}"

    assert await replies(Mixed, '{"x": 1}', "[1, 2]", '"a"') == [
        "welcome",
        "point 1",
        "list [1, 2]",
    ]


async def test_a_subclass_overrides_by_name_or_by_type() -> None:
    class Renamed(Orders):
        @on(Cancel)
        def drop(self, session: Session, message: Cancel) -> Any:
            return "dropped"

        async def place(self, session: Session, message: Place) -> Any:
            return "placed"

    assert await replies(
        Renamed, '{"type": "cancel", "order": 1}', '{"type": "place", "amount": 1}'
    ) == ["dropped", "placed"]


async def test_a_client_dispatches_too() -> None:
    app = App()

    @app.websocket("/")
    async def push(session: Session) -> None:
        await session.send_json(Placed(1))
        await session.send_json(Placed(2))

    seen: list[int] = []

    class Client(Dispatcher):
        @on(Placed)
        def placed(self, session: Session, message: Placed) -> None:
            seen.append(message.order)

    async with testing.connect(app) as client:
        await Client().run(client)
    assert seen == [1, 2]


async def test_a_dispatcher_hears_of_a_dropped_connection() -> None:
    class Heard(Orders):
        closed: list[CloseInfo] = []

    async with testing.connect(app_with(Heard), "/abc") as client:
        server = client.server
        client.abort()
        await client.wait_closed()
        await server.close()
    (info,) = Heard.closed
    assert info.code == 1006


async def test_a_closed_session_is_not_an_error_of_a_handler() -> None:
    class All(Orders):
        errors = {Exception: "all"}

        @on(Cancel)
        async def cancel(self, session: Session, message: Cancel) -> Placed:
            await session.close(4001, "enough")
            return Placed(1)

    info = await closes(All, '{"type": "cancel", "order": 1}')
    assert info.remote == (4001, "enough")


# --- rooms ------------------------------------------------------------------------------------


async def test_members_of_a_room_get_values_in_their_own_formats() -> None:
    app, left = App(), []

    @app.websocket("/<book>")
    class Traders(Orders):
        async def on_open(self, session: Session, book: str) -> None:
            self.members = await self.enter(app.room(book).join(session, info={"n": 1}))
            await self.members.broadcast(PreparedValue(Placed(len(self.members))))

        @on(Cancel)
        async def cancel(self, session: Session, message: Cancel) -> None:
            await self.members.broadcast(PreparedValue(Placed(message.order)), exclude=session)

        async def on_close(self, session: Session, info: CloseInfo) -> None:
            left.append(session.format)

    async with testing.connect(app, "/tea", subprotocols=["json"]) as one:
        assert await one.receive_json(Placed) == Placed(1)
        async with testing.connect(app, "/tea", subprotocols=["msgpack"]) as two:
            assert await two.receive_msgpack(Placed) == Placed(2)
            assert await one.receive_json(Placed) == Placed(2)
            await one.send_json(Cancel(7))
            assert await two.receive_msgpack(Placed) == Placed(7)
            await two.send_msgpack(Cancel(8))
            assert await one.receive_json(Placed) == Placed(8)
        await until(lambda: len(app.room("tea")) == 1)
    assert left == ["msgpack", "json"]


async def test_what_was_entered_is_left_in_reverse_after_on_close() -> None:
    course: list[Any] = []

    @asynccontextmanager
    async def resource(name: str) -> AsyncIterator[str]:
        course.append(f"enter {name}")
        yield name
        course.append(f"leave {name}")

    class Entering(Dispatcher):
        async def on_open(self, session: Session, book: str) -> str:
            return await self.enter(resource("a")) + await self.enter(resource("b"))

        def on_close(self, session: Session, info: CloseInfo) -> None:
            course.append("close")

    assert await replies(Entering, "{") == ["ab"]
    assert course == ["enter a", "enter b", "close", "leave b", "leave a"]


# --- ends ------------------------------------------------------------------------------------


async def test_a_peer_that_vanishes_ends_a_client_dispatcher_with_an_error() -> None:
    app = App()

    @app.websocket("/")
    async def drop(session: Session) -> None:
        await session.receive()
        session.abort()

    class Client(Dispatcher):
        @on(Placed)
        def placed(self, session: Session, message: Placed) -> None: ...

    async with testing.connect(app) as client:
        await client.send("now")
        with pytest.raises(ConnectionClosedError):
            await Client().run(client)
