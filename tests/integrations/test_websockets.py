"""wsext's extensions in plain ``websockets`` servers and clients, on real sockets."""

from __future__ import annotations

import gc
import zlib
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, ClassVar

import pytest
import websockets.sync.client
from websockets.asyncio.client import connect as foreign_connect
from websockets.asyncio.server import Server, ServerConnection
from websockets.asyncio.server import serve as foreign_serve
from websockets.exceptions import ConnectionClosedError
from websockets.exceptions import NegotiationError as TheirNegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode
from wsext_deflate import PermessageDeflate
from wsext_zstd import PermessageZstd

import wsext
from tests.extensions import Append, Reverse, Slow, Split, claiming
from tests.raw import masked, raw_peer
from wsext import (
    RSV,
    Codec,
    Extension,
    Frame,
    LocalProtocolError,
    MessageCodec,
    NegotiationContext,
    OptionError,
    Params,
    PluginError,
)
from wsext.integrations.websockets import adaptable, client_extensions, server_extensions

WORDS = "the quick brown fox jumps over the lazy dog " * 50
MESSAGES = ("text", b"bytes", "", b"", "ünï" * 500, WORDS, b"\x00" * 70_000)


async def echo(connection: ServerConnection) -> None:
    async for message in connection:
        await connection.send(message)


def url_of(server: Server) -> str:
    return f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}/"


@asynccontextmanager
async def serving(*what: Any, handler: Any = echo, **options: Any) -> AsyncIterator[Server]:
    """A server of ``websockets`` with our extensions."""
    factories = server_extensions(what)
    async with foreign_serve(
        handler, "127.0.0.1", 0, extensions=factories, compression=None, **options
    ) as server:
        yield server


def connecting(url: str, *what: Any, **options: Any) -> foreign_connect:
    """A client of ``websockets`` with our extensions."""
    factories = client_extensions(what)
    return foreign_connect(url, extensions=factories, compression=None, **options)


def names(connection: Any) -> list[str]:
    return [extension.name for extension in connection.protocol.extensions]


# --- both libraries, both roles ---------------------------------------------------------------


@pytest.mark.parametrize(
    "extension", ["permessage-zstd", "permessage-deflate", "permessage-checksum", Reverse]
)
async def test_our_client_and_a_websockets_server(extension: Any) -> None:
    async with (
        serving(extension) as server,
        wsext.connect(url_of(server), extensions=[extension]) as session,
    ):
        assert len(session.extensions) == 1
        for message in MESSAGES:
            await session.send(message)
            assert await session.receive() == message
        assert await session.ping() >= 0

        async def parts() -> AsyncIterator[str]:
            for part in ("frag", "", "ments"):
                yield part

        await session.send(parts())
        assert await session.receive() == "fragments"
        if "permessage" in str(extension) and extension != "permessage-checksum":
            assert session.stats.wire_bytes_in < session.stats.app_bytes_in / 10
    assert session.close_info.ok


@pytest.mark.parametrize(
    "extension", ["permessage-zstd", "permessage-deflate", "permessage-checksum", Reverse]
)
async def test_a_websockets_client_and_our_server(extension: Any) -> None:
    app = wsext.App()
    app.install(extension)

    @app.websocket("/")
    async def handler(session: wsext.Session) -> None:
        async for message in session:
            await session.send(message)

    async with wsext.serve(app) as server, connecting(server.url, extension) as client:
        assert len(names(client)) == 1
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send(["frag", "", "ments"])
        assert await client.recv() == "fragments"
    assert client.close_code == 1000


async def test_a_stack_between_websockets_and_websockets() -> None:
    stack = [Append(suffix="!"), PermessageZstd(level=9), Reverse, "permessage-meta"]
    async with serving(*stack) as server, connecting(url_of(server), *stack) as client:
        # permessage-meta needs RSV3, which x-reverse has got by then.
        assert names(client) == ["x-append", "permessage-zstd", "x-reverse"]
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS[:100], WORDS[100:]])
        assert await client.recv() == WORDS


