"""Several processes on one port: dying, reloading and ending while clients are at work."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme

import wsext
from tests.e2e.processes import Served, serving
from tests.e2e.processes import wsext as run_wsext
from tests.raw import raw_peer
from tests.waiting import until

pytestmark = pytest.mark.skipif(
    not hasattr(signal, "SIGHUP"), reason="workers need processes that inherit sockets"
)

APP = """
import os
from wsext import App

app = App()

@app.websocket("/")
async def say(session):
    await session.send(f"VERSION {os.getpid()}")
    async for message in session:
        await session.send(message)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_app(tmp_path, "1")
    return tmp_path


def write_app(folder: Path, version: str) -> None:
    """An app of some version; complete at every moment, for it may be imported at any.

    Each version has a size of its own: Python tells old bytecode apart by that and whole seconds.
    """
    (folder / "new").write_text(APP.replace("VERSION", version) + "#" * int(version))
    (folder / "new").rename(folder / "demo.py")


async def first_words(url: str, **options: object) -> list[str]:
    """What the app says first: its version and the worker's process id."""
    async with wsext.connect(url, **options) as session:  # type: ignore[arg-type]
        return str(await session.receive()).split()


@asynccontextmanager
async def one_of_each(url: str, count: int) -> AsyncIterator[dict[int, wsext.Session]]:
    """Sessions with ``count`` different workers, by process id."""
    found: dict[int, wsext.Session] = {}
    try:
        while len(found) < count:
            session = await wsext.connect(url)
            pid = int(str(await session.receive()).split()[1])
            if pid in found:
                await session.close()
            else:
                found[pid] = session
        yield found
    finally:
        await asyncio.gather(*(session.close() for session in found.values()))


async def refusal(url: str) -> wsext.InvalidStatus:
    """Connect until the server refuses to."""
    while True:
        try:
            await (await wsext.connect(url)).close()
        except wsext.InvalidStatus as error:
            return error


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


async def test_a_killed_worker_is_replaced_and_nobody_else_notices(folder: Path) -> None:
    with serving("demo:app", "--workers", "2", cwd=folder) as served:
        async with one_of_each(served.ws, 2) as sessions:
            victim, survivor = sessions
            seen: list[int] = []

            async def client() -> None:
                async for session in wsext.connect(served.ws):
                    async for message in session:
                        seen.append(int(str(message).split()[1]))

            async def chat() -> None:
                for number in range(100):
                    await sessions[survivor].send(str(number))
                    assert await sessions[survivor].receive() == str(number)

            clients = [asyncio.create_task(client()) for _ in range(8)]
            await until(lambda: victim in seen and len(seen) >= 8)
            chatting = asyncio.create_task(chat())
            os.kill(victim, signal.SIGKILL)
            assert (await sessions[victim].wait_closed()).code == 1006
            await chatting
            affected = seen[:8].count(victim)
            await until(lambda: len(seen) >= 8 + affected)  # all of them are back
            assert victim not in seen[8:]
            while len(set(seen)) < 3:  # and the new worker takes its part
                seen.append(int((await first_words(served.ws))[1]))
            for task in clients:
                task.cancel()


async def test_a_reload_under_connecting_clients_refuses_none(folder: Path) -> None:
    with serving("demo:app", "--workers", "2", cwd=folder) as served:
        versions: list[str] = []
        codes: set[int] = set()
        done = False

        async def client() -> None:
            while not done:
                async with wsext.connect(served.ws, open_timeout=20) as session:
                    try:
                        versions.append(str(await session.receive()).split()[0])
                        await session.send("x")
                        assert await session.receive() == "x"
                    except wsext.ConnectionClosed as error:
                        codes.add(error.info.code)

        clients = [asyncio.create_task(client()) for _ in range(200)]
        async with one_of_each(served.ws, 2) as idle:
            await until(lambda: len(versions) > 200)
            write_app(folder, "2")
            served.process.send_signal(signal.SIGHUP)
            for session in idle.values():
                info = await session.wait_closed()
                assert info.remote == (1012, "server is restarting")
        after = len(versions)
        await until(lambda: len(versions) > after + 200)
        done = True
        await asyncio.gather(*clients)  # a refused connection or handshake would have raised
        assert set(versions[-100:]) == {"2"}
        assert codes <= {1012}


