"""What is fuzzed: a function of bytes each, which returns whatever the bytes are.

A target raises nothing but `AssertionError`, and that only for a fault of wsext: an exception that
is not documented, a limit that is passed, an outcome that depends on how the bytes were cut.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from wsext_deflate.backends import installed as backend_installed
from wsext_deflate.codec import DeflateCodec, LiveCompressors, Settings

from wsext import (
    RSV,
    Frame,
    HandshakeRejected,
    InvalidHandshake,
    InvalidStatus,
    NegotiationContext,
    NegotiationError,
    RemoteProtocolError,
)
from wsext.protocol import handshake
from wsext.protocol.closing import CloseCode
from wsext.protocol.connection import Connection
from wsext.protocol.frames import Message
from wsext.protocol.http import RequestReader, ResponseReader
from wsext.protocol.negotiation import confirm, make_offers, negotiate, offers_header, parse_offers
from wsext.protocol.pipeline import Pipeline, Stage
from wsext.protocol.wire import FrameParser, frame_header
from wsext.sdk.installed import Installed, make_pipeline

__all__ = ["TARGETS"]

#: What a received frame or message may have; small, so that limits are met early.
LIMIT = 4096


class Source:
    """Takes choices off the front of a target's bytes; what is left is the material."""

    def __init__(self, data: bytes) -> None:
        self.rest = data

    def byte(self) -> int:
        value = self.rest[0] if self.rest else 0
        self.rest = self.rest[1:]
        return value

    def cuts(self) -> Iterator[bytes]:
        """The rest in pieces; the sizes come from a seed that the data gives."""
        seed = self.byte()
        data, at = self.rest, 0
        while at < len(data):
            size = 1 + seed % 97 if seed & 1 else len(data)
            yield data[at : at + size]
            at += size
            seed = (seed * 73 + 41) & 0xFF


# --- frames -----------------------------------------------------------------------------------

_WIRE_CODES = {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG}


def _parse(chunks: list[bytes], in_place: bool, **options: Any) -> tuple[list[Frame], int | None]:
    parser, frames = FrameParser(max_size=LIMIT, **options), []
    try:
        for chunk in chunks:
            while in_place and chunk and (room := parser.room()) is not None:
                size = min(len(room), len(chunk))
                room[:size] = chunk[:size]
                parser.advance(size)
                parser.feed(b"", frames)
                chunk = chunk[size:]
            parser.feed(chunk, frames)
    except RemoteProtocolError as error:
        assert error.code in _WIRE_CODES
        return frames, error.code
    return frames, None


def _back_to_bytes(frames: list[Frame]) -> bytes:
    return b"".join(
        frame_header(frame.opcode, len(frame.payload), frame.fin, frame.rsv, False)
        + bytes(frame.payload)
        for frame in frames
    )


def wire(data: bytes) -> None:
    """Frames: cutting changes nothing, limits hold, what was parsed is written and parsed alike;
    and a connection takes the same bytes without an exception."""
    source = Source(data)
    choice = source.byte()
    bits = {"rsv_first": 0x70, "rsv_rest": 0x40, "rsv_control": 0x10} if choice & 1 else {}
    options: dict[str, Any] = {"masked": bool(choice & 2), **bits}
    if choice & 4:
        options["opcodes"] = frozenset({3, 11})
    chunks = list(source.cuts())
    whole = b"".join(chunks)
    outcome = _parse([whole], False, **options)
    assert _parse(chunks, bool(choice & 8), **options) == outcome
    frames, _ = outcome
    assert all(len(frame.payload) <= LIMIT for frame in frames)
    options["masked"] = False
    assert _parse([_back_to_bytes(frames)], False, **options) == (frames, None)
    _connection(chunks, "server" if choice & 2 else "client", raw=bool(choice & 16))


def _connection(chunks: list[bytes], role: str, raw: bool) -> None:
    connection = Connection(role, Pipeline(max_message_size=LIMIT), max_message_size=LIMIT, raw=raw)
    for chunk in chunks:
        for event in connection.receive_data(chunk):
            if isinstance(event, Message):
                assert event.size <= LIMIT
                assert len(event.data) <= LIMIT
        assert connection.held_bytes <= LIMIT
    sent = b"".join(bytes(part) for part in connection.data_to_send())
    answers, error = _parse([sent], False, masked=role == "client")
    assert error is None, "what a connection answers is well-formed"
    failed = connection.failure is not None
    assert failed == (connection.state.name == "FAILED")
    if failed:
        assert answers[-1].opcode == 8, "a fault is answered with a Close frame"


# --- handshakes -------------------------------------------------------------------------------


def _request(chunks: list[bytes]) -> Any:
    reader = RequestReader(max_size=2048, max_count=20)
    try:
        for chunk in chunks:
            if (request := reader.feed(chunk)) is not None:
                return request
    except HandshakeRejected as error:
        assert 400 <= error.status < 500
        return error.status
    return None


def _response(chunks: list[bytes]) -> Any:
    reader = ResponseReader()
    try:
        for chunk in chunks:
            if (response := reader.feed(chunk)) is not None:
                return response.status_code, list(response.headers.raw_items())
        if (response := reader.feed_eof()) is not None:
            return response.status_code, list(response.headers.raw_items())
    except InvalidHandshake:
        return "invalid"
    return None


def head(data: bytes) -> None:
    """Requests to a server and responses to a client: only documented errors, whatever the cuts;
    every property of a request can be asked for."""
    source = Source(data)
    is_request = source.byte() & 1
    chunks = list(source.cuts())
    whole = b"".join(chunks)
    if not is_request:
        first, second = _response([whole]), _response(chunks)
        assert first == second
        _check_response(whole)
        return
    request, again = _request([whole]), _request(chunks)
    assert type(request) is type(again), "cutting changes nothing"
    if request is None or isinstance(request, int):
        return
    assert list(request.headers.raw_items()) == list(again.headers.raw_items())
    _ask_everything(request)


