"""Opening a session as a client: what is asked for, what is required, limits."""

from __future__ import annotations

import asyncio
import tracemalloc
import zlib
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, ClassVar

import pytest

import wsext
from tests.client.servers import accept, listening
from tests.extensions import Append, Reverse
from tests.waiting import at_rest
from wsext import (
    RSV,
    App,
    Backoff,
    CloseInfo,
    ConnectionClosed,
    Frame,
    Listener,
    NegotiationError,
    Opcode,
    OptionError,
    Session,
    WebSocketOptions,
    testing,
)
from wsext.protocol.wire import frame_header


async def test_a_server_that_never_answers_is_left_after_the_open_timeout() -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with listening(handle) as port:
        with pytest.raises(TimeoutError):
            await wsext.connect(f"ws://127.0.0.1:{port}", open_timeout=0.05)


async def test_headers_authorization_and_user_agent() -> None:
    app = App(options=WebSocketOptions(origins=None))

    @app.websocket("/")
    async def handler(session: Session) -> None:
        headers = session.request.headers
        await session.send_json(
            [headers.get(name) for name in ("X-A", "Authorization", "User-Agent", "Origin")]
        )

    async with wsext.serve(app) as server:
        url = server.url.replace("://", "://user:p%40ss@") + "/"
        async with wsext.connect(url, headers={"X-A": "1"}, origin="https://o") as session:
            said = await session.receive_json(list)
            assert said == [
                "1",
                "Basic dXNlcjpwQHNz",
                f"wsext/{wsext.__version__}",
                "https://o",
            ]
            assert session.response_headers is not None
            assert "Sec-WebSocket-Accept" in session.response_headers
        with pytest.raises(ValueError, match="itself"):
            await wsext.connect(url, headers={"Sec-WebSocket-Version": "8"})


async def test_a_required_extension_that_is_missing_closes_with_1010() -> None:
    app = App()
    codes: asyncio.Queue[int] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        info = await session.wait_closed()
        codes.put_nowait(info.code)

    app.install(Reverse)
    async with wsext.serve(app) as server:
        with pytest.raises(NegotiationError, match="x-append"):
            await wsext.connect(server.url, extensions=[Append, Reverse], required=["x-append"])
        assert await codes.get() == 1010


@pytest.mark.parametrize(
    ("extensions", "words"),
    [
        ([Reverse], "x-apend: is required, but this client does not offer it: it offers x-reverse"),
        ([Append], "did you mean 'x-append'"),
        ([], "it offers no extension"),
    ],
)
async def test_what_is_required_has_to_be_offered(extensions: list[Any], words: str) -> None:
    with pytest.raises(NegotiationError, match=words):  # nothing listens there
        await wsext.connect("ws://127.0.0.1:1", extensions=extensions, required=["x-apend"])


@pytest.mark.parametrize("argument", ["extensions", "required", "subprotocols"])
def test_a_text_is_no_list(argument: str) -> None:
    given: Any = {argument: "x-delta"}
    with pytest.raises(OptionError, match=rf"^{argument}: expected a list, got 'x-delta'; write"):
        wsext.connect("ws://127.0.0.1:1", **given)
    given = {argument: Append}
    with pytest.raises(OptionError, match=r"expected a list, got Append; write \[Append\]"):
        wsext.connect("ws://127.0.0.1:1", **given)
    with pytest.raises(OptionError, match="x-append: expected a dict of options, got 1"):
        wsext.connect("ws://127.0.0.1:1", **{**given, "extensions": {"x-append": 1}})


async def test_the_client_masks_with_fresh_keys() -> None:
    keys = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key))
        for _ in range(20):
            header = await reader.readexactly(6)
            assert header[1] & 0x80
            keys.append(header[2:6])
            await reader.readexactly(header[1] & 0x7F)
        writer.close()

    async with listening(handle) as port, wsext.connect(f"ws://127.0.0.1:{port}") as session:
        for _ in range(20):
            await session.send("same")
        assert (await session.wait_closed()).code == 1006
    assert len(set(keys)) == 20


async def test_a_message_over_the_clients_limit_is_1009() -> None:
    app = App()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.send("x" * 2000)
        await session.wait_closed()

    options = WebSocketOptions(max_message_size=1000)
    async with wsext.serve(app) as server, wsext.connect(server.url, options=options) as session:
        assert (await session.wait_closed()).code == 1009


