"""Cases about local interceptors."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from wsext.protocol.frames import Frame
from wsext.sdk import hookspecs
from wsext.testing.cases_base import Cases, logged_errors, skip
from wsext.testing.engines import run_async

__all__ = ["LocalCases"]


class LocalCases(Cases):
    """What a session may rely on when an interceptor is installed."""

    transparent: ClassVar[bool] = True

    def test_its_hooks_are_known(self) -> None:
        """Every method named like a hook is one, and is marked with `hookimpl`."""
        names = [name for name in dir(self.extension) if name.startswith("wsext_")]
        assert names, "it has no hook: nothing will ever call it"
        for name in names:
            assert hasattr(hookspecs, name), f"{name} is no hook of wsext"
            marked = hasattr(getattr(self.extension, name), "wsext_impl")
            assert marked, f"{name} is not marked with @hookimpl, so it is never called"

    def test_messages_arrive_on_both_sides(self) -> None:
        """On a server or on a client, messages, pings and the close pass as without it."""
        if not self.transparent:
            skip("it changes messages (transparent = False)")
        for side in ("client", "server"):
            run_async(self._talk(side))

    async def _talk(self, side: str) -> None:
        from wsext.testing.peers import pair

        ours, theirs = ([self.make()], []) if side == "client" else ([], [self.make()])
        async with pair(theirs, client=ours) as (client, server):
            for payload in self.messages:
                await client.send(payload)
                got = await asyncio.wait_for(server.receive(), 20)
                assert got == payload, f"on the {side}: {payload!r:.40} came as {got!r:.40}"
                await server.send(payload)
                got = await asyncio.wait_for(client.receive(), 20)
                assert got == payload, f"on the {side}: {payload!r:.40} came back as {got!r:.40}"
            await client.ping()
            await client.close(3000, "done")
            assert server.close_info.remote == (3000, "done"), str(server.close_info)

    def test_no_frame_makes_it_raise(self) -> None:
        """No frame that a peer can send makes a hook raise."""

        async def talk() -> None:
            from wsext.testing.peers import pair

            odd: list[Frame] = [
                Frame(1, "ünï\x00\x1b[31m".encode()),
                Frame(2, bytes(range(256))),
                Frame(1, "split é".encode()[:-1], False),
                Frame(9, b"\xff" * 125),
                Frame(0, "é".encode()[1:], True),
                Frame(2, b"", False),
                Frame(0, b""),
                Frame(10, b""),
            ]
            async with pair([self.make()]) as (client, server):
                for frame in odd:
                    await client.send_frame(frame)
                    await server.send_frame(frame)
                await client.ping()
                await client.close()

        with logged_errors() as records:
            run_async(talk())
        assert not records, f"the log has: {records[0]}"

    def test_sessions_do_not_share_state(self) -> None:
        """The instance serves several sessions at the same time."""
        if not self.transparent:
            skip("it changes messages (transparent = False)")

        async def talk() -> None:
            one = self.make()
            from wsext.testing.peers import pair

            async with (
                pair([one]) as (first, first_server),
                pair([one]) as (second, second_server),
            ):
                await first.send("to the first")
                await second.send("to the second")
                assert await second_server.receive() == "to the second"
                assert await first_server.receive() == "to the first"

        run_async(talk())
