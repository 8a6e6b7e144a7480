"""How sessions that block are opened and left: in threads, loops and forks, at a program's end."""

from __future__ import annotations

import asyncio
import gc
import inspect
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from typing import Any

import pytest

import wsext
from tests.relay import relaying
from tests.sync.served import EXTENSIONS, ends, interrupted, serving
from wsext import Backoff, CloseInfo, ConnectionClosedOK, InvalidStatus, Listener
from wsext.sync import connect

SOON = Backoff(initial=0.001, maximum=0.01)


def loops() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "wsext"]


def ended() -> CloseInfo:
    """How the server's next session has ended."""
    return ends.get(timeout=10)


@pytest.fixture(autouse=True)
def _no_loop_is_left() -> Iterator[None]:
    yield
    assert not loops()
    assert ends.empty()


def test_its_arguments_are_those_of_connect(url: str) -> None:
    ours, theirs = inspect.signature(connect), inspect.signature(wsext.connect)
    assert ours.parameters == theirs.parameters
    with pytest.raises(TypeError, match="extension"):
        connect(url, extension=["permessage-deflate"])  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="ws or wss"):
        connect("http://localhost")


def test_a_block_opens_and_closes(url: str) -> None:
    with connect(f"{url}/watched"):
        assert len(loops()) == 1
    assert ended().remote == (1000, "")
    with connect(f"{url}/watched") as session:
        session.close(4000, "enough")
    assert ended().remote == (4000, "enough")
    with pytest.raises(LookupError), connect(f"{url}/watched") as session:
        raise LookupError
    assert ended().remote == (1011, "client failed")
    assert isinstance(session.close_info.exception, LookupError)


def test_a_session_stays_open_until_it_is_closed(url: str) -> None:
    first, second = connect(f"{url}/watched").open(), connect(f"{url}/watched").open()
    assert len(loops()) == 1
    first.close()
    assert ended().remote == (1000, "")
    second.send("hello")
    second.close()
    assert ended().remote == (1000, "")
    assert second.receive() == "hello"  # what came before can still be had
    with pytest.raises(ConnectionClosedOK):
        second.receive()


def test_one_that_is_forgotten_is_closed(url: str) -> None:
    session = connect(f"{url}/watched").open()
    (loop,) = loops()
    del session
    gc.collect()
    assert ended().remote == (1001, "")
    loop.join(10)


def test_ctrl_c_leaves_the_block(url: str) -> None:
    with pytest.raises(KeyboardInterrupt), connect(f"{url}/watched") as session, interrupted():
        session.receive()
    assert ended().remote == (1001, "")


def test_a_program_that_exits_leaves_the_block(url: str) -> None:
    with pytest.raises(SystemExit), connect(f"{url}/watched"):
        sys.exit()
    assert ended().remote == (1001, "")


def test_ctrl_c_leaves_the_loop(url: str) -> None:
    def listen() -> None:
        for session in connect(f"{url}/watched"):
            with interrupted():
                session.receive()

    with pytest.raises(KeyboardInterrupt):
        listen()
    assert ended().clean


def test_what_goes_wrong_in_opening(url: str) -> None:
    with pytest.raises(InvalidStatus, match="404"):
        connect(f"{url}/nowhere").open()
    with pytest.raises(InvalidStatus, match="404"), connect(f"{url}/nowhere"):
        pass
    with pytest.raises(InvalidStatus, match="404"):
        next(iter(connect(f"{url}/nowhere")))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent_url = f"ws://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(TimeoutError, match=r"open_timeout \(0\.05 s\)") as raised:
            connect(silent_url, open_timeout=0.05).open()
        assert raised.value.__cause__ is None
    with pytest.raises(ConnectionRefusedError) as refused:
        connect(silent_url).open()
    assert not [entry for entry in refused.traceback if "asyncio" in str(entry.path)]


def test_a_function_of_the_program_that_fails_is_in_the_traceback(url: str) -> None:
    def no_token() -> dict[str, str]:
        raise LookupError("no token")

    with pytest.raises(LookupError) as raised:
        connect(f"{url}/echo", headers=no_token).open()
    assert raised.traceback[-1].name == "no_token"


