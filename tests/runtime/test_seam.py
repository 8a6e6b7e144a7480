"""The seam between a session and its connections: a session goes on with another connection."""

from __future__ import annotations

import asyncio
import logging
import zlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest

from tests.resuming import SOON, Cutting, Pair, history, received, small, turns
from tests.waiting import until
from wsext import (
    Codec,
    ConnectionClosed,
    Extension,
    Frame,
    Held,
    Journal,
    Listener,
    MessageCodec,
    Params,
    PreparedMessage,
    Session,
    WebSocketOptions,
    hookimpl,
    testing,
)
from wsext.protocol.agreement import NegotiationContext
from wsext.runtime.life import life_of
from wsext.runtime.sweep import Sweep
from wsext.runtime.turns import turns_of
from wsext.sdk.installed import Installed


class SlowCodec(MessageCodec):
    """As `History`, and asynchronous in both directions; stubborn when it is cancelled."""

    def __init__(self) -> None:
        super().__init__()
        self.crc = {"out": 0, "in": 0}

    async def encode_message(self, data: bytes) -> bytes:
        await self._pause()
        self.crc["out"] = zlib.crc32(data, self.crc["out"])
        return data + self.crc["out"].to_bytes(4, "big")

    async def decode_message(self, data: bytes, budget: int) -> bytes:
        await self._pause()
        self.crc["in"] = zlib.crc32(data[:-4], self.crc["in"])
        assert data[-4:] == self.crc["in"].to_bytes(4, "big")
        return data[:-4]

    async def _pause(self) -> None:
        try:
            await asyncio.sleep(0)
        except asyncio.CancelledError:
            await asyncio.sleep(0)


class Slow(Extension):
    name = "x-slow"

    def make_codec(self, params: Params, ctx: NegotiationContext) -> Codec:
        return SlowCodec()


def slow() -> Sequence[tuple[Extension, Codec]]:
    return [(Slow(), SlowCodec())]


EVERY_STACK = pytest.mark.parametrize(
    "codecs", [tuple, history, slow], ids=["no codec", "a codec", "asynchronous"]
)

# --- messages ---------------------------------------------------------------------------------


@EVERY_STACK
async def test_what_waits_and_what_was_lost_is_sent_by_the_next_connection(codecs: Any) -> None:
    pair = Pair(codecs=codecs)
    await pair.client.send("one")
    assert await pair.server.receive() == "one"
    await pair.client.send("lost on the way")
    await pair.server.send("lost on the way, too")
    await pair.cut()
    pair.server.send_nowait("waits")
    sending = asyncio.create_task(pair.client.send("waits as well"))
    await turns()
    assert not sending.done()
    assert pair.server.is_open
    assert not pair.server.connected
    assert pair.client.buffered_amount >= len("waits as well")

    pair.resume()
    assert pair.server.connected
    assert await received(pair.server, 2) == ["lost on the way", "waits as well"]
    assert await received(pair.client, 2) == ["lost on the way, too", "waits"]
    await sending
    assert (pair.server.resumptions, pair.client.resumptions) == (1, 1)
    assert pair.server.stats.messages_in == 3
    assert pair.server.stats.wire_bytes_in >= pair.server.stats.app_bytes_in > 0
    await pair.close()
    assert pair.server.close_info.code == pair.client.close_info.code == 1000


@pytest.mark.parametrize("side", ["server", "client"])
@pytest.mark.parametrize("codecs", [tuple, history], ids=["no codec", "a codec"])
async def test_a_cut_at_any_byte_loses_and_doubles_nothing(side: str, codecs: Any) -> None:
    """In the frames of messages, in a fragment, and in the acknowledgement of what has come."""
    at, whole = 0, False
    while not whole:
        at += 1
        wire = Cutting(side, at)
        pair = Pair(journals=small(max_messages=4), codecs=codecs, wire=wire)
        here, there = pair.server, pair.client
        if side == "server":
            here, there = there, here
        first = asyncio.create_task(received(here, 1))
        there.send_nowait("acknowledged at once")
        here.send_nowait("ünïcode")
        here.send_nowait(b"last")
        await turns(20)
        whole = not wire.is_cut
        await pair.cut()
        pair.resume()
        there.send_nowait("second")
        assert await received(there, 2) == ["ünïcode", b"last"]
        assert await first == ["acknowledged at once"]
        assert await received(here, 1) == ["second"]
        assert here.stats.messages_in == there.stats.messages_in == 2
        await pair.close()
        assert here.unconfirmed == there.unconfirmed == []
    assert at > 20


