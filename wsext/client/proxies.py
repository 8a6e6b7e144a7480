"""Which proxy leads to a target, and the way through it."""

from __future__ import annotations

import socket
import urllib.request

from wsext.client.targets import Target

__all__ = ["connect_through", "find_proxy"]


def find_proxy(choice: str | bool | None, target: Target) -> str | None:
    """The URL of the proxy to use, or ``None`` for a direct connection.

    Args:
        choice: ``True`` asks the environment, text is the URL itself, ``None`` uses no proxy.
        target: Where the connection goes.
    """
    if choice is not True:
        return choice or None
    if urllib.request.proxy_bypass(f"{target.host}:{target.port}"):
        return None
    found = urllib.request.getproxies()
    kinds = ("wss", "https") if target.secure else ("ws", "http")
    return next((found[kind] for kind in (*kinds, "socks", "all") if kind in found), None)


async def connect_through(proxy: str, host: str, port: int) -> socket.socket:
    """A socket to the host through a proxy.

    Raises:
        ConnectionError: If the proxy refuses.
        OSError: If it cannot be reached, or python-socks is not installed.
    """
    try:
        from python_socks import ProxyError
        from python_socks.async_.asyncio import Proxy
    except ImportError:
        raise OSError(
            f"connecting through the proxy {without_password(proxy)} needs the package"
            " python-socks: pip install 'wsext[proxy]', or pass proxy=None"
        ) from None
    remote_dns = proxy.startswith(("socks5h:", "http:", "socks4a:"))
    url = proxy.replace("socks5h:", "socks5:", 1).replace("socks4a:", "socks4:", 1)
    try:
        sock: socket.socket = await Proxy.from_url(url, rdns=remote_dns).connect(host, port)
    except ProxyError as error:
        raise ConnectionError(f"proxy {without_password(proxy)}: {error}") from error
    return sock


def without_password(url: str) -> str:
    """A proxy's URL as it may be logged."""
    scheme, separator, rest = url.partition("://")
    return scheme + separator + rest.rpartition("@")[2]
