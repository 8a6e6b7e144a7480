"""At which address is another server of the same backplane reached?

A server that has the option ``advertise`` makes it known on the backplane as long as it lives. Who
gets a handshake that another server has to answer tells the client to go there.
"""

from __future__ import annotations

import asyncio
import re
import secrets
from contextlib import suppress

from wsext.rooms.hub import Hub

__all__ = ["Nodes", "name_of", "new_node", "number_of"]

#: The room whose members are the servers. No application has it: its name has a control in it.
_ROOM = "\x01servers"

_NUMBER = re.compile("[1-9][0-9]{0,17}")

#: Seconds for which nobody is asked again, and that the broker gets to answer.
_FRESH = 1.0
_PATIENCE = 2.0


def new_node() -> int:
    """A number for a server that is to be told from others, now and after it was started again."""
    return secrets.randbits(48)


def name_of(number: int, node: int) -> str:
    """What the worker of a number is called, for `Extension.worker_of`."""
    return f"{number}-{node:x}"


def number_of(name: str, node: int) -> int | None:
    """The number of a worker of this server by its name; ``None`` if it is none."""
    number, _, other = name.partition("-")
    is_ours = other == f"{node:x}" and _NUMBER.fullmatch(number)
    return int(number) if is_ours else None


class Nodes:
    """The servers on a backplane.

    Args:
        hub: Has the backplane.
        name: What this server, or worker, is called: `Extension.worker_of` gives such names.
        url: Where clients reach it; ``None`` if they cannot.
    """

    def __init__(self, hub: Hub, name: str, url: str | None) -> None:
        self._hub = hub
        self._name = name
        self._url = url
        self._found: dict[str, str] = {}
        self._until = 0.0
        self._asking = asyncio.Lock()

    async def tell(self) -> None:
        """Make this one known; the hub has started."""
        if self._url is not None:
            member = f"{self._hub.origin}.{self._name}"
            await self._hub.backplane.enter(_ROOM, member, self._url.encode())

    async def find(self, name: str) -> str | None:
        """The address of another one; ``None`` if it is not known."""
        loop = asyncio.get_running_loop()
        async with self._asking:
            if loop.time() >= self._until:
                self._found = await self._ask()
                self._until = loop.time() + _FRESH
        return self._found.get(name)

    async def _ask(self) -> dict[str, str]:
        try:
            async with asyncio.timeout(_PATIENCE):
                members = await self._hub.backplane.members(_ROOM)
        except (ConnectionError, TimeoutError):
            return {}
        found = {}
        for member, url in members.items():
            with suppress(UnicodeDecodeError):
                found[member.partition(".")[2]] = url.decode()
        return found
