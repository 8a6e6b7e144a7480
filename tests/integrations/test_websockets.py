"""wsext's extensions in plain ``websockets`` servers and clients, on real sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import pytest
import websockets.sync.client
from websockets.asyncio.client import connect as foreign_connect
from websockets.asyncio.server import serve as foreign_serve
from websockets.exceptions import ConnectionClosedError
from websockets.exceptions import NegotiationError as TheirNegotiationError
from websockets.extensions.permessage_deflate import (
    ClientPerMessageDeflateFactory,
    PerMessageDeflate,
    ServerPerMessageDeflateFactory,
)
from wsext_deflate import PermessageDeflate
from wsext_zstd import PermessageZstd

import wsext
from tests.extensions import Append, Mac, Reverse, Slow, Split, claiming, codec_of
from tests.integrations.adapted import WORDS, connecting, echo, port_of, serving, url_of
from tests.raw import raw_peer
from wsext import (
    RSV,
    Agreement,
    Codec,
    Extension,
    Frame,
    MessageCodec,
    NegotiationContext,
    OptionError,
    OptionSet,
    Params,
    Phase,
    PluginError,
    wire,
)
from wsext.integrations.websockets import adaptable, client_extensions, server_extensions

OFFERS = "Sec-WebSocket-Extensions"

MESSAGES = ("text", b"bytes", "", b"", "ünï" * 500, WORDS, b"\x00" * 70_000)


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
    assert client.protocol.close_code == 1000


async def test_a_stack_between_websockets_and_websockets() -> None:
    stack = [Append(suffix="!"), PermessageZstd(level=9), Reverse, "permessage-meta"]
    async with serving(*stack) as server, connecting(url_of(server), *stack) as client:
        # permessage-meta needs RSV3, which x-reverse has got by then.
        assert names(client) == ["x-append", "x-reverse", "permessage-zstd"]
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
        await client.send([WORDS[:100], WORDS[100:]])
        assert await client.recv() == WORDS


async def test_sealed_messages_with_the_bits_of_another_extension() -> None:
    """Both libraries have to see the same bits on a message, or it counts as changed."""
    stack = ["permessage-deflate", Mac]
    app = wsext.App()
    for extension in stack:
        app.install(extension)

    @app.websocket("/")
    async def handler(session: wsext.Session) -> None:
        async for message in session:
            await session.send(message)

    async with (
        serving(*stack) as theirs,
        wsext.serve(app) as ours,
        connecting(ours.url, *stack) as client,
        wsext.connect(url_of(theirs), extensions=stack) as session,
    ):
        assert names(client) == ["permessage-deflate", "x-mac"]
        for message in MESSAGES:
            await client.send(message)
            assert await client.recv() == message
            await session.send(message)
            assert await session.receive() == message
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


class ClosesLater(Codec):
    async def close(self) -> None:
        """Nobody could wait for it."""


class _SlowCodec(MessageCodec):
    async def encode_message(self, data: bytes) -> bytes:  # type: ignore[override]
        return data


class ChoosyOptions(OptionSet):
    slow: Annotated[bool, wire("wait for every message")] = False


class Choosy(Extension):
    """Asynchronous if it is told so."""

    name: ClassVar[str] = "x-choosy"
    phase: ClassVar[Phase] = Phase.SEMANTIC
    Options: ClassVar[type[OptionSet]] = ChoosyOptions
    options: ChoosyOptions

    def offers(self) -> Sequence[Params]:
        return [Params(slow=self.options.slow)]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        slow = offer.flag("slow")
        return Agreement(_SlowCodec() if slow else MessageCodec(), Params(slow=slow))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        return MessageCodec()


class Waits(Extension):
    name: ClassVar[str] = "x-waits"

    async def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        return Agreement(Codec())


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
        (Choosy, None),
        (Choosy(slow=True), "is asynchronous"),
        (codec_of(ClosesLater), "is asynchronous"),
        (Waits, r"negotiates asynchronously \(accept\)"),
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


# --- limits, errors, the end ------------------------------------------------------------------


def test_mappings_and_instances_are_taken_alike() -> None:
    by_name: Mapping[str, Mapping[str, Any]] = {"permessage-deflate": {"level": 1}}
    for what in (by_name, [PermessageDeflate(level=1)], [PermessageDeflate]):
        assert [item.name for item in client_extensions(what)] == ["permessage-deflate"]
    wish = PermessageDeflate(server_no_context_takeover=True)
    assert len(client_extensions([wish])) == 2  # one factory for each offer
    assert [item.name for item in server_extensions([claiming("x-one", RSV.RSV1)])] == ["x-one"]


def test_what_is_adaptable_is_judged_with_the_options_that_are_given() -> None:
    assert adaptable(Choosy, slow=False) is None
    assert adaptable(Choosy, slow=True) == "is asynchronous"
    with pytest.raises(PluginError, match="is asynchronous"):
        client_extensions([Choosy(slow=True)])
    with pytest.raises(OptionError, match="slow"):
        adaptable(Choosy, slower=True)


async def test_a_codec_that_is_asynchronous_only_for_its_peer_is_not_agreed_to() -> None:
    async with (
        serving(Choosy) as server,
        wsext.connect(url_of(server), extensions=[Choosy(slow=True)]) as session,
    ):
        assert session.extensions == ()
        await session.send("hello")
        assert await session.receive() == "hello"


async def test_a_compression_is_never_above_what_has_to_see_its_data() -> None:
    """By the client's offers; and a server does not agree to the other order."""
    async with (
        serving("permessage-deflate", Choosy) as server,
        connecting(url_of(server), "permessage-deflate", Choosy) as client,
    ):
        assert names(client) == ["x-choosy", "permessage-deflate"]
    async with serving("permessage-deflate", Choosy) as server:
        async with raw_peer(port_of(server)) as peer:
            head = await peer.shake(more=f"{OFFERS}: permessage-deflate, x-choosy\r\n")
            assert f"{OFFERS}: permessage-deflate\r\n" in head
        async with raw_peer(port_of(server)) as peer:
            head = await peer.shake(more=f"{OFFERS}: x-choosy, permessage-deflate\r\n")
            assert f"{OFFERS}: x-choosy, permessage-deflate\r\n" in head
