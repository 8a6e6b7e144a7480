"""Sockets to listen on, and the address that a client uses for one."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from wsext.runtime import net


@contextmanager
def bound(*arguments: object) -> Iterator[list[socket.socket]]:
    sockets = net.bind(*arguments)  # type: ignore[arg-type]
    try:
        yield sockets
    finally:
        for sock in sockets:
            sock.close()


def test_a_name_with_several_addresses_gets_one_port_for_all() -> None:
    with bound("", 0, None, 5) as sockets:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert sockets[0].getsockname()[1] > 0
        assert len({sock.family for sock in sockets}) == len(sockets)
        assert not any(sock.getblocking() for sock in sockets)


def test_a_port_that_is_taken_is_an_error_and_leaves_nothing_open() -> None:
    with bound("127.0.0.1", 0, None, 5) as (sock,), pytest.raises(OSError, match="in use"):
        net.bind("127.0.0.1", sock.getsockname()[1], None, 5)


def test_a_unix_socket_takes_the_place_of_one_that_was_left(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    for _ in range(2):
        with bound("", 0, path, 5) as (sock,):
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
            assert net.url_of(sock, False) == f"ws+unix:{path}"


def test_a_file_that_is_no_socket_is_never_removed(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("mine")
    with pytest.raises(OSError, match="in use"):
        net.bind("", 0, str(path), 5)
    assert path.read_text() == "mine"


def test_several_hosts_and_several_processes_on_one_port() -> None:
    with bound(["127.0.0.1", "127.0.0.2"], 0, None, 5, True) as sockets:
        assert [sock.getsockname()[0] for sock in sockets] == ["127.0.0.1", "127.0.0.2"]
        port = sockets[0].getsockname()[1]
        with bound("127.0.0.1", port, None, 5, True) as (other,):
            assert other.getsockname()[1] == port


def test_an_ip_version_that_the_system_lacks_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET6, 1, 6, "", ("2001:db8::1", 0, 0, 0))]  # no address of this machine
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **more: found)
    with pytest.raises(OSError, match=r"assign|support"):
        net.bind("both", 0, None, 5)
    found.append((socket.AF_INET, 1, 6, "", ("127.0.0.1", 0)))  # type: ignore[arg-type]
    with bound("both", 0, None, 5) as (sock,):
        assert sock.family == socket.AF_INET


class Listening:
    """As much of a listening socket as has an address."""

    def __init__(self, *name: object) -> None:
        self.name = name
        self.family = socket.AF_INET6 if len(name) == 4 else socket.AF_INET

    def getsockname(self) -> tuple[object, ...]:
        return self.name


@pytest.mark.parametrize(
    ("name", "secure", "url"),
    [
        (("127.0.0.1", 80), False, "ws://127.0.0.1:80"),
        (("0.0.0.0", 81), False, "ws://127.0.0.1:81"),
        (("::", 82, 0, 0), True, "wss://[::1]:82"),
        (("fe80::1", 83, 0, 0), False, "ws://[fe80::1]:83"),
    ],
)
def test_the_url_is_one_that_a_client_can_use(
    name: tuple[object, ...], secure: bool, url: str
) -> None:
    assert net.url_of(Listening(*name), secure) == url


@pytest.mark.parametrize(
    ("url", "page"),
    [
        ("ws://127.0.0.1:80", "http://127.0.0.1:80/"),
        ("wss://[::1]:82", "https://[::1]:82/"),
        ("ws+unix:/run/ws", "ws+unix:/run/ws"),
    ],
)
def test_a_browser_has_another_url(url: str, page: str) -> None:
    assert net.page_of(url) == page


async def test_bytes_go_through_what_it_makes() -> None:
    class Echo(asyncio.Protocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)

    class Client(asyncio.Protocol):
        def __init__(self) -> None:
            self.got: asyncio.Queue[bytes] = asyncio.Queue()

        def data_received(self, data: bytes) -> None:
            self.got.put_nowait(data)

    with bound("127.0.0.1", 0, None, 5) as (listener,):
        port = listener.getsockname()[1]
        transport, client = await net.create_connection(Client, "127.0.0.1", port)
        accepted, _ = await asyncio.get_running_loop().sock_accept(listener)
        served, _ = await net.connect_accepted_socket(Echo, accepted)
        transport.write(b"hello")
        assert await client.got.get() == b"hello"
        transport.abort()
        served.abort()


async def test_a_socket_is_connected_to_the_first_address_that_answers() -> None:
    with bound("127.0.0.1", 0, None, 5) as (listening,):
        port = listening.getsockname()[1]
        with closing(await net.connect_socket("localhost", port)) as sock:
            assert sock.getpeername() == ("127.0.0.1", port)
            assert not sock.getblocking()
    with pytest.raises(ConnectionRefusedError):
        await net.connect_socket("127.0.0.1", port)


async def test_a_reset_that_the_loop_has_not_told_of_is_no_error_of_a_half_close() -> None:
    lost = asyncio.Event()

    class Watch(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            lost.set()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        peer = socket.create_connection(listener.getsockname())
        ours, _ = listener.accept()
        ours.setblocking(False)
        transport, _ = await net.connect_accepted_socket(Watch, ours)
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # reset at once, and the loop has had no turn since
        net.half_close(transport)
        await lost.wait()


async def test_the_loops_of_this_system_fill_a_buffer_when_they_say_so() -> None:
    assert net.fills_at_once(asyncio.get_running_loop())
