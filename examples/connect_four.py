"""Connect Four for two players and any number of watchers: typed messages, a room for each game.

python examples/connect_four.py        and: wsext connect ws://127.0.0.1:8765/
    {"type": "init"}                         begins a game; the answer has the keys of the others
    {"type": "init", "join": KEY}            is the second player
    {"type": "init", "watch": KEY}           watches
    {"type": "play", "column": 3}            plays
"""

import secrets
from typing import Annotated, Literal

from msgspec import Meta, Struct

from wsext import App, CloseInfo, Dispatcher, MessageError, RoomOptions, Session, on

COLUMNS, ROWS = 7, 6

app = App(rooms=RoomOptions(history=COLUMNS * ROWS + 1))

Colour = Literal["red", "yellow"]


class Init(Struct, tag_field="type", tag="init"):
    """Begin a game, or take part in one."""

    join: str | None = None
    watch: str | None = None


class Play(Struct, tag_field="type", tag="play"):
    """Drop a disc."""

    column: Annotated[int, Meta(ge=0, lt=COLUMNS)]


class Begun(Struct, tag_field="type", tag="init"):
    """The keys of a new game."""

    join: str
    watch: str


class Played(Struct, tag_field="type", tag="play"):
    """A disc has dropped."""

    player: Colour
    column: int
    row: int


class Won(Struct, tag_field="type", tag="win"):
    """Four in a row."""

    player: Colour


class Game:
    """The discs of one game, and who may come to it."""

    def __init__(self) -> None:
        self.join, self.watch = secrets.token_urlsafe(12), secrets.token_urlsafe(12)
        self.discs: dict[tuple[int, int], Colour] = {}
        self.turn: Colour = "red"
        self.is_over = False

    def play(self, player: Colour, column: int) -> int:
        """The row that a disc drops to."""
        if self.is_over:
            raise MessageError("over", "the game is over")
        if player != self.turn:
            raise MessageError("turn", "it is the other player's turn")
        row = sum((column, each) in self.discs for each in range(ROWS))
        if row == ROWS:
            raise MessageError("full", "this column is full", "$.column")
        self.discs[column, row] = player
        self.turn = "yellow" if player == "red" else "red"
        self.is_over = self.has_four(column, row)
        return row

    def has_four(self, column: int, row: int) -> bool:
        """Whether a disc is one of four in a row."""
        mine = self.discs[column, row]
        for right, up in (1, 0), (0, 1), (1, 1), (1, -1):
            line = [self.discs.get((column + right * n, row + up * n)) for n in range(-3, 4)]
            if any(line[start : start + 4] == [mine] * 4 for start in range(4)):
                return True
        return False


games: dict[str, Game] = {}  # by both of their keys


@app.websocket("/")
class Seat(Dispatcher):
    """One player, or one watcher."""

    pushes = (Played, Won)
    game: Game | None = None
    colour: Colour | None = None

    @on(Init)
    async def sit_down(self, session: Session, message: Init) -> Begun | None:
        if self.game is not None:
            raise MessageError("seated", "you are in a game already")
        key = message.join or message.watch
        game = Game() if key is None else games.get(key)
        if game is None or (message.join and key != game.join):
            raise MessageError("unknown-game", "there is no such game")
        self.game = game
        if key is None:
            self.colour = "red"
            games[game.join] = games[game.watch] = game
        elif message.join:
            self.colour = "yellow"
            del games[game.join]  # nobody else can join
        room = app.room(game.watch)
        self.members = await self.enter(room.join(session, history=COLUMNS * ROWS + 1))
        return Begun(game.join, game.watch) if key is None else None

    @on(Play)
    async def play(self, session: Session, message: Play) -> None:
        if self.game is None or self.colour is None:
            raise MessageError("watching", "only players can play")
        row = self.game.play(self.colour, message.column)
        await self.members.broadcast_json(Played(self.colour, message.column, row))
        if self.game.is_over:
            await self.members.broadcast_json(Won(self.colour))

    def on_close(self, session: Session, info: CloseInfo) -> None:
        if self.game is not None and self.colour == "red":
            games.pop(self.game.join, None)
            games.pop(self.game.watch, None)


if __name__ == "__main__":
    app.run()
