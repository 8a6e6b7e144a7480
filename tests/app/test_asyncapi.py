"""AsyncAPI documents: valid by the official schema, and true to what the app does."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from msgspec import Struct

from tests.e2e.processes import wsext
from wsext import App, Dispatcher, Listener, Router, Session, on, testing
from wsext.app.asyncapi import document
from wsext.reference import build_app

ROOT = Path(__file__).parents[2]
SCHEMA = ROOT / "tests" / "data" / "asyncapi" / "3.0.0.json.gz"


@cache
def validator() -> Any:
    return jsonschema.Draft7Validator(json.loads(gzip.decompress(SCHEMA.read_bytes())))


def valid(made: dict[str, Any]) -> dict[str, Any]:
    """The document as its readers get it, once it is valid."""
    made = json.loads(msgspec.json.encode(made))
    problems = [
        f"{'/'.join(map(str, error.path))}: {error.message[:200]}"
        for error in validator().iter_errors(made)
    ]
    assert not problems
    return made


def at(made: Any, ref: str) -> Any:
    """What a reference points to."""
    for part in ref.removeprefix("#/").split("/"):
        made = made[part]
    return made


def payloads(made: dict[str, Any], messages: list[dict[str, str]]) -> list[dict[str, Any]]:
    """The JSON schemas of an operation's messages, ready to validate with."""
    found = [at(made, at(made, item["$ref"])["$ref"])["payload"] for item in messages]
    return [{**payload, "components": made["components"]} for payload in found]


class Move(Struct, tag="move"):
    """A step."""

    to: tuple[int, int]
    note: bytes = b""


class Look(Struct, tag="look"):
    around: list[Move | None]


class Seen(Struct, tag="seen"):
    moves: dict[str, Move]
    either: Move | Look | None = None


class Tick(Struct, tag="tick"):
    at: float


class Game(Dispatcher):
    """A game.

    Two players.
    """

    subprotocols = {"game.json": "json", "game.msgpack": "msgpack"}
    pushes = (Tick,)

    @on(Move | Look)
    async def play(self, session: Session, message: Move | Look) -> AsyncIterator[Seen]:
        """Play."""
        yield Seen({})

    @on(Any)
    def rest(self, session: Session, message: Any) -> None: ...


def game_app() -> App:
    app = App()
    app.install("permessage-deflate")
    router = Router("/v1")
    router.websocket("/games/<int:game>/<any(red,blue):side>")(Game)
    app.include(router)

    @app.websocket("/echo", extensions=False)
    class Echo(Listener):
        """Echoes."""

    @app.websocket_raw("/")
    async def raw(session: Session) -> None: ...

    @app.http("/healthz")
    def healthz(request: Any) -> str:
        return "ok"

    return app


def test_routes_become_channels() -> None:
    made = valid(document(game_app(), title="Games", version="2.1", description="*Play.*"))
    assert made["asyncapi"] == "3.0.0"
    assert made["info"] == {"title": "Games", "version": "2.1", "description": "*Play.*"}
    assert list(made["channels"]) == ["v1-games-game-side", "echo", "root"]
    game = made["channels"]["v1-games-game-side"]
    assert game["address"] == "/v1/games/{game}/{side}"
    assert game["title"] == "Game"
    assert game["description"] == "A game.\n\nTwo players."
    assert game["parameters"] == {"game": {"description": "int"}, "side": {"description": "any"}}
    headers = game["bindings"]["ws"]["headers"]["properties"]
    assert headers["Sec-WebSocket-Protocol"]["enum"] == ["game.json", "game.msgpack"]
    assert "permessage-deflate" in headers["Sec-WebSocket-Extensions"]["description"]
    assert "headers" not in made["channels"]["echo"]["bindings"]["ws"]
    assert "without reassembly" in made["channels"]["root"]["description"]


