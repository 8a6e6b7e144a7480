"""Cases through whole sessions: handshake, handlers, the end."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from wsext.errors import ConnectionClosed
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import Cases, exchange, run_async
from wsext.testing.differences import check_same
from wsext.testing.simulation.books import logged_errors

__all__ = ["SessionCases"]


class SessionCases(Cases):
    """What an application sees."""

    @run_async
    async def test_a_session_talks_through_it(self) -> None:
        """A client and a server in memory agree on it, exchange messages and close cleanly."""
        one = self.make()
        async with self.ground.pair([one]) as (client, server):
            for session in (client, server):
                assert session.extension(one.name, None), "it is not in use on a session"
            await exchange(client, server, self.messages)
            assert client.close_info.clean, str(client.close_info)

    @run_async
    async def test_the_order_of_messages_is_kept(self) -> None:
        """Many messages sent at once arrive in their order, also through an asynchronous codec,
        and the last one before the close arrives, too."""
        async with self.ground.pair([self.make()]) as (client, server):
            sent = [f"{number} " * (number % 7 + 1) for number in range(60)]
            got: list[Any] = []

            async def listen() -> None:
                with suppress(ConnectionClosed):
                    while True:
                        got.append(await server.receive())

            await self.ground.say(client, sent)
            await client.send("last")
            await self.ground.both(client.close, listen)
            check_same([*sent, "last"], got)

    @run_async
    async def test_a_streamed_message_arrives(self) -> None:
        """A message that is sent as a stream of fragments arrives whole."""
        pieces = [f"piece {number}, " for number in range(20)]

        async def chunks() -> Any:
            for piece in pieces:
                yield piece

        async with self.ground.pair([self.make()]) as (client, server):
            await client.send(chunks())
            got = await server.receive()
            assert got == "".join(pieces), f"{got!r:.60}"

    @run_async
    async def test_ends_in_the_middle_leave_nothing_behind(self) -> None:
        """A connection that is dropped in the middle of a message ends the session with 1006, and
        nothing is logged as an error."""
        with logged_errors() as records:
            async with self.ground.pair([self.make()]) as (client, server):
                await client.send_frame(Frame(2, b"the first half", False))
                await server.send("something")
                client.abort()
                journal = server.negotiation.journal
                if journal is not None:  # the session is kept for a while
                    await client.clock.advance(journal.window)
                info = await server.wait_closed()
                assert info.code == 1006, str(info)
        assert not records, f"the log has: {records[0].getMessage()}"
