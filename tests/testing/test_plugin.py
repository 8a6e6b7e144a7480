"""The pytest plugin, as an author's tests use it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.extensions import Append
from wsext import App, PluginError, Session


async def test_the_fixtures_open_connections_in_memory(
    wsext_app: App, wsext_connect: Any, wsext_pair: Any, wsext_raw_peer: Any
) -> None:
    @wsext_app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext_connect(wsext_app) as client:
        await client.send("hi")
        assert await client.receive() == "hi"
    async with wsext_pair([Append]) as (client, server):
        await client.send("hi")
        assert await server.receive() == "hi"
    async with wsext_raw_peer(wsext_app) as peer:
        peer.send(b"\xff\xff")
        assert await peer.receive_close() == 1002


def test_only_some_plugins_are_found(wsext_plugins: Callable[..., Any]) -> None:
    wsext_plugins(Append)
    app = App()
    assert app.install("x-append", suffix="z").options.suffix == "z"
    with pytest.raises(PluginError):
        app.install("permessage-deflate")


def test_the_environments_plugins_are_back_afterwards() -> None:
    assert App().install("permessage-deflate")


def test_a_failure_shows_what_travelled(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(
        "import asyncio\n"
        "def test_it(wsext_pair):\n"
        "    async def talk():\n"
        "        async with wsext_pair() as (client, server):\n"
        "            await client.send('seen in the report')\n"
        "            assert await server.receive() == 'something else'\n"
        "    asyncio.run(talk())\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "wsext connection 1" in done.stdout
    assert "→ GET / HTTP/1.1" in done.stdout
    assert "'seen in the report'" in done.stdout


def test_the_plugin_imports_next_to_nothing() -> None:
    code = (
        "import sys, wsext.testing.plugin\n"
        "print(sorted(m for m in sys.modules if m.startswith('wsext.') and 'testing' not in m))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['wsext.compiled', 'wsext.version']"