async def test_many_cuts_while_both_sides_send(  # the long version is the chaos bench's
) -> None:
    pair = Pair(journals=small(max_messages=16), codecs=history)
    count = 300

    async def say(session: Session) -> None:
        for number in range(count):
            await session.send(f"{session.role} {number}")

    async def hear(session: Session, peer: str) -> None:
        assert await received(session, count) == [f"{peer} {n}" for n in range(count)]

    tasks = [
        asyncio.create_task(work)
        for work in (
            say(pair.server),
            say(pair.client),
            hear(pair.server, "client"),
            hear(pair.client, "server"),
        )
    ]
    cuts = 0
    while not all(task.done() for task in tasks):
        await turns(cuts % 13)
        await pair.cut()
        pair.resume(Cutting("client", 50 + cuts % 31))
        cuts += 1
        await turns(3)
        for journal in pair.journals.values():
            assert journal.acknowledged <= journal.sent
            assert journal.kept_bytes <= 17 * 20
    await asyncio.gather(*tasks)
    assert cuts > 10
    pair.resume()
    await pair.close()


class Batching(Codec):
    """Makes one frame of three messages, and three of one."""

    def __init__(self) -> None:
        self.batch: list[bytes] = []

    def encode(self, frame: Frame) -> Any:
        self.batch.append(bytes(frame.payload))
        if len(self.batch) < 3:
            return ()
        batch, self.batch = self.batch, []
        return Frame(2, b"|".join(batch))

    def decode(self, frame: Frame, budget: int) -> Any:
        return [Frame(1, part) for part in bytes(frame.payload).split(b"|")]


class Batched(Extension):
    name = "x-batched"


async def test_messages_that_travel_together_are_counted_one_by_one() -> None:
    """Also while there is no room for all of them, and while some wait in the codec."""
    options = WebSocketOptions(incoming_capacity=1)
    pair = Pair(options, codecs=lambda: [(Batched(), Batching())])
    numbers = [str(number) for number in range(12)]
    for at in (0, 4, 8):
        for number in numbers[at : at + 4]:
            pair.client.send_nowait(number)
        await turns(10)
        await pair.cut()
        pair.resume()
    assert await received(pair.server, 12) == numbers
    await turns(10)
    assert pair.server.stats.messages_in == 12
    await pair.close()


async def test_a_shared_message_is_held_once_and_counted_for_each() -> None:
    message = PreparedMessage("x" * 1000)
    pair = Pair()
    pair.server.send_nowait(message)
    await pair.cut()
    pair.resume()
    assert await received(pair.client, 1) == ["x" * 1000]
    (kept,) = pair.server.unconfirmed
    assert kept is message.data
    assert pair.journals["server"].kept_bytes == 1000
    await pair.close()


async def test_hints_and_metadata_are_kept() -> None:
    """The next connection may have an extension that wants them."""

    class Hinted(MessageCodec):
        def encode_message(self, data: bytes) -> bytes:
            return repr((dict(self.outgoing_info.hints), dict(self.outgoing_info.meta))).encode()

    class Asking(Extension):
        name = "x-hinted"

    agreed: list[tuple[Extension, Codec]] = []
    pair = Pair(codecs=lambda: agreed)
    await pair.server.send("text", hints={"a": 1}, meta={"b": 2})
    await pair.cut()
    agreed.append((Asking(), Hinted()))
    pair.resume()
    assert await received(pair.client, 1) == ["({'a': 1}, {'b': 2})"]
    await pair.close()