async def test_extensions_with_options_by_token() -> None:
    app = App()

    @app.websocket("/", extensions={"permessage-deflate": {"server_max_window_bits": 9}})
    async def hold(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:
        offers = {"permessage-deflate": {"client_max_window_bits": 10}}
        async with wsext.connect(server.url, extensions=offers) as session:
            assert session.negotiation.header == (
                "permessage-deflate; server_max_window_bits=9; client_max_window_bits=10"
            )
        with pytest.raises(OptionError, match="levle"):
            wsext.connect(server.url, extensions={"permessage-deflate": {"levle": 1}})


# --- with callbacks ---------------------------------------------------------------------------


class Heard(Listener):
    """A client's listener that answers each message until it has heard enough."""

    told: ClassVar[list[Any]]

    def on_open(self, session: Session) -> None:
        self.told.append("open")
        session.send_nowait("0")

    def on_message(self, session: Session, message: str | bytes) -> None:
        self.told.append(message)
        if message == "3":
            session.close_nowait(4000, "enough")
        else:
            session.send_nowait(str(int(message) + 1))

    def on_close(self, session: Session, info: CloseInfo) -> None:
        self.told.append(info.code)


async def test_a_client_may_have_a_listener() -> None:
    class Echo(Heard):
        told: ClassVar[list[Any]] = []

    app = App()

    @app.websocket("/")
    async def echo(session: Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext.serve(app) as server:
        async with wsext.connect(server.url, listener=Echo) as session:
            await session.wait_closed()
        assert Echo.told == ["open", "0", "1", "2", "3", 4000]
        sessions = 0
        async for session in wsext.connect(server.url, listener=Echo, backoff=Backoff(initial=0)):
            await session.wait_closed()
            sessions += 1
            if sessions == 2:
                break
        assert Echo.told == ["open", "0", "1", "2", "3", 4000] * 3


async def test_a_clients_listener_that_fails_ends_the_session(caplog: Any) -> None:
    class Broken(Listener):
        def on_open(self, session: Session) -> None:
            raise LookupError("no luck")

    app = App()
    codes: asyncio.Queue[int] = asyncio.Queue()

    @app.websocket("/")
    async def handler(session: Session) -> None:
        codes.put_nowait((await session.wait_closed()).code)

    async with wsext.serve(app) as server:
        async with wsext.connect(server.url, listener=Broken) as session:
            info = await session.wait_closed()
        assert await codes.get() == info.code == 1011
    assert isinstance(info.exception, LookupError)
    assert "no luck" in caplog.text


async def test_a_listener_is_not_told_of_a_session_that_lacks_what_is_required() -> None:
    class Never(Heard):
        told: ClassVar[list[Any]] = []

    app = App()
    app.install(Reverse)

    @app.websocket("/")
    async def handler(session: Session) -> None:
        await session.wait_closed()

    async with wsext.serve(app) as server:
        with pytest.raises(NegotiationError, match="x-append"):
            await wsext.connect(
                server.url,
                extensions=[Append, Reverse],
                required=["x-append"],
                listener=Never,
            )
    assert Never.told == []


# --- a server that does too much, or nothing --------------------------------------------------


def raw_app(serve: Callable[[Session], Awaitable[None]]) -> App:
    """An app that says what it wants, frame by frame."""
    app = App()
    app.websocket_raw("/")(serve)
    return app


async def test_a_server_that_floods_with_pings_is_left_with_1008(caplog: Any) -> None:
    async def flood(session: Session) -> None:
        for _ in range(1000):
            await session.send_frame(Frame(Opcode.PING, b"x"))
        await session.wait_closed()

    async with testing.connect(raw_app(flood)) as client:
        await client.clock.advance(2)
        assert not client.is_open
        await client.clock.advance(11)  # the server does not answer the Close frame
        info = await client.wait_closed()
        assert info.local == (1008, "too many pings")
    assert "ping_rate" in caplog.text


async def test_a_server_that_reads_nothing_is_left_with_1013(caplog: Any) -> None:
    async def doze(session: Session) -> None:
        session.hold_reading(3600)
        await session.wait_closed()

    options = WebSocketOptions(write_timeout=5, ping_interval=None)
    async with testing.connect(raw_app(doze), options=options) as client:
        sending = asyncio.ensure_future(client.send("x" * 900_000))
        more = asyncio.ensure_future(client.send("y" * 900_000))
        await client.clock.advance(20)
        info = await client.wait_closed()
        assert info.code == 1013
        await asyncio.wait({sending, more})
        assert isinstance(more.exception(), ConnectionClosed)
        sending.exception()
    assert "write_timeout" in caplog.text


async def test_a_flood_of_messages_is_read_later(caplog: Any) -> None:
    async def flood(session: Session) -> None:
        for number in range(2000):
            await session.send_frame(Frame(Opcode.TEXT, str(number).encode()))
        await session.wait_closed()

    options = WebSocketOptions(message_rate=100)
    app = raw_app(flood)
    async with testing.connect(app, options=options) as client:
        for number in range(400):
            assert await client.receive() == str(number)
        assert "message_rate" not in caplog.text
        await client.clock.advance(2)
        assert "message_rate" in caplog.text
        assert client.is_open
        client.abort()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x88\x7f" + (100_000).to_bytes(8, "big") + bytes(100_000), 1002),
        (b"\x89\x7e\x01\x00" + bytes(256), 1002),
        (b"\x81\x7f" + (1 << 62).to_bytes(8, "big"), 1009),
        (b"\x81\x7f" + (1 << 63).to_bytes(8, "big"), 1002),
        (b"\x01\x01a" + b"\x00\x01a" * 40_000, 1009),
        (b"\x81\x82\0\0\0\0hi", 1002),
        (b"\xc1\x02hi", 1002),
        (b"\x83\x00", 1002),
        (b"\x80\x01a", 1002),
        (b"\x81\x02\xff\xff", 1007),
        (b"\x88\x01\x03", 1002),
        (b"\x88\x02\x03\xed", 1002),
        (b"\x88\x04\x03\xe8\xff\xff", 1007),
    ],
    ids=lambda value: str(value[:12]) if isinstance(value, bytes) else None,
)
@pytest.mark.parametrize("where", ["with the answer", "after it"])
async def test_frames_that_break_the_rules_end_the_session(
    data: bytes, code: int, where: str, caplog: Any
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key))
        if where == "after it":
            await reader.read(6 + 4)
        with suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            await reader.read()
        writer.close()

    options = WebSocketOptions(close_timeout=0.2, max_message_size=32_768)
    async with (
        listening(handle) as port,
        wsext.connect(f"ws://127.0.0.1:{port}", options=options) as session,
    ):
        if where == "after it":
            await session.send("go!!")
        info = await session.wait_closed()
        assert info.local is None or info.local[0] == code
        assert info.code == code
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= 40]