async def test_new_code_that_does_not_start_leaves_the_old_workers_alone(folder: Path) -> None:
    with serving("demo:app", "--workers", "1", cwd=folder, stderr=subprocess.PIPE) as served:
        async with wsext.connect(served.ws) as session:
            await session.receive()
            (folder / "demo.py").write_text("app = 1 / 0\n")
            (folder / "wsext.toml").write_text("[server]\nbacklog = 7\n")
            served.process.send_signal(signal.SIGHUP)
            assert served.process.stderr is not None
            lines = []
            for line in served.process.stderr:
                lines.append(line)
                if "the old ones go on" in line:
                    break
            assert "cannot change server.backlog from 1024 to 7 (source: wsext.toml, line 2)" in (
                "".join(lines)
            )
            await session.send("on")
            assert await session.receive() == "on"
            assert (await first_words(served.ws))[0] == "1"


CHAT = """
from wsext import App, Listener, QueueFull, ConnectionClosed

app = App()
members = set()
accepted = []

def tell(text):
    accepted.append(text)
    for member in members:
        try:
            member.send_nowait(text)
        except ConnectionClosed:
            pass

@app.websocket("/coroutine")
async def chat(session):
    members.add(session)
    try:
        async for message in session:
            tell(message)
    finally:
        members.discard(session)

@app.websocket("/listener")
class Chat(Listener):
    def on_open(self, session):
        members.add(session)
    def on_message(self, session, message):
        tell(message)
    def on_close(self, session, info):
        members.discard(session)

@app.lifespan
async def write(app):
    yield
    with open("accepted", "w") as file:
        file.write("\\n".join(accepted))
"""


@pytest.mark.parametrize("kind", ["coroutine", "listener"])
@pytest.mark.parametrize("workers", [(), ("--workers", "1")], ids=["alone", "worker"])
async def test_what_was_accepted_before_sigterm_reaches_everyone(
    workers: tuple[str, ...], kind: str, tmp_path: Path
) -> None:
    (tmp_path / "chat.py").write_text(CHAT)
    got: list[list[str]] = [[] for _ in range(20)]
    room = (
        "--set",
        "websocket.outgoing_overflow=suspend",
        "--set",
        "websocket.outgoing_bytes=99999999",
    )
    with serving("chat:app", *workers, *room, cwd=tmp_path) as served:
        sessions = [await wsext.connect(f"{served.ws}/{kind}") for _ in got]

        async def send(number: int) -> None:
            count = 0
            try:
                while True:
                    count += 1
                    await sessions[number].send(f"{number} {count} {'x' * 200}")
                    await asyncio.sleep(0)
            except wsext.ConnectionClosed:
                pass

        async def read(number: int) -> int:
            try:
                while True:
                    got[number].append(str(await sessions[number].receive()))
            except wsext.ConnectionClosed as error:
                return error.info.code

        reading = [asyncio.create_task(read(number)) for number in range(20)]
        sending = [asyncio.create_task(send(number)) for number in range(20)]
        await until(lambda: len(got[0]) > 1000)
        served.process.send_signal(signal.SIGTERM)
        assert await asyncio.gather(*reading) == [1001] * 20
        await asyncio.gather(*sending)
        assert await asyncio.to_thread(served.process.wait, 10) == 0
    accepted = (tmp_path / "accepted").read_text().split("\n")
    assert len(accepted) > 1000
    for messages in got:
        assert messages == accepted