async def test_a_cancelled_send_without_a_connection_is_not_sent() -> None:
    pair = Pair()
    await pair.cut()
    given_up = asyncio.create_task(pair.server.send("given up"))
    kept = asyncio.create_task(pair.server.send("kept"))
    receiving = asyncio.create_task(pair.server.receive())
    await turns()
    given_up.cancel()
    receiving.cancel()
    await turns()
    pair.resume()
    pair.client.send_nowait("for the next receive")
    assert await received(pair.client, 1) == ["kept"]
    await kept
    assert await received(pair.server, 1) == ["for the next receive"]
    await pair.close()


async def test_a_codec_cut_off_in_the_middle_gives_nothing_any_more() -> None:
    """A stubborn one goes on after its connection is gone: neither counts what it makes."""
    pair = Pair(codecs=slow)
    sending = [
        asyncio.create_task(pair.client.send("one")),
        asyncio.create_task(pair.server.send("two")),
    ]
    for _ in range(12):
        await turns(1)
        pair.resume()
    assert await received(pair.server, 1) == ["one"]
    assert await received(pair.client, 1) == ["two"]
    await asyncio.gather(*sending)
    await turns(20)
    assert (pair.server.stats.messages_in, pair.client.stats.messages_in) == (1, 1)
    await pair.close()


async def test_what_interceptors_drop_and_add_does_not_disturb_the_counts() -> None:
    class Meddling:
        @hookimpl
        def wsext_frame_sending(self, frame: Frame) -> Any:
            return {b"drop": (), b"twice": (frame, frame)}.get(bytes(frame.payload))

        @hookimpl
        def wsext_frame_received(self, frame: Frame) -> Any:
            kept = frame.opcode == 8 or (frame.opcode == 1 and frame.payload != b"not this")
            return None if kept else ()

        @hookimpl
        async def wsext_message_received(self, message: str) -> Any:
            await asyncio.sleep(0)
            return message.upper()

    hooks = (Installed(), Installed())
    for installed in hooks:
        installed.register(Meddling())
    pair = Pair(hooks=hooks, journals=small(max_messages=4))
    sent = ["drop", "twice", "not this", "drop", "one", "twice", "two"]
    saying = asyncio.create_task(say_all(pair.server, sent))
    heard = []
    while len(heard) < 6:
        await turns(7)
        pair.resume()
        heard += await received(pair.client, 1)
    assert heard == ["TWICE", "TWICE", "ONE", "TWICE", "TWICE", "TWO"]
    await saying
    await pair.close()


async def say_all(session: Session, messages: Sequence[str]) -> None:
    for message in messages:
        await session.send(message)


# --- a message in fragments -------------------------------------------------------------------


@EVERY_STACK
@pytest.mark.parametrize("passes", [0, 1, 2, 3, 30])
async def test_a_streamed_message_begins_again_and_is_read_on(codecs: Any, passes: int) -> None:
    """Wherever its last fragment is when the connection is lost: also in a codec."""
    pair = Pair(codecs=codecs)
    chunks: asyncio.Queue[str | None] = asyncio.Queue()

    async def source() -> AsyncIterator[str]:
        while (chunk := await chunks.get()) is not None:
            yield chunk

    heard: list[str | bytes] = []

    async def read() -> None:
        async for piece in pair.client.receive_stream():
            heard.append(piece)

    async with asyncio.timeout(SOON):
        await pair.server.send("before")
        sending = asyncio.create_task(pair.server.send(source()))
        assert await pair.client.receive() == "before"
        reading = asyncio.create_task(read())
        for number in range(6):
            chunks.put_nowait(f"ünïcode {number};")
            if number % 2:
                await turns(passes)
                life_of(pair.server).cut_off()
                life_of(pair.client).cut_off()
                if number == 3:
                    chunks.put_nowait("waits;")
                    await turns()
                pair.resume()
        if codecs is tuple:  # the others join the fragments
            await until(lambda: "5;" in "".join(map(str, heard)))
        chunks.put_nowait(None)
        await sending
        await reading
        await pair.cut()
        pair.resume()
        await pair.server.send("after")
        assert await pair.client.receive() == "after"
    assert "".join(map(str, heard)) == (
        "ünïcode 0;ünïcode 1;ünïcode 2;ünïcode 3;waits;ünïcode 4;ünïcode 5;"
    )
    assert pair.client.stats.messages_in == 3
    await pair.close()


