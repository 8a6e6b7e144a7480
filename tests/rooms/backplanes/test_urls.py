"""Which backplane a URL names, and what is said about a wrong one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import wsext
from tests.e2e.processes import wsext as command
from tests.rooms.test_room import Place
from wsext import App, Backplane, OptionError, RemoteBackplane, ServerOptions, hookimpl
from wsext.rooms.backplanes.memory import MemoryBackplane


def test_the_scheme_chooses() -> None:
    assert isinstance(App().hub.backplane, MemoryBackplane)
    for url in ("redis://localhost", "rediss://localhost", "nats://localhost"):
        plane = App(backplane=url).hub.backplane
        assert isinstance(plane, RemoteBackplane)
        assert not plane.status.connected
    own = MemoryBackplane()
    assert App(backplane=own).hub.backplane is own
    operators = App(backplane=own)
    operators.server_options = ServerOptions(backplane="redis://localhost")
    assert operators.hub.backplane is not own


@pytest.mark.parametrize(
    ("url", "problem"),
    [
        ("reddis://x", "server: backplane: no backplane for 'reddis'; known: .*mean 'redis'"),
        ("redis://x?retian=5", "redis://: retian: no such option; .*did you mean 'retain'"),
        ("redis://x?retain=0", "redis://: retain: "),
        ("nats://x?storage=tape", "nats://: storage: "),
        ("memory://?rooms=none", "memory://: rooms: "),
        ("redis://user:secret@x:port", "server: backplane: redis://x:port cannot be used"),
    ],
)
def test_a_wrong_url_is_named_before_anything_is_served(url: str, problem: str) -> None:
    with pytest.raises(OptionError, match=problem) as caught:
        App(backplane=url).prepare()
    assert "secret" not in str(caught.value)


def test_the_status_has_no_password() -> None:
    app = App(backplane="redis://user:secret@localhost:1/2?retain=5")
    assert app.hub.status.url == "redis://localhost:1/2"


def test_the_command_line_and_the_file_name_one(tmp_path: Path) -> None:
    done = command("serve", "--backplane", "carrier-pigeon://x", cwd=tmp_path)
    assert done.returncode == 2
    assert "no backplane for 'carrier-pigeon'" in done.stderr
    (tmp_path / "wsext.toml").write_text('[server]\nbackplane = "nats://x?prefix=a.b"\n')
    done = command("serve", cwd=tmp_path)
    assert done.returncode == 2
    assert "nats://: prefix" in done.stderr


async def test_plugins_bring_schemes() -> None:
    class Counting(MemoryBackplane):
        def publish(self, room: str, payload: bytes, *, kept: bool = True) -> None:
            published.append((room, kept))
            super().publish(room, payload, kept=kept)

    class Plugin:
        @hookimpl
        def wsext_backplanes(self) -> dict[str, Any]:
            return {"counting": lambda url: Counting()}

    published: list[tuple[str, bool]] = []
    place = Place()
    place.app.install(Plugin())
    place.app.server_options = ServerOptions(backplane="counting://")
    async with place.client() as (session, members):
        await members.broadcast("hello")
        assert await session.receive() == "hello"
        assert isinstance(place.app.hub.backplane, Backplane)
    assert ("tea", True) in published


def test_clients_of_brokers_are_imported_when_they_are_needed() -> None:
    code = "import sys, wsext; wsext.App().prepare(); print({'redis', 'nats'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
    assert wsext.RemoteBackplane.__doc__
