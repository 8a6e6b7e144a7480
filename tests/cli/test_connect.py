"""``wsext connect``: pipes, a terminal, what it says and how it ends."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import ENV, WSEXT, Served, serving, wsext
from tests.relay import Relay, relaying
from wsext import App, Server, ServerOptions, Session, serve, testing
from wsext.cli.connect import Ended, converse
from wsext.cli.dialing import Exit
from wsext.cli.input import Lines


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_a_pipe_in_and_a_pipe_out(server: Served) -> None:
    lines = "".join(f"line {number} of many lines\n" for number in range(50))
    done = wsext("connect", "--count", "50", f"{server.ws}/echo", stdin=lines)
    assert done.returncode == 0
    assert done.stdout == lines
    said = done.stderr.splitlines()
    assert said[0] == f"connected to {server.ws}/echo"
    assert said[1] == "subprotocol: none"
    assert said[2] == "extensions: permessage-deflate; client_max_window_bits=12"
    assert said[3] == "closed: 1000"
    assert said[4].startswith(f"sent: 50 messages, {len(lines) - 50} bytes, ")
    assert "on the wire" in said[5]


def test_a_file_of_the_folder_installs_nothing_unless_it_is_named(
    server: Served, tmp_path: Path
) -> None:
    """Somebody else's folder, from which a client was started: nothing is written for it."""
    target = tmp_path / "frames.jsonl"
    file = tmp_path / "wsext.toml"
    file.write_text(f'[extensions.capture]\npath = "{target}"\n')
    rest = ("-q", "--count", "1", f"{server.ws}/echo")
    how: Any = {"cwd": tmp_path, "env": {**ENV, "WSEXT_PLUGINS": "capture"}, "stdin": "hello\n"}
    assert wsext("connect", *rest, **how).stdout == "hello\n"
    assert not target.exists()
    assert wsext("connect", "--config", str(file), *rest, **how).stdout == "hello\n"
    assert "hello" in target.read_text()


def test_it_leaves_when_the_server_does(server: Served) -> None:
    done = wsext("connect", f"{server.ws}/greet", stdin="Ada\nbye\n")
    assert done.returncode == 0
    assert done.stdout == "Please enter your name\nHi, Ada!\n"
    assert "closed: 1000 Client said BYE" in done.stderr


def test_quiet_binary_and_no_extensions(server: Served) -> None:
    args = ("connect", "-q", "--binary", "--no-ext", "all", "--count", "1", f"{server.ws}/echo")
    done = wsext(*args, stdin="bytes\n")
    assert (done.stdout, done.stderr) == ("bytes\n", "")


def test_after_the_end_of_the_input_it_waits_for_answers(server: Served) -> None:
    done = wsext("connect", "--wait", "0.3", f"{server.ws}/echo", stdin="a\nb\n")
    assert done.stdout == "a\nb\n"


def test_bytes_of_a_pipe_pass_unchanged(server: Served) -> None:
    lines = "escape \x1b[2J\r\n\udcff\udcfe no text\n\n\tlast, without an end"
    done = wsext("connect", "-q", "--count", "4", f"{server.ws}/echo", stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, lines + "\n", "")


def test_text_refuses_what_is_no_text(server: Served) -> None:
    args = ("connect", "-q", "--text", f"{server.ws}/echo")
    done = wsext(*args, stdin="text\n\udcffsecret\n")
    assert done.returncode == 2
    assert done.stderr == (
        "wsext: line 2 of the input is not text: byte 1 is not UTF-8; --binary sends it as it is\n"
    )


def test_lines_of_json_are_messages_of_any_content(server: Served) -> None:
    lines = '{"text":"two\\nlines"}\n{"base64":"/wA="}\n'
    args = ("connect", "-q", "--jsonl", "--count", "2", f"{server.ws}/echo")
    done = wsext(*args, stdin=lines)
    assert (done.returncode, done.stdout, done.stderr) == (0, lines, "")