@pytest.mark.parametrize("bits", [None, 9, 15])
async def test_our_deflate_and_that_of_websockets(bits: int | None) -> None:
    theirs = ClientPerMessageDeflateFactory(
        server_max_window_bits=bits, client_max_window_bits=bits or True
    )
    async with (
        serving(PermessageDeflate) as server,
        foreign_connect(url_of(server), extensions=[theirs], compression=None) as client,
    ):
        assert names(client) == ["permessage-deflate"]
        assert isinstance(client.protocol.extensions[0], PerMessageDeflate)
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS, "", WORDS])
        assert await client.recv() == WORDS * 2


async def test_their_server_deflate_and_ours() -> None:
    theirs = ServerPerMessageDeflateFactory(server_max_window_bits=11, client_max_window_bits=11)
    async with (
        foreign_serve(echo, "127.0.0.1", 0, extensions=[theirs], compression=None) as server,
        connecting(url_of(server), PermessageDeflate(server_max_window_bits=12)) as client,
    ):
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message


async def test_the_threading_client_works_too() -> None:
    import asyncio

    def talk(url: str) -> str:
        factories = client_extensions(["permessage-zstd"])
        with websockets.sync.client.connect(url, extensions=factories, compression=None) as client:
            client.send(WORDS)
            return str(client.recv())

    async with serving("permessage-zstd") as server:
        assert await asyncio.to_thread(talk, url_of(server)) == WORDS


# --- negotiation ------------------------------------------------------------------------------


async def test_offers_fall_back_and_declined_ones_are_left_out() -> None:
    async with (
        serving(Append(suffix="server")) as server,
        connecting(url_of(server), Append(suffix="forbidden")) as client,
    ):
        # The first of its two offers is declined, the one without a suffix is not.
        assert names(client) == ["x-append"]
        await client.send("x")
        assert await client.recv() == "x"
    async with serving("permessage-zstd") as server, foreign_connect(url_of(server)) as client:
        assert names(client) == []


async def test_alternatives_go_by_the_clients_order() -> None:
    both = ["permessage-deflate", "permessage-zstd"]
    async with serving(*both) as server:
        async with connecting(url_of(server), "permessage-zstd", "permessage-deflate") as client:
            assert names(client) == ["permessage-zstd"]
        async with connecting(url_of(server), *both) as client:
            assert names(client) == ["permessage-deflate"]


async def test_a_clash_with_the_compression_of_websockets() -> None:
    ours = server_extensions(["permessage-zstd"])
    # Theirs first: ours sees that the bit is taken.
    async with (
        foreign_serve(echo, "127.0.0.1", 0, extensions=ours) as server,
        connecting(url_of(server), "permessage-deflate", "permessage-zstd") as client,
    ):
        assert names(client) == ["permessage-deflate"]
    # Ours first: theirs does not look, so ours refuses to work beside it.
    async with (
        foreign_serve(echo, "127.0.0.1", 0, extensions=ours) as server,
        foreign_connect(
            url_of(server), extensions=client_extensions(["permessage-zstd"])
        ) as client,
    ):
        assert names(client) == ["permessage-zstd", "permessage-deflate"]
        with pytest.raises(ConnectionClosedError) as caught:
            await client.send("x")
        assert "RSV1 is used by permessage-deflate, too" in str(caught.value.__cause__)


@pytest.mark.parametrize(
    "answer",
    ["permessage-zstd; level=9", "permessage-zstd; max_window_bits=99", "x-other"],
)
async def test_a_bad_answer_fails_the_handshake(answer: str) -> None:
    def lie(connection: Any, request: Any, response: Any) -> None:
        response.headers["Sec-WebSocket-Extensions"] = answer

    async with foreign_serve(
        echo, "127.0.0.1", 0, compression=None, process_response=lie
    ) as server:
        with pytest.raises(TheirNegotiationError):
            await connecting(url_of(server), "permessage-zstd")


def test_options_and_tokens_are_checked() -> None:
    assert server_extensions({"permessage-zstd": {"level": 9}})[0].name == "permessage-zstd"
    with pytest.raises(OptionError, match="level"):
        server_extensions({"permessage-zstd": {"level": 99}})
    with pytest.raises(PluginError, match="did you mean 'permessage-zstd'"):
        client_extensions(["permessage-zsdt"])


