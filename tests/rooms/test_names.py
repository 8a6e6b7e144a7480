"""What a room and a message may be called."""

from __future__ import annotations

import pytest

from wsext import RoomError
from wsext.rooms.names import check_id, check_name


@pytest.mark.parametrize("name", ["a", "ä" * 127, "a room: with * anything\n", "x" * 255])
def test_every_text_of_255_bytes_is_a_name(name: str) -> None:
    check_name(name)


@pytest.mark.parametrize("name", ["", "x" * 256, "ä" * 128, "\ud800"])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(RoomError, match="a room's name"):
        check_name(name)


@pytest.mark.parametrize("id", ["1", "order 17|a", "ä" * 32])
def test_every_text_of_64_bytes_is_an_id(id: str) -> None:
    check_id(id)


@pytest.mark.parametrize("id", ["", "x" * 65, "ä" * 33, "\ud800"])
def test_other_ids_are_refused(id: str) -> None:
    with pytest.raises(RoomError, match="a message's id"):
        check_id(id)