def test_all_of_stdin_is_one_message(server: Served) -> None:
    args = ("connect", "--one-message", "--count", "1", f"{server.ws}/echo")
    done = wsext(*args, stdin="two\nlines\n")
    assert done.stdout == "two\nlines\n\n"
    assert "sent: 1 message, 10 bytes" in done.stderr


def test_pings_are_sent_and_timed(server: Served) -> None:
    done = wsext("connect", "--ping", "0.02", "--wait", "0.2", f"{server.ws}/echo")
    assert done.returncode == 0
    assert re.search(r"^ping: \d+\.\d\d ms$", done.stderr, re.MULTILINE)


def test_ways_to_read_lines_exclude_each_other() -> None:
    done = wsext("connect", "--text", "--jsonl", "ws://127.0.0.1:1/")
    assert (done.returncode, done.stderr) == (2, "wsext: --text and --jsonl exclude each other\n")


def test_help_has_the_exit_codes_by_cause() -> None:
    said = wsext("connect", "--help").stdout
    codes = re.findall(r"^ +(\d+) {2,}\S", said.partition("Exit codes:")[2], re.MULTILINE)
    assert codes == [str(int(code)) for code in Exit]


def test_a_terminal_has_a_prompt_and_shows_what_comes(server: Served) -> None:
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    command = [*WSEXT, "connect", f"{server.ws}/echo"]
    env = {**ENV, "TERM": "xterm"}
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=env)
    os.close(theirs)
    try:
        seen = read_until(ours, lambda seen: b">" in seen)
        assert b"extensions: permessage-deflate" in seen
        os.write(ours, b"typed\r")
        # What came is shown above a prompt that is drawn again.
        read_until(ours, lambda seen: b">" in seen.partition(b"< typed")[2])
        os.write(ours, b"\x04")  # end of input
        read_until(ours, lambda seen: b"received: 1 message" in seen)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("interactive", [True, False])
async def test_ping_is_a_command_where_somebody_types(interactive: bool) -> None:
    app = App()

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    typed = [b"/ping", b"/ping ada"]
    happened: asyncio.Queue[object] = asyncio.Queue()

    async def read() -> bytes | None:
        if typed:
            return typed.pop(0)
        for _ in range(2):
            await happened.get()
        return None

    said: list[str] = []
    shown: list[str | bytes] = []

    def note(what: list[Any], text: str | bytes) -> None:
        what.append(text)
        happened.put_nowait(text)

    async with testing.connect(app) as session:
        ended = await converse(
            session,
            Lines(read),
            "auto",
            {"count": None, "wait": 0},
            interactive,
            partial(note, shown),
            partial(note, said),
        )
    assert ended is Ended.HERE
    if interactive:
        assert [text.partition(" ")[0] for text in said] == ["ping:", "ping:"]
        assert not shown
    else:
        assert (said, shown) == ([], ["/ping", "/ping ada"])


HOSTILE = """
from wsext import App
app = App()
@app.websocket("/", subprotocols=["v1"])
async def handler(session):
    await session.send("a\\x1b[2J\\x9b\\u202e\\n< b")
    await session.close(3000, "c\\x1b]0;d\\x07\\nclosed: 1000")
"""


def test_a_terminal_gets_what_a_server_says_escaped_and_a_pipe_the_bytes(tmp_path: Path) -> None:
    (tmp_path / "hostile.py").write_text(HOSTILE)
    with serving("hostile:app", cwd=tmp_path) as served:
        ours, theirs = pty.openpty()
        command = [*WSEXT, "connect", "--wait", "5", served.ws]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=theirs, stderr=theirs) as run:
            os.close(theirs)
            seen = read_until(ours, lambda seen: b"received: " in seen)
            assert run.stdin
            run.stdin.close()
        os.close(ours)
        piped = wsext("connect", "--wait", "5", served.ws, stdin="")
    assert not [bad for bad in (b"\x1b", b"\x07", b"\xc2\x9b", "\u202e".encode()) if bad in seen]
    assert b"a\\x1b[2J\\x9b\\u202e\r\n  < b\r\n" in seen
    assert b"closed: 3000 c\\x1b]0;d\\x07\\nclosed: 1000\r\n" in seen
    assert piped.stdout == "a\x1b[2J\x9b\u202e\n< b\n"
    assert "closed: 3000 c\\x1b" in piped.stderr
    assert piped.returncode == Exit.ENDED


