"""Tables of dispatchers: types that cannot be told apart are refused."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from msgspec import Struct

from wsext import (
    Dispatcher,
    MessageError,
    Session,
    on,
)
from wsext.app.tables import union_members


class Place(Struct, tag="place"):
    amount: int


class Cancel(Struct, tag="cancel"):
    order: int


def test_a_message_is_handled_by_the_method_of_its_type() -> None:
    class Orders(Dispatcher):
        @on(Place)
        def place(self, session: Session, message: Place) -> None: ...
        @on(Any)
        def rest(self, session: Session, message: Any) -> None: ...

    table = Orders.table
    assert table.decode('{"type":"place","amount":1}', "json") == (Place(1), "place")
    assert table.decode('{"type":"other"}', "json") == ({"type": "other"}, "rest")
    with pytest.raises(MessageError, match="invalid"):
        table.decode('{"type":"place"}', "json")
    with pytest.raises(MessageError, match="malformed"):
        table.decode("{", "json")


def test_unions_are_taken_apart() -> None:
    assert list(union_members(Place | Cancel | None)) == [Place, Cancel]
    assert list(union_members(Place)) == [Place]


def test_a_dispatcher_is_checked_when_it_is_defined() -> None:
    class Untagged(Struct):
        x: int

    with pytest.raises(TypeError, match=r"Two: .* tagged"):

        class Two(Dispatcher):
            @on(Untagged, Place)
            def both(self, session: Session, message: Any) -> None: ...

    with pytest.raises(TypeError, match="Twice: first and second both handle Place"):

        class Twice(Dispatcher):
            @on(Place)
            def first(self, session: Session, message: Place) -> None: ...
            @on(Place | Cancel)
            def second(self, session: Session, message: Any) -> None: ...

    with pytest.raises(TypeError, match="Fallback: on\\(Any\\) beside others needs tagged"):

        class Fallback(Dispatcher):
            @on(Untagged)
            def one(self, session: Session, message: Untagged) -> None: ...
            @on(Any)
            def rest(self, session: Session, message: Any) -> None: ...

    with pytest.raises(TypeError, match="Vague: messages cannot be told by"):

        class Vague(Dispatcher):
            @on(Literal["a"])
            def one(self, session: Session, message: Any) -> None: ...

    with pytest.raises(TypeError, match="Taken: send is a name of Dispatcher's"):

        class Taken(Dispatcher):
            @on(Place)
            def send(self, session: Session, message: Any) -> None: ...

    with pytest.raises(TypeError, match=r"Wrong.on_invalid is 1234, not 'reply', 1007 or 1008"):

        class Wrong(Dispatcher):
            on_invalid = 1234  # type: ignore[assignment]

    for wrong in ({"format": "yaml"}, {"subprotocols": {"a": "json", "b": "yaml"}}):
        with pytest.raises(TypeError, match="Wrong: the format 'yaml' is not 'json' or 'msgpack'"):
            type("Wrong", (Dispatcher,), wrong)

    with pytest.raises(TypeError, match="needs a type"):
        on()
