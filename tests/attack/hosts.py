"""Attacks with the name of a host: other people's names, other schemes, other bytes."""

from __future__ import annotations

from tests.attack.registry import attack
from tests.attack.target import Target
from tests.raw import REQUEST


async def _statuses(target: Target, requests: list[tuple[str, str]]) -> list[int]:
    """What handshakes get that ask for a host and come from a page of an origin."""
    found = []
    for host, origin in requests:
        head = REQUEST.format(path="/", more=f"Origin: {origin}\r\n" if origin else "")
        answer = await target.ask(head.replace("Host: localhost", f"Host: {host}").encode())
        found.append(int(answer.split()[1]))
    return found


@attack(
    "pages whose name was made to point to this machine",
    "a page whose name was made to point here (DNS rebinding)",
    fronts=("http1", "workers", "uvicorn"),
    sessions=4,
)
async def rebinding(target: Target) -> None:
    names = (
        "evil.example",
        "localhost.evil.example",
        f"127.0.0.1.evil.example:{target.server.port}",
    )
    asked = [(name, f"http://{name}") for name in names]
    assert await _statuses(target, asked) == [403] * len(asked)


@attack(
    "a page without TLS on a host with TLS",
    "a page of another site that uses a user's cookies",
    fronts=("tls",),
    sessions=4,
)
async def without_tls(target: Target) -> None:
    hosts = ("localhost", f"127.0.0.1:{target.server.port}", "localhost:443")
    asked = [(host, f"http://{host}") for host in hosts]
    assert await _statuses(target, asked) == [403] * len(asked)


@attack(
    "hosts that are not served",
    "a request for another host",
    fronts=("http1", "tls", "workers"),
    sessions=4,
    options={"server.allowed_hosts": "localhost,127.0.0.1"},
)
async def other_hosts(target: Target) -> None:
    hosts = ("evil.example", "localhost.evil.example", "", "[::1]", "xlocalhost", "10.0.0.1")
    assert await _statuses(target, [(host, "") for host in hosts]) == [421] * len(hosts)
    whole = b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n"
    assert b" 421 " in (await target.ask(whole))[:20]


@attack(
    "header values over HTTP/2 that HTTP/1.1 does not have",
    "requests that break RFC 9112",
    fronts=("http2",),
    sessions=4,
)
async def odd_values(target: Target) -> None:
    for value, status in (("\xff", 404), ("\x01", 400), ("a\x7fb", 400)):
        peer = await target.http2()
        peer.h2.config.validate_outbound_headers = False
        odd = [("x-odd", value)]
        stream = peer.request("/nothing", odd, method="GET", protocol=None, end=True)
        assert (await peer.response(stream))[0] == status
