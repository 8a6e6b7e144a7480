"""``wsext serve``: apps, options from everywhere, one-line errors, signals."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest
import trustme

import wsext as package
from tests.e2e.processes import serving, wsext
from wsext import InvalidStatus

APP = """
from wsext import App
app = App()
broken = 5

@app.websocket("/")
async def say(session):
    names = ",".join(item.name for item in session.extensions)
    await session.send(f"{names} {session.options.max_message_size}")

def make():
    return app
"""


async def hello(url: str) -> str:
    async with package.connect(url, extensions=["permessage-deflate"]) as session:
        return str(await session.receive())


def test_an_app_gets_every_installed_extension_and_every_option(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(APP)
    (tmp_path / "wsext.toml").write_text(
        'option_sets = ["low-memory"]\n[websocket]\nmax_message_size = 5000\n'
    )
    with serving("demo:app", cwd=tmp_path) as served:
        assert asyncio.run(hello(served.ws + "/")) == "permessage-deflate 5000"
    args = ("--no-ext", "all", "--set", "websocket.max_message_size=77")
    with serving("demo:make", *args, cwd=tmp_path) as served:
        assert asyncio.run(hello(served.ws + "/")) == " 77"


def test_options_of_an_extension_on_the_command_line() -> None:
    option = "permessage-deflate:server_no_context_takeover,server_max_window_bits=9"
    with serving("--ext", option) as served:

        async def agreed() -> str | None:
            url = f"{served.ws}/echo"
            async with package.connect(url, extensions=["permessage-deflate"]) as session:
                return session.negotiation.header

        assert asyncio.run(agreed()) == (
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; "
            "client_max_window_bits=12"
        )


def test_without_an_extension_the_server_runs_on() -> None:
    with serving("--set", "extensions.permessage-deflate=false") as served:

        async def echo() -> tuple[str | None, str | bytes]:
            url = f"{served.ws}/echo"
            async with package.connect(url, extensions=["permessage-deflate"]) as session:
                await session.send("plain")
                return session.negotiation.header, await session.receive()

        assert asyncio.run(echo()) == (None, "plain")


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--port", "99999"], "serve: port: expected a whole number from 0 to 65535"),
        (["--port", "web"], "serve: port: "),
        (["--set", "websocket.max_mesage_size=1"], "did you mean 'max_message_size'?"),
        (["--set", "websockets.x=1"], "did you mean 'websocket'?"),
        (["--set", "nonsense"], "nonsense: no such section"),
        (["--set", "server.backlog"], "expected section.option=value"),
        (["--ext", "permessage-deflate:level=12"], "permessage-deflate: level: "),
        (["--ext", "permesage-deflate"], "did you mean 'permessage-deflate'?"),
        (["--option-set", "low-memry"], "did you mean 'low-memory'?"),
        (["--config", "missing.toml"], "missing.toml: No such file"),
        (["--ssl-key", "key.pem"], "serve: ssl_key: needs ssl_cert"),
        (["--ssl-cert", "cert.pem"], "serve: ssl_cert: cannot be read"),
        (["nowhere:app"], "no module named 'nowhere'"),
        (["demo"], "expected module:name"),
        (["demo:ap"], "did you mean 'app'?"),
        (["demo:broken"], "demo:broken is a int, not an App"),
    ],
)
def test_what_is_wrong_is_one_line_and_ends_with_2(
    args: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "demo.py").write_text(APP)
    done = wsext("serve", *args, cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.startswith("wsext: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[websocket\n", "wsext.toml: not TOML"),
        ("[sockets]\nx = 1\n", "sockets: no such section"),
        ("websocket = 3\n", "websocket: expected a table"),
        ("option_sets = 3\n", "expected a list of names"),
        ("[server]\nbacklog = 0\n", "server: backlog: "),
        ("[extensions.permessage-deflate]\nlvl = 3\n", "did you mean 'level'?"),
    ],
)
def test_what_is_wrong_in_the_file_is_one_line(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "wsext.toml").write_text(text)
    done = wsext("serve", "--port", "0", cwd=tmp_path)
    assert done.returncode in (1, 2)
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line() -> None:
    with serving() as served:
        port = served.http.rstrip("/").rpartition(":")[2]
        done = wsext("serve", "--port", port)
    assert done.returncode == 1
    assert done.stderr.startswith(f"wsext: cannot listen on 127.0.0.1:{port}: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_with_1001(number: signal.Signals) -> None:
    with serving() as served:

        async def session() -> tuple[int, str] | None:
            async with package.connect(f"{served.ws}/echo") as session:
                await session.send("up")
                await session.receive()
                served.process.send_signal(number)
                return (await session.wait_closed()).remote

        assert asyncio.run(session()) == (1001, "server is shutting down")
        assert served.process.wait(10) == 0


def test_unix_socket_and_tls(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with serving("--uds", str(path)):

        async def local() -> str | bytes:
            async with package.connect(f"ws+unix:{path}:/echo") as session:
                await session.send("hi")
                return await session.receive()

        assert asyncio.run(local()) == "hi"
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(tmp_path / "both.pem")
    with serving("--ssl-cert", str(tmp_path / "both.pem")) as served:
        assert served.http.startswith("https://")
        done = wsext("connect", "--insecure", "--count", "1", f"{served.ws}/echo", stdin="secure\n")
        assert done.stdout == "secure\n"


def test_tls_offers_http2_unless_told_otherwise(tmp_path: Path) -> None:
    both = tmp_path / "both.pem"
    trustme.CA().issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(both)
    (tmp_path / "demo.py").write_text(APP.replace("{names}", "{session.request.http_version}"))
    asked = ("connect", "--insecure", "--count", "1", "--http2")
    with serving("demo:app", "--ssl-cert", str(both), cwd=tmp_path) as served:
        assert wsext(*asked, f"{served.ws}/").stdout.startswith("2 ")
    with serving("demo:app", "--ssl-cert", str(both), "--no-http2", cwd=tmp_path) as served:
        done = wsext(*asked, f"{served.ws}/")
        assert (done.returncode, done.stdout) == (4, "")
        assert wsext(*asked[:-1], f"{served.ws}/").stdout.startswith("1.1 ")


def test_a_path_that_is_not_there() -> None:
    with serving() as served:

        async def nothing() -> int:
            try:
                await package.connect(f"{served.ws}/nothing")
            except InvalidStatus as error:
                return error.status
            return 0

        assert asyncio.run(nothing()) == 404
