"""Which proxy leads to a target, and the way through it."""

from __future__ import annotations

import asyncio
import socket
import urllib.request
from urllib.parse import SplitResult, unquote, urlsplit

from websockets.headers import build_authorization_basic

from wsext.client.settings import ClientLimits
from wsext.client.targets import Target
from wsext.errors import InvalidHandshake
from wsext.escape import safe_url
from wsext.protocol.http import ResponseReader
from wsext.runtime import net

__all__ = ["connect_through", "find_proxy"]

_SCHEMES = ("http", "socks4", "socks4a", "socks5", "socks5h")


def find_proxy(choice: str | bool | None, target: Target) -> str | None:
    """The URL of the proxy to use, or ``None`` for a direct connection.

    Args:
        choice: ``True`` asks the environment, text is the URL itself, ``None`` uses no proxy.
            Where the environment names no scheme, it is ``http``, as for other programs.
        target: Where the connection goes.
    """
    if choice is not True:
        return choice or None
    if urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    found = urllib.request.getproxies()
    kinds = ("wss", "https") if target.secure else ("ws", "http")
    proxy = next((found[kind] for kind in (*kinds, "socks", "all") if found.get(kind)), None)
    return proxy if proxy is None or "://" in proxy else f"http://{proxy}"


async def connect_through(proxy: str, target: Target, limits: ClientLimits) -> socket.socket:
    """A socket to the target through a proxy.

    Raises:
        ConnectionError: If the proxy refuses, or its answer makes no sense.
        OSError: If it cannot be reached, or python-socks is not installed.
        ValueError: If the proxy's URL cannot be used.
    """
    shown = safe_url(proxy)
    try:
        url = urlsplit(proxy)
        is_usable = url.scheme in _SCHEMES and url.hostname and (url.port or url.scheme == "http")
        is_usable = is_usable and ":" not in unquote(url.username or "")
    except ValueError:
        is_usable = False
    if not is_usable or " " in proxy or not proxy.isprintable():
        known = ", ".join(_SCHEMES)
        raise ValueError(
            f"a proxy's URL ({known}) has a host, a port, and nothing that is not in URLs"
        )
    try:
        if url.scheme == "http":
            return await _connect_by_http(url, target, limits)
        return await _connect_by_socks(proxy, target)
    except ImportError:
        raise OSError(
            f"connecting through the proxy {shown} needs the package"
            " python-socks: pip install 'wsext[proxy]', or pass proxy=None"
        ) from None
    except _Refused as error:
        raise ConnectionError(f"proxy {shown}: {error}") from error.__cause__


class _Refused(Exception):
    """What the proxy has against it."""


async def _connect_by_http(url: SplitResult, target: Target, limits: ClientLimits) -> socket.socket:
    """Ask for a tunnel by CONNECT (RFC 9110 §9.3.6)."""
    lines = [f"CONNECT {target.authority} HTTP/1.1", f"Host: {target.authority}"]
    if url.username is not None:
        credentials = (unquote(url.username), unquote(url.password or ""))
        lines.append(f"Proxy-Authorization: {build_authorization_basic(*credentials)}")
    reader = ResponseReader(
        max_size=limits.max_header_size,
        max_count=limits.max_header_count,
        max_body=0,
        tunnel=True,
    )
    sock = await net.connect_socket(url.hostname or "", url.port or 80)
    try:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, "\r\n".join([*lines, "", ""]).encode())
        response = None
        while response is None:
            data = await loop.sock_recv(sock, 4096)
            response = reader.feed(data) if data else reader.feed_eof()
        if not 200 <= response.status_code < 300:
            raise _Refused(f"it answered with HTTP {response.status_code}")
        if reader.take_rest():  # the other side of the tunnel has not been asked anything yet
            raise _Refused("it sent more than its answer")
    except InvalidHandshake as error:
        sock.close()
        raise _Refused("its answer cannot be used") from error
    except BaseException:
        sock.close()
        raise
    return sock


async def _connect_by_socks(proxy: str, target: Target) -> socket.socket:
    """Ask for a connection by SOCKS; its answers are short, and python-socks reads no more."""
    from python_socks import ProxyError
    from python_socks.async_.asyncio import Proxy

    remote_dns = proxy.startswith(("socks5h:", "socks4a:"))
    url = proxy.replace("socks5h:", "socks5:", 1).replace("socks4a:", "socks4:", 1)
    try:
        way = Proxy.from_url(url, rdns=remote_dns)
        sock: socket.socket = await way.connect(target.host, target.port)
    except ProxyError as error:
        raise _Refused(str(error)) from error
    return sock
