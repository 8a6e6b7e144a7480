"""Cases about local interceptors."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

from wsext.errors import ConnectionClosed, ProtocolError
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import Cases, check_hooks, exchange, run_async, skip
from wsext.testing.simulation.books import logged_errors

__all__ = ["LocalCases"]

#: What a peer may send and an interceptor may not expect.
_ODD = (
    Frame(1, "ünï\x00\x1b[31m".encode()),
    Frame(2, bytes(range(256))),
    Frame(1, "split é".encode()[:-1], False),
    Frame(9, b"\xff" * 125),
    Frame(0, "é".encode()[1:], True),
    Frame(2, b"", False),
    Frame(0, b""),
    Frame(10, b""),
)


class LocalCases(Cases):
    """What a session may rely on when an interceptor is installed."""

    transparent: ClassVar[bool] = True

    def test_its_hooks_are_known(self) -> None:
        """Every method named like a hook is one, and is marked with `hookimpl`."""
        check_hooks(self.extension)

    @run_async
    async def test_messages_arrive_on_both_sides(self) -> None:
        """On a server or on a client, messages, pings and the close pass as without it."""
        if not self.transparent:
            skip("it changes messages (transparent = False)")
        for side in ("client", "server"):
            ours, theirs = ([self.make()], []) if side == "client" else ([], [self.make()])
            async with self.ground.pair(theirs, client=ours) as (client, server):
                await client.ping()
                await exchange(client, server, self.messages, f"on the {side}: ")

    @run_async
    async def test_no_frame_makes_it_raise(self) -> None:
        """No frame that a peer can send makes a hook raise."""
        with logged_errors() as records:
            async with self.ground.pair([self.make()]) as (client, server):
                for frame in _ODD:
                    await client.send_frame(frame)
                    await server.send_frame(frame)
                await client.ping()
                await client.close()
        assert not records, f"the log has: {records[0].getMessage()}"

    @run_async
    async def test_sessions_do_not_share_state(self) -> None:
        """The instance serves several sessions at the same time."""
        if not self.transparent:
            skip("it changes messages (transparent = False)")
        one = self.make()
        async with (
            self.ground.pair([one]) as (first, first_server),
            self.ground.pair([one]) as (second, second_server),
        ):
            await first.send("to the first")
            await second.send("to the second")
            assert await second_server.receive() == "to the second"
            assert await first_server.receive() == "to the first"

    @run_async
    async def test_fragments_change_nothing(self) -> None:
        """What it does to a message does not depend on the fragments that the message comes in."""
        for payload in self.messages:
            for sends in (True, False):
                whole = await self._outcome([Frame(2, payload)], sends)
                pieces = await self._outcome(_fragments(payload), sends)
                way = "sent" if sends else "received"
                if pieces != whole:  # with `assert`, pytest would look for all differences
                    raise AssertionError(
                        f"{payload!r:.40}, {way} in fragments, became {pieces!r:.60}; "
                        f"in one frame it became {whole!r:.60} (message hooks see whole messages)"
                    )

    async def _outcome(self, frames: list[Frame], sends: bool) -> tuple[list[Any], Any]:
        """What came of the frames of one message: what arrived, and how the session ended."""
        async with self.ground.pair([self.make()], client=[]) as (client, server):
            sender, receiver = (server, client) if sends else (client, server)
            with suppress(ConnectionClosed, ProtocolError):
                for frame in frames:
                    await sender.send_frame(frame)
            await sender.close(3000)
            arrived = []
            with suppress(ConnectionClosed):
                while True:
                    arrived.append(await receiver.receive())
            return arrived, client.close_info.code


def _fragments(payload: bytes) -> list[Frame]:
    """A binary message in fragments, so small that no word is left whole where that is possible."""
    step = max(3, len(payload) // 1000)
    pieces = [payload[start : start + step] for start in range(0, len(payload), step)]
    first, *rest = pieces or [b""]
    return [Frame(2, first, False), *(Frame(0, piece, False) for piece in rest), Frame(0)]
