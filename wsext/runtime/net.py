"""Sockets: the event loop's own transports, or aiofastnet's where those are slow.

They do the same. asyncio's own loops have transports in Python, and every loop's TLS takes detours:
there aiofastnet's are used when it is installed. Other loops, such as uvloop, have fast transports
for plain connections, which take a fifth of the memory of aiofastnet's. Servers use those. Clients,
of which there are fewer, use aiofastnet's there, too: they take a little less time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import socket
import stat
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, TypeAlias, cast

__all__ = [
    "abort_if_reset",
    "bind",
    "close_in_time",
    "connect_accepted_socket",
    "connect_socket",
    "create_connection",
    "create_unix_connection",
    "descriptor_of",
    "fills_at_once",
    "find_connector",
    "half_close",
    "page_of",
    "receive_descriptors",
    "url_of",
]


#: The errors of a system on which an IP version is turned off.
_NO_SUCH_FAMILY = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)

#: Bytes of TLS records that a connection of aiofastnet has room for, each way: 5 records, as many
#: as a message of 64 KiB has. Its default is 16, which is half a megabyte for each connection.
_RECORDS = dict.fromkeys(("ssl_incoming_bio_size", "ssl_outgoing_bio_size"), 5 * (16384 + 64))

#: Gives a transport and its protocol.
Connecting: TypeAlias = Coroutine[Any, Any, tuple[Any, Any]]

_fast: Any
try:
    import aiofastnet as _fast
except ImportError:
    _fast = None


def connect_accepted_socket(*arguments: Any, **options: Any) -> Connecting:
    """`loop.connect_accepted_socket`."""
    return _call("connect_accepted_socket", arguments, options)


def find_connector() -> Callable[..., Connecting]:
    """`loop.connect_accepted_socket` for plain connections, looked up once for all of a server."""
    return _find("connect_accepted_socket", secure=False)


def create_connection(*arguments: Any, **options: Any) -> Connecting:
    """`loop.create_connection`."""
    return _call("create_connection", arguments, options)


def create_unix_connection(*arguments: Any, **options: Any) -> Connecting:
    """`loop.create_unix_connection`."""
    return _call("create_unix_connection", arguments, options)


def _call(name: str, arguments: tuple[Any, ...], options: dict[str, Any]) -> Connecting:
    # Coroutines around this one would be resumed with it, once more for each connection.
    secure = options.get("ssl") is not None
    if secure and _fast is not None:
        options.update(_RECORDS)
        loop = asyncio.get_running_loop()
        handler = loop.get_exception_handler()
        if not isinstance(handler, _Quiet):
            loop.set_exception_handler(_Quiet(handler))
    return _find(name, secure)(*arguments, **options)


def _find(name: str, secure: bool) -> Callable[..., Connecting]:
    loop = asyncio.get_running_loop()
    is_lean = name == "connect_accepted_socket" and not isinstance(loop, asyncio.BaseEventLoop)
    if _fast is None or (is_lean and not secure):
        return cast("Callable[..., Connecting]", getattr(loop, name))
    return partial(getattr(_fast, name), loop)


def descriptor_of(transport: Any) -> int:
    """The descriptor of a transport's socket if it may be written to as long as nothing waits in
    the transport: of a plain connection on uvloop, whose transports take longer to write than the
    socket does; otherwise -1."""
    kind = type(transport)
    if kind.__module__ != "uvloop.loop" or kind.__name__ not in ("TCPTransport", "UnixTransport"):
        return -1
    return int(transport.get_extra_info("socket").fileno())


class _Quiet:
    """An event loop's exception handler that says nothing of peers who leave during the TLS
    handshake: aiofastnet 1.2 reports them, as the class `ConnectionResetError`, which no logger can
    print. Everything else goes to the handler that was there before.
    """

    def __init__(self, handler: Callable[[Any, dict[str, Any]], object] | None) -> None:
        self._handler = handler

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        if context.get("exception") is ConnectionResetError:
            return
        if self._handler is None:
            loop.default_exception_handler(context)
        else:
            self._handler(loop, context)


async def connect_socket(host: str, port: int) -> socket.socket:
    """A socket that is connected to the first of a host's addresses that answers.

    Raises:
        OSError: If none does: what the last one said.
    """
    loop = asyncio.get_running_loop()
    failure = OSError(f"{host} has no address")
    for family, kind, proto, _, place in await loop.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, proto)
        try:
            sock.setblocking(False)
            await loop.sock_connect(sock, place)
        except OSError as error:
            sock.close()
            failure = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    raise failure


def bind(
    host: str | Sequence[str] | None,
    port: int,
    uds: str | None,
    backlog: int,
    reuse_port: bool = False,
) -> list[socket.socket]:
    """Listening sockets of an address: one for each of its IPs. They do not block.

    Raises:
        OSError: If it cannot be listened on.
    """
    if uds is not None:
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISSOCK(os.stat(uds).st_mode):
                os.remove(uds)
        return [_listen(socket.AF_UNIX, uds, backlog)]
    hosts = [host] if host is None or isinstance(host, str) else host
    found = dict.fromkeys(
        (item[0], item[4])
        for name in hosts
        for item in socket.getaddrinfo(
            name or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    )
    sockets: list[socket.socket] = []
    problem: OSError | None = None
    for family, place in found:
        if sockets and port == 0:  # any free port, but the same one on every IP
            place = (place[0], sockets[0].getsockname()[1], *place[2:])
        try:
            sockets.append(_listen(family, place, backlog, reuse_port))
        except OSError as error:
            problem = error
            if error.errno not in _NO_SUCH_FAMILY:
                break
    else:
        if sockets:
            return sockets
    for sock in sockets:
        sock.close()
    assert problem is not None  # a name has at least one address
    raise problem


def _listen(family: int, place: Any, backlog: int, reuse_port: bool = False) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        if family != socket.AF_UNIX and os.name == "posix":  # Windows would share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(place)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def url_of(sock: Any, secure: bool) -> str:
    """The address of a listening socket for clients: ``ws://host:port``, or ``ws+unix:path``."""
    name = sock.getsockname()
    if sock.family == socket.AF_UNIX:
        return f"ws+unix:{name}"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name[0], name[0])
    scheme = "wss" if secure else "ws"
    return f"{scheme}://[{host}]:{name[1]}" if ":" in host else f"{scheme}://{host}:{name[1]}"