@pytest.mark.parametrize("at", range(1, 30))
async def test_a_streamed_message_that_is_cut_at_any_byte_is_read_whole(at: int) -> None:
    """Also in the middle of a character, which the program has not seen then."""
    pair = Pair(wire=Cutting("client", at))
    text = ["é", "ü", "中", "🙂", "z"]

    async def source() -> AsyncIterator[bytes]:
        for chunk in text:
            yield chunk.encode()

    sending = asyncio.create_task(send_text_in_fragments(pair.server, text))
    pieces: list[str | bytes] = []

    async def read() -> None:
        async for piece in pair.client.receive_stream():
            pieces.append(piece)

    reading = asyncio.create_task(read())
    await turns(10)
    await pair.cut()
    pair.resume()
    async with asyncio.timeout(SOON):
        await asyncio.gather(sending, reading)
    assert "".join(map(str, pieces)) == "".join(text)
    await pair.close()


async def send_text_in_fragments(session: Session, text: Sequence[str]) -> None:
    """One fragment for each byte."""
    data = "".join(text).encode()
    for at in range(len(data)):
        await session.send_frame(Frame(0 if at else 1, data[at : at + 1], at == len(data) - 1))


async def test_a_stream_larger_than_what_may_be_kept_is_not_resumed() -> None:
    pair = Pair(journals=small(max_bytes=100))
    finish = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        for _ in range(3):
            yield b"x" * 50
        await finish.wait()

    sending = asyncio.create_task(pair.server.send(source()))
    await turns(10)
    assert not pair.journals["server"].is_resumable
    pair.wire.reset()
    with pytest.raises(ConnectionClosed):
        await pair.server.receive()
    finish.set()
    with pytest.raises(ConnectionClosed):
        await sending
    pair.client.abort()


async def test_a_stream_that_fails_without_a_connection_ends_the_session() -> None:
    """The peer has its beginning, and must not take another message for its rest."""
    pair = Pair()
    fail = asyncio.Event()

    async def source() -> AsyncIterator[bytes]:
        yield b"begun"
        await fail.wait()
        raise LookupError("no more")

    sending = asyncio.create_task(pair.server.send(source()))
    await turns()
    await pair.cut()
    fail.set()
    with pytest.raises(LookupError):
        await sending
    async with asyncio.timeout(SOON):
        info = await pair.server.wait_closed()
    assert "not finished" in str(info.exception)
    pair.client.abort()


# --- bounds -----------------------------------------------------------------------------------


async def test_when_so_much_is_unacknowledged_sending_waits_until_the_program_takes_some() -> None:
    pair = Pair(journals=small(max_messages=8))
    numbers = [str(number) for number in range(20)]
    saying = asyncio.create_task(say_all(pair.server, numbers))
    await turns(50)
    assert not saying.done()
    assert pair.journals["server"].is_full
    assert len(pair.server.unconfirmed) == 8  # the ninth waits, and its sender is told
    await pair.cut()
    pair.resume()
    await turns(50)
    assert not saying.done()
    assert await received(pair.client, 20) == numbers
    await saying
    await pair.close()