def _ask_everything(request: Any) -> None:
    _ = (request.path, request.query, request.cookies, request.origin, request.host)
    _ = (request.subprotocols, request.is_upgrade, request.query_lists)
    fields = list(request.headers.raw_items())
    request.pack()
    assert list(request.headers.raw_items()) == fields, "packed headers come back as they were"
    for check in (
        handshake.check_upgrade,
        handshake.offered_subprotocols,
        lambda request: handshake.check_origin(request, ["same"]),
    ):
        try:
            check(request)
        except HandshakeRejected as error:
            assert 400 <= error.status <= 501
    try:
        offers = parse_offers(request.headers.get_all("Sec-WebSocket-Extensions"))
    except NegotiationError:
        return
    negotiate(offers, _EXTENSIONS, _SERVER).close()


def _check_response(data: bytes) -> None:
    reader = ResponseReader()
    asked = handshake.build_request("localhost", "/", subprotocols=["chat"])
    try:
        response = reader.feed(data) or reader.feed_eof()
        if response is not None:
            handshake.check_response(asked, response, ["chat"])
    except (InvalidHandshake, InvalidStatus):
        pass


# --- negotiation ------------------------------------------------------------------------------


def _extensions() -> tuple[Any, ...]:
    installed = Installed()
    for name in (
        "permessage-deflate",
        "permessage-zstd",
        "permessage-checksum",
        "permessage-meta",
        "permessage-fragment",
    ):
        installed.install(name)
    return installed.extensions


_EXTENSIONS = _extensions()
_SERVER, _CLIENT = (NegotiationContext(role, LIMIT) for role in ("server", "client"))


def negotiation(data: bytes) -> None:
    """Offers and answers: a server declines what is wrong and never raises; what it agrees to, a
    client can read; a client takes an answer or says what is wrong with it."""
    source = Source(data)
    choice = source.byte()
    values = [value.decode("latin-1") for value in source.rest.split(b"\n")]
    try:
        offers = parse_offers(values)
    except NegotiationError:
        offers = []  # the handshake fails
    assert len(offers) <= 33
    outcome = negotiate(offers, _EXTENSIONS, _SERVER, prefer="server" if choice & 1 else "client")
    try:
        assert len(outcome.records) == len(offers)
        assert not any("failed" in record.reason for record in outcome.records)
        claimed = RSV.NONE
        for agreed in outcome.agreed:
            assert not claimed & agreed.extension.rsv, "no bit is handed out twice"
            claimed |= agreed.extension.rsv
        if outcome.header is not None:
            read = parse_offers([outcome.header])
            assert [offer.name for offer in read] == [agreed.name for agreed in outcome.agreed]
            assert all(offer.problem is None for offer in read)
        _use(outcome)
    finally:
        outcome.close()
    own = make_offers(_EXTENSIONS)
    assert parse_offers([offers_header(own) or ""]) == own
    try:
        confirm(own, values, _EXTENSIONS, _CLIENT).close()
    except NegotiationError as error:
        assert error.problem


def _use(outcome: Any) -> None:
    """A message survives whatever was agreed."""
    pipeline = make_pipeline(outcome, LIMIT)
    frames = pipeline.encode(Frame(1, b"a message " * 20))
    assert frames


# --- permessage-deflate -----------------------------------------------------------------------

_BACKENDS = [name for name in ("zlib", "zlib-ng", "isal") if backend_installed(name) is not None]
_LIVE = LiveCompressors(2)


def deflate(data: bytes) -> None:
    """Compressed messages: hostile ones end in 1007 or 1009 within the limit, on every backend;
    honest ones come back as they were, however they are fragmented."""
    source = Source(data)
    choice, budget = source.byte(), 1 + 16 * source.byte()
    chunks = list(source.cuts())
    for backend in _BACKENDS:
        settings = Settings(
            backend=backend,
            own_bits=9 + choice % 7,
            peer_bits=9 + choice % 7,
            own_reset=bool(choice & 8),
            peer_reset=bool(choice & 16),
        )
        _decode_hostile(DeflateCodec(settings, _LIVE), chunks, budget)
        _round_trip(settings, chunks)


def _decode_hostile(codec: DeflateCodec, chunks: list[bytes], limit: int) -> None:
    stage = Stage("permessage-deflate", codec, RSV.RSV1)
    pipeline = Pipeline([stage], max_message_size=limit)
    last = len(chunks) - 1
    size = 0
    try:
        for number, chunk in enumerate(chunks):
            first = 0 if number else 1
            frame = Frame(first, chunk, number == last, 0 if number else RSV.RSV1)
            for out in pipeline.decode(frame):
                size += len(out.payload)
                assert out.rsv == 0
            assert size <= limit
    except RemoteProtocolError as error:
        assert error.code in (CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG), error
    finally:
        pipeline.close()


def _round_trip(settings: Settings, chunks: list[bytes]) -> None:
    here, there = DeflateCodec(settings, _LIVE), DeflateCodec(settings, _LIVE)
    last = len(chunks) - 1
    try:
        for number, chunk in enumerate(chunks):
            frame = Frame(0 if number else 2, chunk, number == last)
            got = there.decode(here.encode(frame), 1 << 20)
            assert isinstance(got, Frame)
            assert bytes(got.payload) == chunk
    finally:
        here.close()
        there.close()


TARGETS: dict[str, Callable[[bytes], None]] = {
    "wire": wire,
    "handshake": head,
    "negotiation": negotiation,
    "deflate": deflate,
}