def test_typed_messages_become_operations() -> None:
    made = valid(document(game_app()))
    operations = made["operations"]
    play = operations["v1-games-game-side-play"]
    assert (play["action"], play["description"]) == ("receive", "Play.")
    names = [item["$ref"].rpartition("/")[2] for item in play["messages"]]
    assert names == ["Move", "Move.msgpack", "Look", "Look.msgpack"]
    replies = [item["$ref"].rpartition("/")[2] for item in play["reply"]["messages"]]
    assert replies == ["Seen", "Seen.msgpack", "ErrorReply", "ErrorReply.msgpack"]
    pushes = operations["v1-games-game-side-pushes"]
    assert pushes["action"] == "send"
    assert [item["$ref"].rpartition("/")[2] for item in pushes["messages"]] == [
        "Tick",
        "Tick.msgpack",
    ]
    messages = made["components"]["messages"]
    assert messages["Move.msgpack"]["contentType"] == "application/vnd.msgpack"
    assert messages["Move"]["payload"] == messages["Move.msgpack"]["payload"]


def test_the_payload_schemas_accept_what_is_sent_and_refuse_the_rest() -> None:
    made = valid(document(game_app()))
    play = made["operations"]["v1-games-game-side-play"]
    move, _, look, _ = payloads(made, play["messages"])
    seen = payloads(made, play["reply"]["messages"])[0]
    for schema, value in (
        (move, Move((1, 2))),
        (look, Look([Move((1, 2)), None])),
        (seen, Seen({"a": Move((1, 2))}, Look([]))),
    ):
        jsonschema.Draft7Validator(schema).validate(json.loads(msgspec.json.encode(value)))
    for schema, wrong in (
        (move, {"type": "move", "to": [1, 2, 3]}),
        (move, {"type": "move", "to": [1, "2"]}),
        (move, {"type": "look", "around": []}),
        (seen, {"type": "seen", "moves": {"a": 1}}),
    ):
        assert not jsonschema.Draft7Validator(schema).is_valid(wrong)


def test_paths_that_look_alike_stay_apart() -> None:
    app = App()
    for path in ("/a/<b>", "/a-b", "/a/b"):
        app.websocket(path)(Game)
    made = valid(document(app))
    assert list(made["channels"]) == ["a-b", "a-b-2", "a-b-3"]


def test_the_reference_app_has_a_valid_document() -> None:
    made = valid(document(build_app(), server="wss://example.org/base/"))
    assert made["servers"]["default"] == {
        "host": "example.org",
        "protocol": "wss",
        "pathname": "/base",
    }
    assert made["operations"] == {}


def test_what_cannot_be_described_is_named() -> None:
    class Local(Dispatcher):
        @on(Move)
        def move(self, session: Session, message: Move) -> Nowhere: ...  # type: ignore[name-defined]  # noqa: F821

    app = App()
    app.websocket("/")(Local)
    with pytest.raises(TypeError, match=r"Local\.move: name 'Nowhere' is not defined"):
        document(app)
    with pytest.raises(ValueError, match="expected ws://host or wss://host, got 'http://x'"):
        document(App(), server="http://x")


async def test_the_document_of_the_example_holds_for_its_server() -> None:
    done = wsext("asyncapi", "typed_orders:app", "--app-dir", str(ROOT / "examples"))
    assert done.returncode == 0, done.stderr
    made = valid(json.loads(done.stdout))
    place = made["operations"]["orders-symbol-place"]
    replies = payloads(
        made, [item for item in place["reply"]["messages"] if "." not in item["$ref"]]
    )
    from examples.typed_orders import app

    async with testing.connect(app, "/orders/WSX") as client:
        await client.receive()
        for message in ({"type": "place", "id": 1, "side": "buy", "amount": 2}, {"type": "place"}):
            await client.send_json(message)
            answer = await client.receive_json()
            assert sum(jsonschema.Draft7Validator(one).is_valid(answer) for one in replies) == 1