async def test_workers_on_a_unix_socket_with_tls_and_an_inherited_one(folder: Path) -> None:
    path = folder / "socket"
    with serving("demo:app", "--workers", "2", "--uds", str(path), cwd=folder):
        async with one_of_each(f"ws+unix:{path}:/", 2):
            pass
    assert not path.exists()

    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(folder / "pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    with socket.create_server(("127.0.0.1", 0)) as sock:
        number = str(sock.fileno())
        options = ("--workers", "1", "--fd", number, "--ssl-cert", str(folder / "pem"))
        with serving("demo:app", *options, cwd=folder, pass_fds=(sock.fileno(),)):
            url = f"wss://localhost:{sock.getsockname()[1]}/"
            assert (await first_words(url, ssl=context))[0] == "1"


async def test_workers_end_when_their_supervisor_is_killed(folder: Path) -> None:
    with serving("demo:app", "--workers", "2", cwd=folder, ends_with=-9) as served:
        async with one_of_each(served.ws, 2) as sessions:
            served.process.kill()
            for session in sessions.values():
                assert (await session.wait_closed()).code == 1001
            for pid in sessions:
                await until(lambda pid=pid: not is_alive(pid))  # type: ignore[misc]


async def test_changed_files_reload(folder: Path) -> None:
    with serving("demo:app", "--reload", cwd=folder) as served:
        assert (await first_words(served.ws))[0] == "1"
        write_app(folder, "2")

        async def reloaded() -> bool:
            return (await first_words(served.ws))[0] == "2"

        await until(reloaded, every=0.05)


def test_an_app_that_cannot_start_is_one_line_and_an_exit_code(folder: Path) -> None:
    done = run_wsext("serve", "demo:ap", "--port", "0", "--workers", "3", cwd=folder)
    assert done.returncode == 2
    assert done.stderr == (
        "wsext: serve: app: demo has no 'ap'; its apps: app (did you mean 'app'?)"
        " (source: command line, MODULE:APP)\n"
    )
    done = run_wsext("serve", "--workers", "0")
    assert "serve: workers: expected a whole number, >= 1" in done.stderr
    done = run_wsext("serve", "--fd", "0")
    assert done.stderr == (
        "wsext: serve: fd: 0 is not an inherited listening socket (source: command line, --fd)\n"
    )
    done = run_wsext("serve", "--worker", "me")
    assert done.returncode == 2


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    (tmp_path / "stuck.py").write_text(
        "import asyncio\nfrom wsext import App\napp = App()\n"
        "@app.websocket('/')\nasync def stuck(session):\n"
        "    await session.send('in')\n    await session.wait_closed()\n"
    )

    async def hold(served: Served) -> None:
        async with raw_peer(served.port) as peer:
            await peer.shake()
            assert await peer.frame()  # the handler runs, and the Close frame is never answered
            served.process.send_signal(signal.SIGTERM)
            refused = await refusal(served.ws)
            assert (refused.status, refused.headers["Retry-After"]) == (503, "5")
            assert refused.headers["Connection"] == "close"
            served.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(served.process.wait, 8) == 0  # not the 10 s of a drain

    with serving("stuck:app", "--workers", "2", cwd=tmp_path) as served:
        asyncio.run(hold(served))


LIFE = """
import os
from pathlib import Path
from wsext import App

app = App()

@app.lifespan
async def noted(app):
    with Path("notes").open("a") as notes:
        print("+", os.getpid(), file=notes)
    if Path("broken").exists():
        raise ConnectionError("no database")
    yield
    with Path("notes").open("a") as notes:
        print("-", os.getpid(), file=notes)
"""


async def test_each_worker_runs_the_lifespans_once(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(LIFE)
    notes = tmp_path / "notes"
    with serving("demo:app", "--workers", "1", cwd=tmp_path) as served:
        os.kill(served.process.pid, signal.SIGHUP)
        await until(lambda: notes.read_text().count("\n") == 3)
    (_, first), (_, second), *ended = (line.split() for line in notes.read_text().splitlines())
    assert first != second
    assert ended == [["-", first], ["-", second]]


def test_what_cannot_start_is_said_once_and_ends_with_1(tmp_path: Path) -> None:
    (tmp_path / "demo.py").write_text(LIFE)
    (tmp_path / "broken").touch()
    for how in ((), ("--workers", "2")):
        done = run_wsext("serve", "demo:app", "--port", "0", *how, cwd=tmp_path)
        assert (done.returncode, done.stdout) == (1, "")
        assert "lifespan demo.noted failed to start: ConnectionError('no database')" in done.stderr
        assert done.stderr.count("Traceback") == 1
    assert (tmp_path / "notes").read_text().count("+") == 2  # the second worker is not even begun
