"""Sessions that block: what is sent and received, from any number of threads."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

import wsext
from tests.sync.served import interrupted
from wsext import ConnectionClosedError, ConnectionClosedOK, Frame, Session
from wsext.sync import BlockingSession, connect

#: What only code in the event loop can use.
ASYNCHRONOUS = {"create_task", "hold_reading", "incoming", "outgoing"}

#: What only a server's sessions need.
OF_SERVERS = {"expires", "format", "path_params", "renew", "role"}


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_it_has_all_of_a_session_that_makes_sense() -> None:
    assert public(Session) - public(BlockingSession) == ASYNCHRONOUS | OF_SERVERS


def test_what_is_sent_comes_back(session: BlockingSession) -> None:
    for data in ("text " * 100, b"bytes" * 100):
        session.send(data)
        assert session.receive(timeout=10) == data
    session.send_nowait("now")
    session.flush(timeout=10)
    assert session.receive_frame().payload == b"now"
    session.send(wsext.PreparedMessage("prepared"))
    assert session.receive_message().data == "prepared"
    session.send_frame(Frame(1, b"frame"))
    assert session.receive() == "frame"


class Point(msgspec.Struct):
    x: int


def test_values(session: BlockingSession) -> None:
    session.send_json(Point(1))
    assert session.receive_json(Point) == Point(1)
    session.send_msgpack({"x": 2}, timeout=10)
    assert session.receive_msgpack(Point, timeout=10) == Point(2)
    session.send("{")
    with pytest.raises(wsext.RemoteProtocolError, match="JSON"):
        session.receive_json()


def test_pieces_of_a_message(url: str) -> None:
    with connect(f"{url}/parts") as session:
        session.send("abc")
        assert "".join(map(str, session.receive_stream(timeout=10))) == "abc"
        session.send("def")
        for piece in session.receive_stream():
            got = str(piece)  # how much that is depends on what has come by now
            break
        session.send("!")
        while not got.endswith("!"):
            got += str(session.receive(timeout=10))
        assert got == "def!"
        with pytest.raises(TimeoutError):
            next(session.receive_stream(timeout=0.01))


def test_what_is_known_of_a_session(session: BlockingSession) -> None:
    assert session.ping(timeout=10) == session.latency
    assert session.subprotocol == "echo.v1"
    assert session.extension(session.extensions[0].name) == session.extensions[0]
    assert session.extension("nothing", default=None) is None
    with pytest.raises(LookupError, match="nothing"):
        session.extension("nothing")
    assert session.request.path == "/echo"
    assert (session.is_open, session.connected, session.resumptions) == (True, True, 0)
    assert session.response_headers["Sec-WebSocket-Protocol"] == "echo.v1"
    session.name = "Ada"
    session.state["since"] = 1
    assert (session.name, session.state) == ("Ada", {"since": 1})
    session.send("x" * 100)
    session.receive()
    assert session.stats.app_bytes_in == 100 > session.stats.wire_bytes_in
    assert repr(session).startswith("<BlockingSession ")


def test_every_frame_can_be_watched(session: BlockingSession) -> None:
    seen: list[tuple[str, str]] = []
    end = session.trace(lambda direction, stage, frame: seen.append((direction, stage)))
    session.send("hello")
    session.receive()
    end()
    session.send("hello")
    session.receive()
    name = session.extensions[0].name
    stages = ["app", name, "wire"]
    out, into = [("out", stage) for stage in stages], [("in", stage) for stage in stages]
    assert sorted(seen) == sorted(out + into)


def test_a_timeout_takes_no_message(session: BlockingSession) -> None:
    for timeout in (0, 0.01):
        with pytest.raises(TimeoutError, match=f"longer than {timeout:g} s"):
            session.receive(timeout=timeout)
    session.send("hello")
    assert session.receive() == "hello"


def test_a_peer_that_does_not_read(url: str) -> None:
    with connect(f"{url}/deaf", options=wsext.WebSocketOptions(close_timeout=0.1)) as session:
        with pytest.raises(TimeoutError):
            send_for_ever(session)
        assert session.buffered_amount
        session.abort()
        assert session.wait_closed().code == 1006


def send_for_ever(session: BlockingSession) -> None:
    while True:
        session.send(bytes(1 << 20), timeout=0.05)


@pytest.mark.parametrize("many", [0, 3])
def test_iterating_ends_as_the_session_does(url: str, many: int) -> None:
    with connect(f"{url}/count/{many}") as session:
        if many:
            assert list(session) == ["0", "1", "2"]
        else:
            with pytest.raises(ConnectionClosedError, match="1011"):
                next(session)


def test_an_ended_session_says_so(session: BlockingSession) -> None:
    session.send("last")
    session.flush()
    session.close_nowait()
    session.close(1001)  # does nothing more
    assert session.close_info.local == (1000, "")
    calls: list[Any] = [session.send, session.send_json, session.send_nowait, session.ping]
    for call in calls:
        with pytest.raises(ConnectionClosedOK, match="sent 1000"):
            call(b"more")
    assert list(session) in ([], ["last"])  # what had come before


def test_many_threads_use_one(session: BlockingSession) -> None:
    def talk(who: int) -> list[Any]:
        got = []
        for number in range(20):
            session.send(f"{who} {number}")
            got.append(session.receive())
        return got

    with ThreadPoolExecutor(4) as pool:
        got = [message for part in pool.map(talk, range(4)) for message in part]
    assert sorted(got) == sorted(f"{who} {number}" for who in range(4) for number in range(20))


def test_closing_wakes_the_threads_that_wait(session: BlockingSession) -> None:
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(session.receive), pool.submit(session.wait_closed)]
        session.ping()  # after they have begun, or they find it closed
        session.close()
        with pytest.raises(ConnectionClosedOK):
            waiting[0].result()
        assert waiting[1].result().ok


def test_ctrl_c_takes_no_message(session: BlockingSession) -> None:
    with pytest.raises(KeyboardInterrupt), interrupted():
        session.receive()
    session.send("hello")
    assert session.receive() == "hello"
