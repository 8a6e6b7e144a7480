"""What a room may be called."""

from __future__ import annotations

import pytest

from wsext import App, RoomError, RoomOptions
from wsext.rooms.names import check_name


@pytest.mark.parametrize("name", ["a", "ä" * 127, "a room: with * anything\n", "x" * 255])
def test_every_text_of_255_bytes_is_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * 256, "ä" * 128, "\ud800"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RoomError, match="a room's name"):
        check_name(name)


@pytest.mark.parametrize("id", ["", "x" * 65, "ü" * 33, "\ud800"])
async def test_an_id_is_short(id: str) -> None:
    app = App(rooms=RoomOptions(recovery=True))
    with pytest.raises(RoomError, match="1 to 64 bytes"):
        await app.room("tea").broadcast("x", id=id)