# --- what cannot be adapted -------------------------------------------------------------------


def codec_of(codec: type[Codec], token: str = "x-odd", bits: RSV = RSV.NONE) -> type[Extension]:
    """An extension around a codec class."""

    class Odd(Extension):
        name: ClassVar[str] = token
        rsv: ClassVar[RSV] = bits

        def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
            return codec()

    return Odd


class Holding(Codec):
    """Sends a message only with the next one."""

    def encode(self, frame: Frame) -> Iterable[Frame]:
        return ()


class Dropping(Codec):
    def decode(self, frame: Frame, budget: int) -> Iterable[Frame]:
        return ()


class Twice(Codec):
    def decode(self, frame: Frame, budget: int) -> Iterable[Frame]:
        return (frame, frame)


class Opcodes(Extension):
    name: ClassVar[str] = "x-opcodes"
    opcodes: ClassVar[frozenset[int]] = frozenset({3, 11})


@pytest.mark.parametrize(
    ("extension", "reason"),
    [
        ("framelog", "is no wire extension"),
        ("presets", "is no wire extension"),
        ("permessage-fragment", "makes 5 frames of one frame"),
        (Split, "makes 50 frames of one frame"),
        (Slow, "is asynchronous"),
        (Opcodes, r"uses reserved opcodes \(3, 11\)"),
        (codec_of(Holding), "makes nothing of one frame"),
        (codec_of(Dropping), "drops a message"),
        (codec_of(Twice), "ends messages elsewhere"),
        (Append(suffix="forbidden"), None),
    ],
)
def test_what_cannot_be_adapted_says_why(extension: Any, reason: str | None) -> None:
    found = adaptable(extension)
    if reason is None:
        assert found is None
        return
    assert found is not None
    for make in (server_extensions, client_extensions):
        with pytest.raises(PluginError, match=f"cannot be adapted to websockets: {reason}"):
            make([extension])


@pytest.mark.parametrize(
    "token",
    ["permessage-deflate", "permessage-zstd", "permessage-checksum", "permessage-meta"],
)
def test_what_is_in_this_repository_can(token: str) -> None:
    assert adaptable(token) is None


async def test_what_shows_late_refuses_to_go_on() -> None:
    class Late(Codec):
        """Splits what is larger than anything that was rehearsed."""

        def encode(self, frame: Frame) -> Frame | list[Frame]:
            if len(frame.payload) < 100_000:
                return frame
            return [frame.replace(fin=False), Frame(0, b"", True)]

    late = codec_of(Late)
    async with serving(late) as server, connecting(url_of(server), late) as client:
        await client.send("fine")
        assert await client.recv() == "fine"
        with pytest.raises(ConnectionClosedError) as caught:
            await client.send("x" * 100_000)
        assert "x-odd: makes 2 frames of one frame" in str(caught.value.__cause__)

    # Who drives the protocol without I/O gets the error itself, and nothing past it.
    _, extension = server_extensions([late])[0].process_request_params([], [])
    for size in (100_000, 1):
        with pytest.raises(LocalProtocolError, match="x-odd: makes 2 frames of one frame"):
            extension.encode(TheirFrame(Opcode.BINARY, b"x" * size))
    assert extension.encode(TheirFrame(Opcode.PING, b"x")).data == b"x"


async def test_a_fragmented_message_cannot_be_left_as_it_is() -> None:
    class Undecided(MessageCodec):
        def encode_message(self, data: bytes) -> bytes | None:
            packed = zlib.compress(data)
            return packed if len(packed) < len(data) else None

        def decode_message(self, data: bytes, budget: int) -> bytes:
            return zlib.decompress(data)

    undecided = codec_of(Undecided, bits=RSV.RSV3)
    async with serving(undecided) as server, connecting(url_of(server), undecided) as client:
        for message in ("x", WORDS):
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS[:9], WORDS[9:]])
        assert await client.recv() == WORDS
        with pytest.raises(ConnectionClosedError):
            await client.send(["a", "b"])
    _, extension = server_extensions([undecided])[0].process_request_params([], [])
    extension.encode(TheirFrame(Opcode.BINARY, b"a", False))
    with pytest.raises(LocalProtocolError, match="x-odd: leaves a message as it is"):
        extension.encode(TheirFrame(Opcode.CONT, b"b"))