class Talk:
    """``wsext connect --resume`` through a relay, whose echo the test writes and reads."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def echo(self, line: str) -> None:
        """Type a line, and wait until it has come back."""
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(f"{line}\n".encode())
        assert (await self.process.stdout.readline()).decode() == f"{line}\n"

    async def hear(self, words: str) -> str:
        """Wait until it says a line that begins with these words; the line."""
        assert self.process.stderr
        while True:
            line = (await self.process.stderr.readline()).decode()
            assert line, f"it has not said {words!r}"
            if line.startswith(words):
                return line

    async def end(self) -> tuple[int | None, list[str]]:
        """Type no more; the exit code, and what else it said."""
        _, said = await self.process.communicate(b"")
        return self.process.returncode, said.decode().splitlines()


@asynccontextmanager
async def talking(option: str = "--resume") -> AsyncIterator[tuple[Talk, Relay, Server]]:
    app = App(server=ServerOptions(drain_timeout=0.0))
    app.install("session-resume")

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with serve(app) as server, relaying(server.port) as relay:
        pipe = asyncio.subprocess.PIPE
        command = [*WSEXT, "connect", option, "--wait", "0", "--no-ext", "all", relay.url]
        process = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, stderr=pipe
        )
        try:
            yield Talk(process), relay, server
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()


async def test_a_lost_connection_is_said_and_the_session_goes_on() -> None:
    async with talking() as (talk, relay, _):
        assert "session-resume; id=…; window=60" in await talk.hear("extensions: ")
        await talk.echo("one")
        relay.cut()
        await talk.hear("connection lost; connecting again")
        await talk.echo("two")
        code, said = await talk.end()
    assert code == 0
    assert said[:2] == ["resumed", "closed: 1000"]
    assert said[2].startswith("sent: 2 messages")


async def test_a_session_that_cannot_be_resumed_is_begun_anew() -> None:
    async with talking() as (talk, _, server):
        await talk.echo("one")
        for session in server.sessions:
            session.abort()
        assert "(unknown)" in await talk.hear("begun anew: ")
        await talk.hear("extensions: ")
        await talk.echo("two")
        code, said = await talk.end()
    assert said[:2] == ["closed: 1000", "not known to have arrived: 1 message"]
    assert code == Exit.UNKNOWN


async def test_a_lost_session_is_followed_by_a_new_one() -> None:
    async with talking("--reconnect") as (talk, relay, _):
        await talk.echo("one")
        relay.cut()
        assert "(1006)" in await talk.hear("connection lost (")
        await talk.hear("extensions: ")
        await talk.echo("two")
        code, said = await talk.end()
    assert (code, said[0]) == (0, "closed: 1000")


async def test_ctrl_c_closes_the_session() -> None:
    async with talking("--quiet") as (talk, _, server):
        await talk.echo("one")
        (session,) = server.sessions
        talk.process.send_signal(signal.SIGINT)
        info = await session.wait_closed()
        code, said = await talk.end()
    assert (info.remote, info.clean) == ((1000, ""), True)
    assert (code, said) == (130, [])


def read_until(fd: int, enough: Callable[[bytes], bool]) -> bytes:
    """What a terminal shows until it is enough; answers where its cursor is."""
    seen = b""
    deadline = time.monotonic() + 15
    while not enough(seen):
        left = deadline - time.monotonic()
        ready, _, _ = select.select([fd], [], [], max(left, 0))
        assert ready, seen
        chunk = os.read(fd, 4096)
        if b"\x1b[6n" in chunk:
            os.write(fd, b"\x1b[1;1R")
        seen += chunk
    return seen
