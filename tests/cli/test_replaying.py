"""A recorded session once more, in simulated time: what is sent when, and what is waited for."""

from __future__ import annotations

import asyncio
from collections import Counter

from wsext_capture import Recording

from tests.cli.recordings import BEGIN, an_hour, recording
from wsext import App, Session, testing
from wsext.cli.comparing import Answer
from wsext.cli.replaying import Played, Timing, play

app = App()
heard: list[tuple[float, str | bytes]] = []


@app.websocket("/echo")
async def echo(session: Session) -> None:
    async for message in session:
        heard.append((asyncio.get_running_loop().time(), message))
        await session.send(message)


@app.websocket("/slow")
async def slow(session: Session) -> None:
    async for message in session:
        heard.append((asyncio.get_running_loop().time(), message))
        await asyncio.sleep(0.5)
        await session.send(message)


@app.websocket("/deaf")
async def deaf(session: Session) -> None:
    async for message in session:
        heard.append((asyncio.get_running_loop().time(), message))


@app.websocket("/brief")
async def brief(session: Session) -> None:
    await session.receive()
    await session.close(4000, "enough")


def replay(
    recorded: Recording, path: str = "/echo", speed: float = 1.0, wait: float = 1.0
) -> tuple[Played, float]:
    """What has become of a session, and how long it took."""
    played: list[tuple[Played, float]] = []
    heard.clear()

    async def scenario(world: testing.World) -> None:
        server = await world.serve(app)
        clock = asyncio.get_running_loop().time
        start = clock()
        timing = Timing(BEGIN, start, speed, wait)
        played.append((await play(recorded, world.connect(server, path), timing), clock() - start))

    testing.simulate(scenario, 1)
    return played[0]


def verdicts(played: Played) -> Counter[str]:
    """How many answers are the same, differ, are missing and are new."""
    counts: Counter[str] = Counter()
    for one, other in played.pairs():
        if one is None or other is None:
            counts["missing" if other is None else "extra"] += 1
        else:
            counts["same" if one.is_like(other) else "different"] += 1
    return counts


def test_an_hour_takes_a_minute_and_every_frame_is_accounted_for() -> None:
    hour = an_hour(every=5)
    played, took = replay(hour, speed=60)
    assert 60 <= took < 61
    by_client = [frame for frame in hour.frames if frame.by_client]
    pongs = [frame for frame in by_client if frame.opcode == 10]
    assert (played.sent, played.left, played.unsent) == (len(by_client) - 180, 180, 0)
    assert len(pongs) == 180
    # The server's pings are its connection's own; all else it has sent is an answer.
    answers = [frame for frame in hour.frames if not frame.by_client and frame.opcode != 9]
    assert verdicts(played) == {"same": len(answers)}
    assert len(answers) == 180 * 3 + 1


def test_frames_are_sent_at_their_times() -> None:
    frames = [(number * 2.0, "c", 1, True, b"%d" % number) for number in range(4)]
    replay(recording(*frames), speed=4)
    begun = heard[0][0]
    gaps = [round(time - begun, 1) for time, _ in heard]
    assert gaps == [0.0, 0.5, 1.0, 1.5]


def test_what_followed_an_answer_waits_for_it() -> None:
    frames = [
        (0, "c", 1, True, b"login"),
        (0.1, "s", 1, True, b"login"),
        (0.2, "c", 1, True, b"go"),
    ]
    replay(recording(*frames), "/slow", speed=float("inf"))
    assert heard[1][0] - heard[0][0] >= 0.5


def test_what_does_not_come_is_waited_for_once() -> None:
    frames = [(0.0, "s", 1, True, b"never")]
    frames += [(1.0, "c", 1, True, b"%d" % number) for number in range(5)]
    played, took = replay(recording(*frames), "/deaf", speed=float("inf"), wait=2)
    assert (played.sent, verdicts(played)) == (5, {"missing": 1})
    assert 2 <= took < 3


def test_what_differs_is_found() -> None:
    frames = [(0, "c", 1, True, b"a"), (0, "c", 2, True, b"b"), (0, "s", 1, True, b"A")]
    played, _ = replay(recording(*frames, (9, "s", 2, True, b"b")))
    assert next(played.pairs()) == (Answer("text", b"A", 1), Answer("text", b"a", 1))
    assert verdicts(played) == {"different": 1, "same": 1}


def test_pings_with_the_same_payload_each_have_a_pong() -> None:
    pings = [(at, side, op, True, b"x") for at in (0, 1, 2) for side, op in (("c", 9), ("s", 10))]
    played, _ = replay(recording(*pings, (2, "c", 9, True, b"x"), end=3))
    assert (played.sent, verdicts(played)) == (4, {"same": 3})


def test_a_server_that_ends_the_session_is_a_difference() -> None:
    frames = [(number, "c", 1, True, b"more") for number in range(3)]
    played, _ = replay(recording(*frames, end=4), "/brief")
    assert (played.sent, played.unsent) == (1, 2)
    assert list(played.pairs()) == [(None, Answer("close", b"\x0f\xa0enough", 8))]


def test_of_a_recording_without_close_frames_only_the_code_is_compared() -> None:
    ended = recording((0, "c", 1, True, b"more"), end=1)
    ended.code = 4000
    assert not list(replay(ended, "/brief")[0].pairs())
    ended.code = 4001
    assert verdicts(replay(ended, "/brief")[0]) == {"extra": 1}


def test_the_servers_close_frame_is_compared() -> None:
    frames = [(0, "c", 1, True, b"more"), (1, "s", 8, True, b"\x0f\xa1enough")]
    played, _ = replay(recording(*frames, (1, "c", 8, True, b"\x0f\xa1"), end=1), "/brief")
    assert (played.sent, played.left) == (1, 1)
    assert verdicts(played) == {"different": 1}


def test_a_connection_that_was_lost_is_lost_again() -> None:
    lost = recording((0, "c", 1, True, b"x"), (0, "s", 1, True, b"x"), end=3)
    lost.code = 1006
    played, took = replay(lost)
    assert verdicts(played) == {"same": 1}
    assert 3 <= took < 3.5


def test_a_message_of_which_only_the_beginning_was_recorded_is_compared_with_that() -> None:
    cut = recording((0, "c", 1, True, b"12345"), (0, "s", 1, True, b"12"), end=1)
    cut.frames[1].size = 5
    assert verdicts(replay(cut)[0]) == {"same": 1}
