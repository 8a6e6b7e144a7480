"""Cases through whole sessions: handshake, handlers, the end."""

from __future__ import annotations

import asyncio
from typing import Any

from wsext.errors import ConnectionClosed
from wsext.testing.cases_base import Cases, logged_errors
from wsext.testing.engines import run_async

__all__ = ["SessionCases"]


class SessionCases(Cases):
    """What an application sees."""

    def test_a_session_talks_through_it(self) -> None:
        """A client and a server in memory agree on it, exchange messages and close cleanly."""

        async def talk() -> None:
            from wsext.testing.peers import pair

            one = self.make()
            async with pair([one]) as (client, server):
                for session in (client, server):
                    assert session.extension(one.name, None), "it is not in use on a session"
                for payload in self.messages:
                    await client.send(payload)
                    got = await asyncio.wait_for(server.receive(), 20)
                    assert got == payload, f"{payload!r:.40} came as {got!r:.40}"
                    await server.send(payload)
                    got = await asyncio.wait_for(client.receive(), 20)
                    assert got == payload, f"{payload!r:.40} came back as {got!r:.40}"
                await client.close(3000, "done")
                assert server.close_info.remote == (3000, "done"), str(server.close_info)
                assert client.close_info.clean, str(client.close_info)

        run_async(talk())

    def test_the_order_of_messages_is_kept(self) -> None:
        """Many messages sent at once arrive in their order, also through an asynchronous codec,
        and the last one before the close arrives, too."""

        async def talk() -> None:
            from wsext.testing.peers import pair

            async with pair([self.make()]) as (client, server):
                sending = [
                    asyncio.ensure_future(client.send(f"{number} " * (number % 7 + 1)))
                    for number in range(60)
                ]
                await asyncio.gather(*sending)
                await client.send("last")
                closing = asyncio.ensure_future(client.close())
                got: list[Any] = []
                try:
                    while True:
                        got.append(await asyncio.wait_for(server.receive(), 20))
                except ConnectionClosed:
                    pass
                await closing
                expected = [f"{number} " * (number % 7 + 1) for number in range(60)]
                assert got == [*expected, "last"], f"they came as {[str(m)[:3] for m in got]}"

        run_async(talk())

    def test_a_streamed_message_arrives(self) -> None:
        """A message that is sent as a stream of fragments arrives whole."""

        async def talk() -> None:
            from wsext.testing.peers import pair

            async def chunks() -> Any:
                for number in range(20):
                    yield f"piece {number}, "

            async with pair([self.make()]) as (client, server):
                await client.send(chunks())
                got = await asyncio.wait_for(server.receive(), 20)
                assert got == "".join(f"piece {n}, " for n in range(20)), f"{got!r:.60}"

        run_async(talk())

    def test_ends_in_the_middle_leave_nothing_behind(self) -> None:
        """A connection that is dropped in the middle of a message ends the session with 1006, and
        nothing is logged as an error."""

        async def talk() -> None:
            from wsext.protocol.frames import Frame
            from wsext.testing.peers import pair

            async with pair([self.make()]) as (client, server):
                await client.send_frame(Frame(2, b"the first half", False))
                await server.send("something")
                client.abort()
                info = await server.wait_closed()
                assert info.code == 1006, str(info)

        with logged_errors() as records:
            run_async(talk())
        assert not records, f"the log has: {records[0]}"