@pytest.mark.parametrize("is_listener", [False, True])
async def test_two_sides_that_wait_for_acknowledgements_go_on(is_listener: bool) -> None:
    """The acknowledgement stands behind messages for which there is no room: they are read on."""
    options = WebSocketOptions(incoming_capacity=2)

    class Echo(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(message)

    bounds = iter((4, 16))  # the client has many messages before its acknowledgement
    pair = Pair(
        options,
        journals=lambda: Journal(max_messages=next(bounds)),
        listener=Echo if is_listener else None,
    )

    async def echo() -> None:
        async for message in pair.server:
            await pair.server.send(message)

    echoing = None if is_listener else asyncio.create_task(echo())
    numbers = [str(number) for number in range(100)]
    saying = asyncio.create_task(say_all(pair.client, numbers))
    await turns(60)
    assert not saying.done()  # everything is full
    assert await received(pair.client, 50) == numbers[:50]
    await pair.cut()
    pair.resume()
    assert await received(pair.client, 50) == numbers[50:]
    async with asyncio.timeout(SOON):
        await saying
    await pair.close()
    if echoing is not None:
        await echoing


async def test_two_sides_that_send_much_again_read_meanwhile() -> None:
    """Else both would wait for the other to read."""

    class Answering(Listener):
        def on_message(self, session: Session, message: str | bytes) -> None:
            session.send_nowait(b"y")

    pair = Pair(WebSocketOptions(incoming_capacity=2, outgoing_bytes=20_000), listener=Answering)
    saying = [
        asyncio.create_task(say_all(session, ["x" * 10_000] * 30))
        for session in (pair.server, pair.client)
    ]
    for _ in range(3):
        await turns(3)
        await pair.cut()
        pair.resume()
    assert len(await received(pair.client, 60)) == 60
    await asyncio.gather(*saying)
    await pair.close()


async def test_what_was_not_decoded_is_not_held_without_a_connection() -> None:
    pair = Pair(WebSocketOptions(incoming_capacity=1))
    for _ in range(10):
        pair.client.send_nowait("x" * 1000)
    await turns(10)
    held = Held.of(pair.server)
    assert held.undecoded > 0
    await pair.cut()
    waiting = turns_of(asyncio.get_running_loop()).waiting
    assert 0 < waiting == Held.of(pair.server).inbox + Held.of(pair.client).inbox
    assert Held.of(pair.server).undecoded == 0
    pair.resume()
    assert await received(pair.server, 10) == ["x" * 1000] * 10
    await pair.close()


async def test_a_full_queue_without_a_connection_follows_the_policy() -> None:
    def fill(pair: Pair) -> None:
        for number in range(300):
            pair.server.send_nowait(b"%5d" % number + b"x" * 1000)

    pair = Pair(WebSocketOptions(outgoing_overflow="drop-oldest"))
    await pair.cut()
    fill(pair)
    pair.resume()
    first, *_, last = await received(pair.client, 300 - pair.server.stats.dropped_out)
    assert bytes(first[:5]) > b"  100"  # type: ignore[arg-type]
    assert bytes(last[:5]) == b"  299"  # type: ignore[arg-type]
    await pair.close()

    pair = Pair(WebSocketOptions(outgoing_overflow="close"))
    await pair.cut()
    with pytest.raises(Exception, match="reads too slowly"):
        fill(pair)
    async with asyncio.timeout(SOON):
        assert (await pair.server.wait_closed()).code == 1013
    pair.client.abort()


@pytest.mark.parametrize("held", [60, 64, 1000])
def test_acknowledgements_cost_little_and_do_not_take_long(held: int) -> None:
    """At most a byte for each message of a stream in one direction; a second at the latest."""

    async def scenario(world: testing.World) -> None:
        pair = Pair()
        for _ in range(held):
            await pair.client.send(b"x" * 100)
        before = pair.server.stats
        acks = 0

        def count(direction: str, stage: str, frame: Frame) -> None:
            nonlocal acks
            if (direction, stage, frame.opcode) == ("out", "wire", 0xB):
                acks += 6 + len(frame.payload)

        pair.server.trace(count)
        await received(pair.server, held)
        await asyncio.sleep(1.1)
        assert pair.client.unconfirmed == []
        assert 0 < acks <= held
        assert before.messages_out == pair.server.stats.messages_out == 0
        await asyncio.sleep(5)
        assert acks <= held
        await pair.close()

    testing.simulate(scenario, 1, weather=testing.calm)


def test_who_waits_for_an_acknowledgement_does_not_wait_for_the_clock() -> None:
    """It is sent when the program has taken what was there, though nothing more comes."""

    async def scenario(world: testing.World) -> None:
        pair = Pair(journals=small(max_bytes=1000))
        began = asyncio.get_running_loop().time()
        saying = asyncio.create_task(say_all(pair.client, ["x" * 400] * 50))
        for _ in range(50):
            await received(pair.server, 1)
            await asyncio.sleep(0.001)
        await saying
        assert asyncio.get_running_loop().time() - began < 0.5
        await pair.close()

    testing.simulate(scenario, 1, weather=testing.calm)


def test_a_peer_that_acknowledges_nothing_is_closed_in_time() -> None:
    async def scenario(world: testing.World) -> None:
        pair = Pair(WebSocketOptions(write_timeout=5), journals=small(max_messages=8))
        sweep = Sweep(asyncio.get_running_loop(), Installed(), logging.getLogger(__name__))
        sweep.add(pair.server)
        saying = asyncio.create_task(say_all(pair.server, ["x"] * 20))
        for _ in range(6):  # who is slow is not closed
            await asyncio.sleep(4)
            await received(pair.client, 1)
        assert pair.server.connected
        with pytest.raises(ConnectionClosed):
            await saying
        assert pair.server.close_info.code == 1013
        await pair.server.wait_closed()
        sweep.remove(pair.server)
        sweep.stop()
        pair.client.abort()

    testing.simulate(scenario, 1, weather=testing.calm)


# --- who is told ------------------------------------------------------------------------------


async def test_hooks_and_the_listener_are_told_and_nothing_else_is_noticed() -> None:
    told: list[str] = []

    class Told:
        @hookimpl
        def wsext_session_detached(self, session: Session) -> None:
            told.append(f"hook detached {session.connected}")

        @hookimpl
        def wsext_session_resumed(self, session: Session) -> None:
            told.append(f"hook resumed {session.connected}")

        @hookimpl
        def wsext_session_closed(self, session: Session) -> None:
            told.append("hook closed")

    class Telling(Listener):
        def on_detach(self, session: Session) -> None:
            told.append("detach")
            session.send_nowait("from on_detach")

        def on_resume(self, session: Session) -> None:
            told.append("resume")
            session.send_nowait("from on_resume")

        def on_close(self, session: Session, info: Any) -> None:
            told.append("close")

    installed = Installed()
    installed.register(Told())
    pair = Pair(hooks=(installed, Installed()), listener=Telling)
    await pair.cut()
    pair.resume()
    assert await received(pair.client, 2) == ["from on_detach", "from on_resume"]
    await pair.close()
    assert told == [
        *("detach", "hook detached False", "resume", "hook resumed True"),
        *("close", "hook closed"),
    ]


async def test_request_and_negotiation_are_those_of_the_last_connection() -> None:
    pair = Pair()
    request, negotiation = pair.server.request, pair.server.negotiation
    frames: list[Frame] = []
    pair.server.trace(lambda direction, stage, frame: frames.append(frame))
    await pair.cut()
    pair.resume()
    assert pair.server.request is not request
    assert pair.server.negotiation is not negotiation
    pair.client.send_nowait("traced on")
    await received(pair.server, 1)
    assert b"traced on" in [frame.payload for frame in frames]
    await pair.close()


async def test_pings_flush_and_frames_wait_for_the_next_connection() -> None:
    pair = Pair()
    before = asyncio.create_task(pair.server.ping())
    await asyncio.sleep(0)
    pair.client.hold_reading(10)
    await pair.cut()
    during = asyncio.create_task(pair.server.ping(b"mine"))
    flushing = asyncio.create_task(pair.server.flush())
    framing = asyncio.create_task(pair.server.send_frame(Frame(2, b"whole")))
    await turns()
    assert not any(task.done() for task in (before, during, flushing, framing))
    pair.resume()
    async with asyncio.timeout(SOON):
        await asyncio.gather(before, during, flushing, framing)
    assert await received(pair.client, 1) == [b"whole"]
    assert pair.server.latency is not None
    await pair.close()


# --- the end ----------------------------------------------------------------------------------


async def test_a_failure_ends_a_session() -> None:
    pair = Pair()
    pair.wire.server.write(b"\xff\xff")  # no frame at all
    async with asyncio.timeout(SOON):
        assert (await pair.client.wait_closed()).code == 1002
        await pair.server.wait_closed()


@pytest.mark.parametrize("payload", [b"", b"\x05", b"\x00" * 9, b"\xff" * 8])
async def test_an_acknowledgement_of_what_was_not_sent_ends_a_session(payload: bytes) -> None:
    pair = Pair()
    await pair.client.send_frame(Frame(0xB, payload))
    async with asyncio.timeout(SOON):
        assert (await pair.client.wait_closed()).code == 1002


@EVERY_STACK
async def test_a_closing_handshake_that_is_cut_begins_again(codecs: Any) -> None:
    pair = Pair(codecs=codecs, wire=Cutting("client", 8))
    pair.server.send_nowait("the last words")
    pair.server.close_nowait(1000)
    async with asyncio.timeout(SOON):
        await until(lambda: not (pair.server.connected or pair.client.connected))
        assert not pair.server.is_open
        pair.resume()
        assert await received(pair.client, 1) == ["the last words"]
        assert (await pair.client.wait_closed()).remote == (1000, "")
        assert (await pair.server.wait_closed()).clean


async def test_a_handler_that_returns_without_a_connection_has_its_answer_delivered() -> None:
    pair = Pair()

    async def handler(session: Session) -> None:
        await session.receive()
        await session.send("the answer")

    running = asyncio.create_task(life_of(pair.server).run(handler, pair.server))
    pair.client.send_nowait("question")
    pair.wire.client.abort()
    await turns()
    life_of(pair.server).cut_off()
    await turns()
    pair.resume()
    assert await received(pair.client, 1) == ["the answer"]
    async with asyncio.timeout(SOON):
        await running
    assert (await pair.client.wait_closed()).code == 1000


async def test_what_a_handler_has_not_taken_is_unconfirmed() -> None:
    pair = Pair()

    async def handler(session: Session) -> None:
        await session.receive()

    for number in range(5):
        pair.client.send_nowait(str(number))
    await turns(10)
    await life_of(pair.server).run(handler, pair.server)
    async with asyncio.timeout(SOON):
        await pair.client.wait_closed()
    assert pair.client.unconfirmed == ["1", "2", "3", "4"]


async def test_a_handler_that_fails_without_a_connection_ends_the_session() -> None:
    pair = Pair()
    go_on = asyncio.Event()

    async def handler(session: Session) -> None:
        await go_on.wait()
        raise LookupError("for the test")

    running = asyncio.create_task(life_of(pair.server).run(handler, pair.server))
    await turns()
    await pair.cut()
    go_on.set()
    async with asyncio.timeout(SOON):
        await running
    assert isinstance(pair.server.close_info.exception, LookupError)
    pair.client.abort()


async def test_a_failure_whose_close_frame_is_on_its_way_ends_the_session_with_its_connection() -> (
    None
):
    pair = Pair()

    async def handler(session: Session) -> None:
        raise LookupError("for the test")

    pair.wire.client.pause_reading()
    running = asyncio.create_task(life_of(pair.server).run(handler, pair.server))
    await turns()
    pair.wire.reset()
    async with asyncio.timeout(SOON):
        await running
    assert isinstance(pair.server.close_info.exception, LookupError)
    pair.client.abort()


async def test_a_hook_that_fails_is_logged_and_changes_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        @hookimpl
        def wsext_session_detached(self, session: Session) -> None:
            raise SystemExit("detached")

        @hookimpl
        def wsext_session_resumed(self, session: Session) -> None:
            raise LookupError("resumed")

    installed = Installed()
    installed.register(Failing())
    pair = Pair(hooks=(installed, Installed()))
    await pair.cut()
    pair.resume()
    pair.client.send_nowait("goes on")
    assert await received(pair.server, 1) == ["goes on"]
    assert [record.name for record in caplog.records] == ["wsext.extensions"] * 2
    await pair.close()
