"""What the commands that connect share: options, errors in one line, input."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import trustme

from tests.e2e.processes import Served, serving, wsext
from wsext import App, Session, serve
from wsext.cli import cli


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        (["{ws}/nothing"], 4, "server answered with HTTP 404: nothing here"),
        (["ws://127.0.0.1:1/"], 1, "ws://127.0.0.1:1/: Connection refused"),
        (["http://127.0.0.1/"], 2, "use ws://host:port/path"),
        (["--require", "x-y", "{ws}/echo"], 2, "'x-y': no such extension is offered here"),
        (["-H", "nonsense", "{ws}/echo"], 2, "NAME:VALUE"),
        (["--header-file", "none", "{ws}/echo"], 2, "--header-file: cannot be read: none: No such"),
        (["--cacert", "none", "{ws}/echo"], 2, "--cacert: cannot be read: none: No such file"),
        (["--key", "none", "{ws}/echo"], 2, "--key: needs --cert, too"),
        (["--ext", "permessage-deflate:level=99", "{ws}/echo"], 2, "level"),
        (["-H", "Host: x", "{ws}/echo"], 2, "itself"),
    ],
)
def test_what_fails_is_one_line(args: list[str], code: int, message: str, server: Served) -> None:
    done = wsext("connect", *(arg.format(ws=server.ws) for arg in args), stdin="")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.returncode == code


def test_a_url_may_leave_its_scheme_out(server: Served) -> None:
    url = f"{server.ws.removeprefix('ws://')}/echo"
    done = wsext("connect", "-q", "--count", "1", url, stdin="hello\n")
    assert (done.returncode, done.stdout) == (0, "hello\n")


def test_no_answer_within_the_timeout_is_said_in_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"ws://127.0.0.1:{silent.getsockname()[1]}/"
        done = wsext("connect", "--timeout", "0.1", url, stdin="")
    assert (done.returncode, done.stderr) == (1, f"wsext: {url}: no answer within 0.1 s\n")


def test_a_password_in_the_url_is_not_shown() -> None:
    done = wsext("connect", "ws://ada:hunter2@127.0.0.1:1/?token=hunter2", stdin="")
    assert done.stderr == "wsext: ws://127.0.0.1:1/: Connection refused\n"
    for url in ("ws://ada:hunter2@", "ws://ada:hunt/er2@h"):
        assert "hunt" not in wsext("connect", url, stdin="").stderr
    done = wsext("connect", "-H", "X-Secret hunter2", "ws://127.0.0.1:1", stdin="")
    assert "hunter2" not in done.stderr


def test_no_message_shows_what_a_url_keeps_secret() -> None:
    url = "wss://ada:hunter2@chat.example/?token=hunter2"
    for args in (
        ("connect", "ws://127.0.0.1:1", url),
        ("serve", url),
        ("serve", "--set", f"server.advertise={url.replace('wss', 'https')}"),
        ("serve", "--set", f"websocket.origins={url}"),
        ("serve", "--backplane", url),
        ("serve", "--port", url),
        ("ext", "show", url),
    ):
        done = wsext(*args)
        assert done.returncode == 2
        assert done.stderr
        assert "hunter2" not in done.stderr + done.stdout, done.stderr


def test_a_file_of_headers_is_sent_and_its_errors_are_not_its_lines(
    server: Served, tmp_path: Path
) -> None:
    (tmp_path / "headers").write_text("# ours\n\nAuthorization: Bearer hunter2\n")
    (tmp_path / "wrong").write_text("X-A: b\nhunter2\n")
    url = f"{server.ws}/echo"
    done = wsext("connect", "-q", "--header-file", "headers", "--wait", "0", url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    done = wsext("connect", "--header-file", "wrong", url, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (
        2,
        "wsext: connect: --header-file: needs NAME:VALUE, with a colon in wrong, line 2\n",
    )


def test_whom_to_trust_and_who_we_are(tmp_path: Path) -> None:
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    ours, theirs = authority.issue_cert("ours.example"), authority.issue_cert("127.0.0.1")
    ours.private_key_and_cert_chain_pem.write_to_path(tmp_path / "ours.pem")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.configure_cert(tls)
    authority.configure_trust(tls)
    tls.verify_mode = ssl.CERT_REQUIRED
    app = App()

    @app.websocket("/")
    async def name(session: Session) -> None:
        shown = session.request.get_extra_info("ssl_object").getpeercert()
        await session.send(shown["subjectAltName"][0][1])

    async def run(*args: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(wsext, "connect", *args, cwd=tmp_path)

    async def talk() -> None:
        async with serve(app, ssl=tls) as server:
            url = f"wss://127.0.0.1:{server.port}/"
            done = await run("-q", "--cacert", "authority.pem", "--cert", "ours.pem", url)
            assert (done.returncode, done.stdout) == (0, "ours.example\n")
            done = await run(url)
            assert done.returncode == 1
            assert "the server is not trusted: " in done.stderr
            assert "--cacert FILE" in done.stderr

    asyncio.run(talk())


def test_what_a_server_refuses_with_cannot_move_the_cursor(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(
        "from wsext import App, HandshakeRejected\n"
        "app = App()\n"
        "async def guard(request):\n"
        "    raise HandshakeRejected(403, 'no\\x1b[2J\\nwsext: yes')\n"
        "@app.websocket('/', guards=[guard])\n"
        "async def handler(session): ...\n"
    )
    with serving("hostile:app", cwd=tmp_path) as served:
        done = wsext("connect", served.ws, stdin="")
    assert "HTTP 403: no\\x1b[2J\\nwsext: yes" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["connect", "inspect"])
def test_the_commands_share_their_options(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = {option for param in command.params for option in param.opts}
    assert {"--ext", "--no-ext", "--require", "--http2", "--timeout", "--max-size"} <= options