def test_what_runs_in_the_loop_must_not_wait_for_it(url: str) -> None:
    failures: list[Exception] = []

    class Waits(Listener):
        def on_message(self, session: Any, message: Any) -> None:
            try:
                blocking.ping()
            except RuntimeError as error:
                failures.append(error)

    blocking = connect(f"{url}/echo", listener=Waits).open()
    blocking.send("hello")
    blocking.ping()
    blocking.close()
    assert "would wait for itself" in str(failures[0])


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_one_session_after_another(url: str, extension: str) -> None:
    fresh = []
    for session in connect(f"{url}/watched", extensions=[extension], backoff=SOON):
        assert session.extension(extension)
        fresh.append(session.fresh_start)
        if len(fresh) == 3:
            break
        session.send("hello")
        for message in session:
            assert message == "hello"
            session.abort()
    assert fresh == [False, True, True]
    assert [ended().code for _ in fresh] == [1006, 1006, 1000]


@pytest.mark.parametrize("how", ["block", "loop"])
def test_a_session_outlives_its_connection(how: str) -> None:
    extensions = ["session-resume", "permessage-deflate"]
    with (
        serving() as (portal, server),
        portal.wrap_async_context_manager(relaying(server.port)) as relay,
    ):
        opening = connect(f"{relay.url}watched", extensions=extensions, backoff=SOON)
        sessions = iter(opening)
        with opening if how == "block" else nullcontext(next(sessions)) as session:
            for number in range(3):
                session.send(str(number))
                assert session.receive(timeout=10) == str(number)
                portal.call(relay.cut)
            session.send("last")
            assert session.receive(timeout=10) == "last"
            assert session.resumptions == 3
        del sessions
    assert ended().ok


@pytest.mark.parametrize("extension", EXTENSIONS)
def test_where_an_event_loop_runs_already(url: str, extension: str) -> None:
    """As in a notebook's cell."""

    async def cell() -> str | bytes:
        with connect(f"{url}/echo", extensions=[extension]) as session:
            session.send("hello")
            return session.receive()

    assert asyncio.run(cell()) == "hello"


def test_every_thread_has_its_own(url: str) -> None:
    def talk(who: str) -> list[str | bytes]:
        with connect(f"{url}/echo", extensions=EXTENSIONS) as session:
            session.send(who)
            session.send(who)
            return [session.receive(), session.receive()]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, "abcdefghijkl")) == [[who, who] for who in "abcdefghijkl"]


PROGRAM = """
import os, sys, threading
from wsext import sync

session = sync.connect(sys.argv[1]).open()
busy = threading.Thread(target=lambda: [session.send(str(n)) for n in range(50)])
busy.start()
for _ in range(2):
    pid = os.fork()
    if not pid:
        try:
            session.receive()
        except RuntimeError as error:
            assert "parent" in str(error)
        with sync.connect(sys.argv[1]) as own:
            own.send("child")
            assert own.receive() == "child"
        sys.exit()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
busy.join()
assert [session.receive() for n in range(50)] == [str(n) for n in range(50)]

def listen():
    for each in sync.connect(sys.argv[1]):
        listening.set()
        for _ in each:
            pass

listening = threading.Event()
threading.Thread(target=lambda: [None for _ in session], daemon=True).start()
threading.Thread(target=listen, daemon=True).start()
listening.wait()
"""


def test_a_program_forks_and_ends(url: str) -> None:
    # Python 3.12 warns of every fork with threads; the loop's is left behind.
    flags = ["-W", "error", "-W", "ignore:This process:DeprecationWarning"]
    command = [sys.executable, *flags, "-c", PROGRAM, f"{url}/watched"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    # Those of the two children, and then, in any order, the two that are open at the end.
    assert [ended().code for _ in range(2)] == [1000, 1000]
    assert sorted(ended().code for _ in range(2)) == [1000, 1001]
