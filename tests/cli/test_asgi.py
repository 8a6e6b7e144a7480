"""``wsext serve`` with an ASGI app: it is run by uvicorn, or it is said what to do."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import wsext
from tests.e2e.processes import ENV, serving
from tests.raw import fetch
from wsext import OptionError
from wsext.cli.asgi import serve_asgi
from wsext.cli.loading import ASGIApplication, load_app
from wsext.cli.serve import serve
from wsext.config.sections import ServeOptions

APP = """
from pathlib import Path

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        Path("notes").write_text("started")
        await send({"type": "lifespan.startup.complete"})
        await receive()
        Path("notes").write_text("ended")
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a page"})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})

class Framework:
    async def __call__(self, scope, receive, send):
        await app(scope, receive, send)

def make():
    return Framework()
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "asgi_demo.py").write_text(APP)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "asgi_demo", raising=False)
    return tmp_path


async def test_uvicorn_answers_http_and_sessions_are_ours(folder: Path) -> None:
    size = ("--set", "websocket.max_message_size=10")
    env = {**ENV, "NOTIFY_SOCKET": str(folder / "notify")}
    systemd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    systemd.bind(env["NOTIFY_SOCKET"])
    with systemd, serving("asgi_demo:app", *size, cwd=folder, env=env) as served:  # ends with 0
        _, _, page = await fetch(served.port, b"GET / HTTP/1.0\r\n\r\n")
        assert b"a page" in page
        endless = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 4000  # 16 KiB may come
        assert (await fetch(served.port, endless))[0] == 400
        offer = ["permessage-deflate"]
        async with wsext.connect(served.ws, extensions=offer) as session:
            assert session.extension("permessage-deflate")
            await session.send("hi")
            assert await session.receive() == "hi"
        async with wsext.connect(served.ws) as session:
            await session.send("more than ten bytes")
            assert (await session.wait_closed()).code == 1009
        assert (folder / "notes").read_text() == "started"
        assert systemd.recv(100) == b"READY=1"
        served.process.terminate()
        assert systemd.recv(100) == b"STOPPING=1"
    assert (folder / "notes").read_text() == "ended"


@pytest.mark.parametrize("name", ["app", "Framework", "make"])
def test_asgi_apps_are_told_from_functions_that_make_one(name: str, folder: Path) -> None:
    loaded = load_app(f"asgi_demo:{name}", str(folder))
    assert isinstance(loaded, ASGIApplication)
    assert loaded.name == f"asgi_demo:{name}"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (["--inspect"], "serve: inspect: asgi_demo:app is an ASGI app: it needs an App of wsext"),
        (["--health"], "serve: health: asgi_demo:app is an ASGI app: it needs an App of wsext"),
    ],
)
def test_what_is_for_apps_of_wsext_only_is_refused(
    folder: Path, how: list[str], words: str
) -> None:
    done = CliRunner().invoke(serve, ["asgi_demo:app", "--app-dir", str(folder), *how])
    assert isinstance(done.exception, OptionError)
    assert words in str(done.exception)


@pytest.mark.parametrize("option", [{"workers": 2}, {"reload": True}])
def test_what_uvicorns_own_command_does_is_told(folder: Path, option: dict[str, int]) -> None:
    loaded = load_app("asgi_demo:app", str(folder))
    (name,) = option
    assert isinstance(loaded, ASGIApplication)
    with pytest.raises(OptionError) as caught:
        serve_asgi(loaded, ServeOptions(**option), (), None)
    flag = "--workers 2" if name == "workers" else "--reload"
    command = f"uvicorn {flag} --ws wsext.integrations.uvicorn:Protocol asgi_demo:app"
    assert str(caught.value).endswith(f"{name}: asgi_demo:app is an ASGI app: run {command}")


def test_without_uvicorn_it_is_said_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    loaded = load_app("asgi_demo:app", str(folder))
    assert isinstance(loaded, ASGIApplication)
    with pytest.raises(OptionError, match=r"which uvicorn serves: pip install 'wsext\[uvicorn\]'"):
        serve_asgi(loaded, ServeOptions(), (), None)