# --- limits, errors, the end ------------------------------------------------------------------


@pytest.mark.parametrize("extension", ["permessage-zstd", "permessage-deflate"])
async def test_max_size_bounds_what_a_message_grows_to(extension: str) -> None:
    async with (
        serving(extension, max_size=100_000) as server,
        wsext.connect(url_of(server), extensions=[extension]) as session,
    ):
        await session.send(b"\x00" * 100_000)
        assert await session.receive() == b"\x00" * 100_000
        await session.send(b"\x00" * 100_001)
        await session.wait_closed()
        assert session.close_info.code == 1009


async def test_max_size_bounds_all_fragments_together() -> None:
    async with (
        serving("permessage-deflate", max_size=100_000) as server,
        connecting(url_of(server), "permessage-deflate") as client,
    ):
        # websockets compares the size of an encoded frame, too: its empty last one has a byte.
        await client.send([b"\x00" * 49_999] * 2)
        assert await client.recv() == b"\x00" * 99_998
        with suppress(ConnectionClosedError):  # it may be over while it still sends
            await client.send([b"\x00" * 50_000] * 2 + [b"\x00"])
        await client.wait_closed()
        assert client.close_code == 1009


CHECKSUM = "Sec-WebSocket-Extensions: permessage-checksum\r\n"


async def test_what_a_codec_holds_back_is_bounded() -> None:
    async with (
        serving("permessage-checksum", max_size=10_000) as server,
        raw_peer(server.sockets[0].getsockname()[1]) as peer,
    ):
        assert "permessage-checksum" in await peer.shake(more=CHECKSUM)
        # The checksum of a message that never ends is never checked.
        peer.send(masked(2, b"x" * 5_000, False, RSV.RSV2))
        for _ in range(3):
            peer.send(masked(0, b"x" * 5_000, False))
        assert await peer.close_code() == 1009


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        ([Frame(2, b"not a checksum", True, RSV.RSV2)], 1002),
        ([Frame(2, b"ab", False, RSV.RSV2), Frame(0, b"cd", True, RSV.RSV2)], 1002),
        ([Frame(2, b"x", True, RSV.RSV3)], 1002),
    ],
    ids=["corrupt", "bit on a continuation", "a bit of nobody"],
)
async def test_a_broken_rule_closes_with_its_code(frames: list[Frame], code: int) -> None:
    async with (
        serving("permessage-checksum") as server,
        raw_peer(server.sockets[0].getsockname()[1]) as peer,
    ):
        assert "permessage-checksum" in await peer.shake(more=CHECKSUM)
        peer.send(b"".join(masked(f.opcode, bytes(f.payload), f.fin, f.rsv) for f in frames))
        assert await peer.close_code() == code


async def test_a_codec_is_closed_when_websockets_lets_go_of_it() -> None:
    closed = []

    class Closing(Codec):
        def close(self) -> None:
            closed.append(self)

    closing = codec_of(Closing)
    factories = server_extensions([closing])
    rehearsed = len(closed)
    async with (
        foreign_serve(echo, "127.0.0.1", 0, extensions=factories, compression=None) as server,
        wsext.connect(url_of(server), extensions=[closing]) as session,
    ):
        await session.send("x")
        assert await session.receive() == "x"
    gc.collect()
    assert rehearsed == 2
    assert len(closed) == rehearsed + 2
    assert len(set(map(id, closed))) == len(closed)


def test_mappings_and_instances_are_taken_alike() -> None:
    by_name: Mapping[str, Mapping[str, Any]] = {"permessage-deflate": {"level": 1}}
    for what in (by_name, [PermessageDeflate(level=1)], [PermessageDeflate]):
        assert [item.name for item in client_extensions(what)] == ["permessage-deflate"]
    wish = PermessageDeflate(server_no_context_takeover=True)
    assert len(client_extensions([wish])) == 2  # one factory for each offer
    assert [item.name for item in server_extensions([claiming("x-one", RSV.RSV1)])] == ["x-one"]
