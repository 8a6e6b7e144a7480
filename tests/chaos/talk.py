"""What both sides say in the bench, and the judge of what each of them hears."""

from __future__ import annotations

import asyncio
import random

from wsext import Session

__all__ = ["Heard", "say"]


class Heard:
    """Checks each message: none is lost, none is doubled, all are in order.

    Raises:
        AssertionError: At the first message that is not the next one.
    """

    def __init__(self) -> None:
        self.count = 0

    def take(self, message: object) -> bool:
        """Take the next message; whether it was the last one."""
        text = str(message)
        number, word, *_ = text.split(maxsplit=2)
        assert int(number) == self.count, f"number {number} came in place of {self.count}"
        assert len(text) == self.length(text), f"number {number} is cut off"
        self.count += 1
        return word == "last"

    @staticmethod
    def length(text: str) -> int:
        return int(text.rpartition(" ")[2]) if text[-1:].isdigit() else -1


async def say(session: Session, stop: asyncio.Event, seed: str, pause: float) -> int:
    """Send numbered messages of random sizes in bursts until it is time; how many they were."""
    chance = random.Random(seed)
    number = 0
    while not stop.is_set():
        for _ in range(chance.randrange(1, 8)):
            filling = chance.randbytes(chance.choice((0, 5, 50, 150, 500))).hex()
            await session.send(_message(number, "more", filling))
            number += 1
        await asyncio.sleep(chance.random() * pause)  # the load is to be even
    await session.send(_message(number, "last", ""))
    return number + 1


def _message(number: int, word: str, filling: str) -> str:
    """It ends with its own length."""
    text = f"{number} {word} {filling} "
    return f"{text}{len(text) + 6:06}"