def page_of(url: str) -> str:
    """The address for browsers of a server with this URL; a Unix socket has no other one."""
    return url if url.startswith("ws+unix:") else url.replace("ws", "http", 1) + "/"


#: The event loops that fill buffers in the background; there are such on Windows only.
_PROACTORS = getattr(asyncio, "ProactorEventLoop", ())


def fills_at_once(loop: asyncio.AbstractEventLoop) -> bool:
    """Whether a loop fills the buffer of a protocol right before it says so. Then many protocols
    may share one. The loop of Windows fills buffers while others are running."""
    return not isinstance(loop, _PROACTORS)


def half_close(transport: asyncio.WriteTransport) -> None:
    """Write no more, and go on reading.

    If the peer has reset the connection, the system knows it and the event loop does not yet:
    nothing is raised, and the loop tells so in its next turn.
    """
    with contextlib.suppress(OSError):
        transport.write_eof()


def close_in_time(transport: Any) -> None:
    """Close a transport once what is written has left. Who calls it has to drop the transport if
    that takes too long.

    aiofastnet 1.2 sets a timer of its own for TLS, and lets it run if the transport is gone before:
    for half a minute it keeps the transport, with its buffers. That timer is stopped here.
    """
    transport.close()
    kind = type(transport)
    if kind.__name__.startswith("SSL") and kind.__module__.startswith("aiofastnet."):
        for each in gc.get_referents(transport):
            if type(each).__name__ == "TimerHandle":
                each.cancel()


def abort_if_reset(transport: Any) -> None:
    """Drop a connection if the system knows that the peer has reset it."""
    sock = transport.get_extra_info("socket")
    if sock is not None and sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        transport.abort()


def receive_descriptors(channel: socket.socket, size: int = 1) -> tuple[bytes, list[int]]:
    """Some bytes from a socket between processes, and the descriptors that came with them: at most
    two.

    A program that the application starts inherits none of them: as long as it ran, it would keep a
    client's connection open.
    """
    word, descriptors, _, _ = socket.recv_fds(channel, size, 2)
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    return word, descriptors
