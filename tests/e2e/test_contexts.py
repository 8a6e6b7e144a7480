"""A room that is compressed once, with memory, read by other people's clients."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from websockets.asyncio.client import connect as foreign_connect
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

import wsext
from tests import tools
from tests.e2e.browser import browsing
from wsext import App, Membership, Request, Response, Session

MESSAGES, END = 150, "end"
_CHOICE = random.Random(19)
TEXTS = [
    json.dumps({"symbol": _CHOICE.choice(["AA", "BB"]), "price": _CHOICE.random(), "at": at})
    for at in range(MESSAGES)
]
#: Reads everything until the end.
Reader = Callable[[str], Awaitable[list[str]]]


async def with_websockets(url: str, **deflate: Any) -> list[str]:
    factory = ClientPerMessageDeflateFactory(**{"client_max_window_bits": True, **deflate})
    async with foreign_connect(url, compression=None, extensions=[factory]) as client:
        assert client.protocol.extensions
        return [str(message) async for message in client]


async def with_small_windows(url: str) -> list[str]:
    return await with_websockets(url, server_max_window_bits=9)


async def without_context(url: str) -> list[str]:
    return await with_websockets(url, server_no_context_takeover=True)


async def with_aiohttp(url: str) -> list[str]:
    async with aiohttp.ClientSession() as http, http.ws_connect(url, compress=15) as client:
        assert client.compress
        return [message.data async for message in client]


async def with_wsext(url: str) -> list[str]:
    async with wsext.connect(url, extensions=["permessage-deflate"]) as client:
        assert client.extension("permessage-deflate")
        return [str(message) async for message in client]


NODE = """
const { WebSocket } = require(process.argv[2]);
const got = [];
const socket = new WebSocket(process.argv[1]);
socket.on("message", (data) => got.push(String(data)));
socket.on("close", () => console.log(JSON.stringify([socket.extensions, got])));
"""


async def with_ws(url: str) -> list[str]:
    """The ``ws`` package of Node.js."""
    node, package = tools.find("node"), tools.find("ws")
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        node, "-e", NODE, url, package, stdout=pipe, stderr=pipe
    )
    out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    extensions, got = json.loads(out)
    assert "permessage-deflate" in extensions
    return list(got)


#: What a browser runs, with `url` and `done` before it.
SCRIPT = """
const got = [];
const socket = new WebSocket(url);
socket.onmessage = ({data}) => got.push(data);
socket.onclose = () => done([socket.extensions, got]);
"""


class Town:
    """A room of two: one that reads everything, and the client that is looked at."""

    def __init__(self) -> None:
        self.app = App()
        self.app.install("permessage-deflate", backend="zlib")
        self.members: asyncio.Queue[Membership] = asyncio.Queue()

        @self.app.websocket("/")
        async def stay(session: Session) -> None:
            async with self.app.room("town").join(session) as member:
                self.members.put_nowait(member)
                await session.wait_closed()

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        async with (
            wsext.serve(self.app) as server,
            wsext.connect(server.url, extensions=["permessage-deflate"]) as other,
        ):
            reading = asyncio.ensure_future(_read(other))
            await self.members.get()
            yield server.url
        await reading

    async def speak(self) -> list[str]:
        """Speak to the room, and to the client alone; what the client has to get."""
        client = await self.members.get()
        expected = []
        for at, text in enumerate(TEXTS):
            left_out = at % 29 == 28
            hints = {"compress": False} if at % 17 == 16 else None
            await client.room.broadcast(text, exclude=client.me if left_out else (), hints=hints)  # type: ignore[attr-defined]
            if not left_out:
                expected.append(text)
            if at % 10 == 9:
                alone = f"for you {at} " * (1 if at % 20 == 9 else 1000)
                await client.session.send(alone)
                expected.append(alone)
        await client.session.close()
        return expected

    async def check(self, read: Reader) -> None:
        async with self.url() as url, asyncio.timeout(50):  # a browser may have to start
            reading = asyncio.ensure_future(read(url))
            speaking = asyncio.ensure_future(self.speak())
            try:
                assert await reading == await speaking
            finally:
                speaking.cancel()


async def _read(session: Session) -> None:
    async for _ in session:
        pass


@pytest.mark.parametrize(
    "read",
    [with_websockets, with_small_windows, without_context, with_aiohttp, with_wsext, with_ws],
)
async def test_other_peoples_clients_read_it(read: Reader) -> None:
    await Town().check(read)


@pytest.mark.browser
@pytest.mark.slow
async def test_a_browser_reads_it(tmp_path: Path) -> None:
    with browsing(tmp_path) as browser:
        browser.set_script_timeout(20)

        async def read(url: str) -> list[str]:
            await asyncio.to_thread(browser.get, url.replace("ws:", "http:"))  # some page
            script = f"const [url, done] = arguments; {SCRIPT}"
            extensions, got = await asyncio.to_thread(browser.execute_async_script, script, url)
            assert "permessage-deflate" in extensions
            return list(got)

        await Town().check(read)


PAGE = """
const url = `ws://${location.host}/`;
const done = (got) => {
  const back = new WebSocket(url + "got");
  back.onopen = () => back.send(JSON.stringify(got));
};
"""


@pytest.mark.browser
@pytest.mark.slow
async def test_firefox_reads_it(tmp_path: Path) -> None:
    """No driver: its page tells the server what it got."""
    town = Town()
    told: asyncio.Future[tuple[str, list[str]]] = asyncio.get_running_loop().create_future()

    @town.app.http("/page")
    async def page(request: Request) -> Response:
        return Response(body=f"<script>{PAGE}{SCRIPT}</script>", content_type="text/html")

    @town.app.websocket("/got")
    async def got(session: Session) -> None:
        told.set_result(json.loads(await session.receive()))

    async def read(url: str) -> list[str]:
        command = [tools.find("firefox"), "--headless", "--no-remote", "--profile", str(tmp_path)]
        quiet = asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *command, url.replace("ws:", "http:") + "/page", stdout=quiet, stderr=quiet
        )
        try:
            extensions, texts = await told
        finally:
            process.terminate()
            await process.wait()
        assert "permessage-deflate" in extensions
        return texts

    await town.check(read)
