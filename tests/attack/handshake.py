"""Attacks with opening handshakes and other requests."""

from __future__ import annotations

import asyncio

from tests.attack.registry import attack
from tests.attack.target import DROPPED, HANDSHAKE, Target
from tests.raw import REQUEST, masked

EVERYWHERE = ("http1", "tls", "workers", "uvicorn", "trio")
OWN = ("http1", "tls", "workers", "trio")


@attack(
    "handshakes sent byte by byte",
    "half a handshake, byte by byte",
    fronts=OWN,
    sessions=8,
)
async def byte_by_byte(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp()
        reading = target.start(peer.reader.read())
        for at in range(4000):
            if reading.done():
                return
            peer.send(HANDSHAKE[at : at + 1] if at < 100 else b"x")
            await asyncio.wait([reading], timeout=0.05)
        raise AssertionError("it was not dropped")

    async with asyncio.timeout(target.seconds + 5):
        await target.each(100, one, at_once=100)


@attack(
    "headers that never end",
    "endless headers",
    fronts=OWN,  # under uvicorn they do not reach wsext
    sessions=8,
)
async def endless_headers(target: Target) -> None:
    starts = (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"GET /", b"", b"GET / HTTP/1.1\r\n")
    more = (b"x" * 8192, b"x" * 8192, b"\r\n" * 4096, b"X: y\r\n" * 1000)

    async def one(number: int) -> None:
        peer = await target.tcp()
        reading = target.start(peer.reader.read())
        peer.send(starts[number % 4])
        while not reading.done():
            await peer.push(more[number % 4])
        await reading

    while target.time_is_left:
        await target.each(20, one)


ODD = [
    b"\x00" * 100 + b"\r\n\r\n",
    b"GET / HTTP/1.1\r\n\xff: \xfe\r\n\r\n",
    b"GET /" + b"%ff" * 100 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /../../etc/passwd HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET // HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET //[ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n c\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA\x00: b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA : b\r\n\r\n",
    b"GET / HTTP/1.1\nHost: x\n\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n123456",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0",
    b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"GET http://user:password@x/%0d%0aSet-Cookie:a HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /\xc3\xa9 HTTP/1.1\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n",
]


@attack("requests that break RFC 9112", "requests that break RFC 9112", fronts=OWN, sessions=8)
async def odd_requests(target: Target) -> None:
    async def one(number: int) -> int:
        async with asyncio.timeout(5):
            answer = await target.ask(ODD[number] + b"\r\n\r\n")
        return int(answer.split()[1]) if answer[:5] == b"HTTP/" else 0

    while target.time_is_left:
        found = await target.each(len(ODD), one)
        for request, status in zip(ODD, found, strict=True):
            refused = isinstance(status, DROPPED) or status == 0 or 400 <= status < 500
            assert refused, f"{request[:60]!r}: {status}"


@attack(
    "handshakes that break RFC 6455",
    "handshakes that break RFC 6455",
    fronts=EVERYWHERE,
    sessions=8,
)
async def bad_handshakes(target: Target) -> None:
    good = HANDSHAKE.decode()
    bad = [
        good.replace("13", version)
        for version in ("12", "0", "-13", "13, 13", "x" * 500, "\uff11\uff13")
    ] + [
        good.replace("dGhlIHNhbXBsZSBub25jZQ==", key)
        for key in ("", "x", "=" * 24, "dGhlIHNhbXBsZSBub25jZQ", "A" * 10_000)
    ]
    targets = ("", "?", "x", "/#x", "ftp://x/", "http:///", "http://user@x/", "ws://[::g]/")
    bad += [good.replace("GET / ", f"GET {target} ") for target in targets]
    bad += [good.replace("localhost", host) for host in ("a b", "a/b", "[::g]", "%zz", "user@a")]
    bad.append(good.replace("GET", "POST"))
    bad.append(good.replace("Version", "Version: 13\r\nSec-WebSocket-Version"))
    bad.append(good.replace("\r\n\r\n", "\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"))

    async def one(number: int) -> int:
        async with asyncio.timeout(5):
            answer = await target.ask(bad[number].encode("utf-8", "surrogateescape"))
        return int(answer.split()[1])

    while target.time_is_left:
        found = await target.each(len(bad), one)
        for text, status in zip(bad, found, strict=True):
            refused = isinstance(status, DROPPED) or 400 <= status < 500
            assert refused, f"{text[:200]!r}: {status}"


@attack(
    "thousands of extension offers",
    "thousands of extension offers",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
)
async def thousands_of_offers(target: Target) -> None:
    line = "Sec-WebSocket-Extensions: " + ",".join("x" * 3500) + "\r\n"
    same = "Sec-WebSocket-Extensions: " + ", ".join(["permessage-deflate; x"] * 300) + "\r\n"

    async def one(number: int) -> None:
        (await target.websocket("/silent", (line * 2, same)[number % 2])).close()

    while target.time_is_left:
        await target.each(20, one, at_once=4)


@attack(
    "extension headers that break the grammar",
    "a malformed `Sec-WebSocket-Extensions` header, such as `;;;`",
    fronts=EVERYWHERE,
    sessions=8,
)
async def malformed_offers(target: Target) -> None:
    bad = ["permessage-deflate; a=", ";;;,,,===", '"' * 1000, 'a; b="', "a b", "\x7f", "=,=" * 900]

    async def one(number: int) -> int:
        more = f"Sec-WebSocket-Extensions: {bad[number % len(bad)]}\r\n"
        answer = await target.ask(REQUEST.format(path="/", more=more).encode())
        return int(answer.split()[1])

    while target.time_is_left:
        found = await target.each(50, one, at_once=5)
        assert set(found) == {400}, set(found)


@attack(
    "well-formed offers that cannot be used",
    "a well-formed offer that is unknown or cannot be used",
    fronts=("http1", "http2", "uvicorn", "trio"),
    sessions=8,
)
async def useless_offers(target: Target) -> None:
    offers = [
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=010",
        "permessage-deflate; client_max_window_bits; client_max_window_bits",
        "permessage-zstd; window=-1; window=99999999999999999999999",
        "permessage-fragment; max_frame=0",
        "permessage-deflate" + "; a" * 3000,
        "permessage-deflate; " + "a" * 8000,
    ]

    async def one(number: int) -> None:
        more = f"Sec-WebSocket-Extensions: {offers[number % len(offers)]}\r\n"
        (await target.websocket("/silent", more)).close()

    while target.time_is_left:
        found = await target.each(50, one, at_once=5)
        refused = [answer for answer in found if answer is not None and "431" not in str(answer)]
        assert not refused, refused


@attack(
    "a page of another site",
    "a page of another site that uses a user's cookies",
    fronts=("http1", "http2", "tls", "uvicorn", "trio"),
    sessions=8,
)
async def another_site(target: Target) -> None:
    origins = [
        "https://evil.example",
        "null",
        "http://localhost.evil.example",
        "file://",
        "http://",
    ]

    async def one(number: int) -> None:
        await target.websocket("/", f"Origin: {origins[number % len(origins)]}\r\n")

    while target.time_is_left:
        found = await target.each(25, one, at_once=5)
        assert all("403" in str(answer) for answer in found), found


@attack(
    "requests without end on one connection",
    "requests without end",
    fronts=OWN,
    sessions=4,
)
async def pipelined(target: Target) -> None:
    requests = b"GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n" * 500

    async def one(number: int) -> None:
        while target.time_is_left:
            peer = await target.tcp()
            reading = target.start(peer.discard())
            while target.time_is_left and not reading.done():
                await peer.push(requests)

    await target.each(4, one)


@attack(
    "a body that was not asked for",
    "requests without end",
    fronts=OWN,
    sessions=4,
)
async def bodies(target: Target) -> None:
    head = b"POST /state HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000000\r\n\r\n"

    async def one(number: int) -> None:
        while target.time_is_left:
            peer = await target.tcp()
            reading = target.start(peer.discard())
            peer.send(head)
            while target.time_is_left and not reading.done():
                await peer.push(bytes(65536))

    await target.each(4, one)


@attack(
    "bodies of 1 MiB that lack their last byte",
    "requests without end",
    fronts=("http1", "tls"),
    sessions=100,
    options={"server.max_body_size": 1 << 20, "server.incoming_total": 1 << 23},
    short=False,
)
async def waiting_bodies(target: Target) -> None:
    head = b"POST /form HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"

    async def one(number: int) -> None:
        peer = await target.tcp()
        peer.send(head)
        await peer.push(bytes(0xFFFFF))

    await target.each(100, one)
    await target.rest()


CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
FORMS = (
    (b"Content-Length: 65536\r\n\r\n" + bytes(65535), b""),  # the last byte never comes
    (CHUNKED, b"1\r\nx\r\n" * 10_000),
    (CHUNKED, b"4000\r\n" + bytes(0x4000) + b"\r\n"),
    (CHUNKED + b"1;", b"x" * 8192),
    (CHUNKED + b"0\r\n", b"X: y\r\n" * 1000),
)


@attack(
    "forms that never end, in large and in tiny pieces",
    "requests without end",
    fronts=OWN,
    sessions=8,
)
async def forms(target: Target) -> None:
    async def one(number: int) -> None:
        begin, more = FORMS[number % len(FORMS)]
        peer = await target.tcp()
        reading = target.start(peer.discard())
        await peer.push(b"POST /form HTTP/1.1\r\nHost: localhost\r\n" + begin)
        while target.time_is_left and not reading.done():
            if more:
                await peer.push(more)
            else:
                await asyncio.wait([reading], timeout=0.05)

    while target.time_is_left:
        await target.each(20, one)


@attack(
    "a megabyte behind the handshake in one go",
    "messages faster than the app takes them",
    fronts=("http1", "tls", "workers", "uvicorn", "trio"),
    sessions=20,
)
async def eager(target: Target) -> None:
    data = REQUEST.format(path="/silent", more="").encode() + masked(2, bytes(60_000)) * 40

    async def one(number: int) -> None:
        peer = await target.tcp()
        peer.send(data)

    await target.each(20, one)
    await target.rest()


@attack(
    "single-valued headers twice",
    "single-valued headers twice",
    fronts=("http1", "tls"),
    sessions=4,
)
async def twice(target: Target) -> None:
    for name, value in (("Authorization", "Bearer s3cret"), ("Origin", "http://localhost")):
        more = f"{name}: {value}\r\n{name}: other\r\n"
        answer = await target.ask(REQUEST.format(path="/guarded", more=more).encode())
        assert answer.split()[1] == b"400", f"two {name} headers: {answer[:40]!r}"
    await target.rest()


@attack(
    "paths that are long or odd",
    "paths that are long or odd",
    fronts=("http1", "http2"),
    sessions=8,
)
async def odd_paths(target: Target) -> None:
    paths = ["/room/" + "x" * 256, "/room/" + "é" * 0 + "%c3%a9" * 300, "/room/%00", "/room/%ff"]
    paths += [
        "/room/" + "x" * 8000,
        "/room/..%2f..",
        "/room/%2e%2e",
        "/dial/" + "9" * 5000 + "/1/reads",
    ]

    async def one(number: int) -> str:
        try:
            peer = await target.websocket(paths[number])
        except ConnectionRefusedError as error:
            return str(error)
        code = await asyncio.wait_for(peer.close_code(), 0.3) if number == 0 else None
        peer.close()
        return f"closed with {code}" if code == 1011 else "open"

    for number, path in enumerate(paths):
        try:
            found = await one(number)
        except TimeoutError:
            continue
        assert "500" not in found, f"{path[:40]}: {found}"
        assert "1011" not in found, f"{path[:40]}: {found}"
    await target.rest()


@attack(
    "scrapers of /metrics",
    "scrapers of `/metrics`",
    fronts=("http1", "workers"),
    sessions=8,
    args=("--metrics",),
)
async def scrapers(target: Target) -> None:
    for more in (
        "",
        "Accept: text/plain\r\nAccept: application/openmetrics-text\r\n",
        "Accept: \xff\r\n",
    ):
        status, _ = await target.get("/metrics", more)
        assert status != 500, status

    async def one(number: int) -> None:
        while target.time_is_left:
            await target.get("/metrics")

    await target.each(8, one)


@attack(
    "sessions of an application that never answers",
    "a hook or an application under uvicorn that does not answer",
    fronts=("uvicorn",),
    sessions=8,
)
async def never_answered(target: Target) -> None:
    async def one(number: int) -> None:
        peer = await target.tcp()
        await peer.push(REQUEST.format(path="/hang", more="").encode())
        await peer.reader.read()
        peer.close()

    async with asyncio.timeout(target.seconds + 5):
        await target.each(100, one, at_once=100)