def bombs(token: str, size: int, count: int) -> bytes:
    """Messages that are small on the wire."""
    if token == "permessage-deflate":
        packer = zlib.compressobj(9, wbits=-15)
        first = packer.compress(bytes(size)) + packer.flush(zlib.Z_SYNC_FLUSH)
        payload = first.removesuffix(b"\0\0\xff\xff")
    else:
        zstd = pytest.importorskip("zstandard")
        options = {"window_log": 17, "format": zstd.FORMAT_ZSTD1_MAGICLESS}
        options |= {"write_content_size": False}
        params = zstd.ZstdCompressionParameters(compression_level=9, **options)
        packer = zstd.ZstdCompressor(compression_params=params).compressobj()
        payload = packer.compress(bytes(size)) + packer.flush()
    return (frame_header(2, len(payload), True, RSV.RSV1, False) + payload) * count


@pytest.mark.parametrize("token", ["permessage-deflate", "permessage-zstd"])
@pytest.mark.parametrize(("size", "count"), [(1 << 26, 1), (1 << 19, 200)])
async def test_what_inflates_waits_undecoded(token: str, size: int, count: int) -> None:
    """Large ones end the session; of many small ones a few are decoded, and the rest waits."""
    more = f"Sec-WebSocket-Extensions: {token}; server_no_context_takeover\r\n"
    done = asyncio.Event()
    data = bombs(token, size, count)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key, more) + data)
        with suppress(ConnectionError):
            await writer.drain()
            await done.wait()
        writer.transport.abort()

    async with listening(handle) as port:
        tracemalloc.start()
        try:
            async with wsext.connect(f"ws://127.0.0.1:{port}", extensions=[token]) as session:
                if count == 1:
                    assert (await session.wait_closed()).code == 1009
                else:
                    await at_rest(lambda: session.stats.messages_in)
                    assert session.is_open
                assert session.stats.messages_in < 5
                assert tracemalloc.get_traced_memory()[1] < 8 << 20
                done.set()
        finally:
            tracemalloc.stop()


@pytest.mark.parametrize(
    "data", [b"\x81", b"\x81\x7e\x01", b"\x82\x7f\x00\x00\x00\x00\x00\x10\x00\x00abc", b"\x01\x01a"]
)
async def test_a_connection_that_ends_within_a_frame_ends_the_session(
    data: bytes, caplog: Any
) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        key = next(ln[19:] for ln in head.split("\r\n") if ln.startswith("Sec-WebSocket-Key: "))
        writer.write(accept(key) + data)
        writer.close()

    async with listening(handle) as port, wsext.connect(f"ws://127.0.0.1:{port}") as session:
        with pytest.raises(ConnectionClosed):
            await session.receive()
        assert session.close_info.code == 1006
    assert not [record for record in caplog.records if record.levelno >= 30]
