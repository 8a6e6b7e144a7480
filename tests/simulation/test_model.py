"""Two sessions against a model: every message arrives once and in order, or the session ended with
a code that says so; nothing grows beyond its bound."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.simulation.__main__ import SCENARIOS, WEATHERS, run
from tests.simulation.codecs import STACKS
from tests.simulation.general import ENDS, SIZES, Program, Side, Step, play
from wsext.testing import World, seeds, simulate

#: Each block of seeds is one test, so that they can be spread over processes.
BLOCK = 100

_RESTS = st.sampled_from((0, 0.01, 1.0))
_SECONDS = st.sampled_from((0.0, 0.001, 0.05, 2.0))
_STEPS = st.one_of(
    st.tuples(st.sampled_from(("send", "send nowait", "cancelled send")), st.sampled_from(SIZES)),
    st.tuples(st.sampled_from(("stream", "burst")), st.sampled_from((0, 1, 4, 40))),
    st.tuples(st.sampled_from(("ping", "flush", "cut")), _SECONDS),
)


async def steps_of(given: asyncio.Queue[Step | None]) -> AsyncIterator[Step]:
    """The steps that are put into a queue, until ``None``."""
    while (step := await given.get()) is not None:
        yield step


class TwoSessions(RuleBasedStateMachine):
    """A client and a server that do what the rules say, beside each other, while time passes.

    The world runs in a thread of its own, which stands still while no rule is at work. At the end
    everything that was sent is compared with what has arrived, and nothing may be left over.
    """

    def __init__(self) -> None:
        super().__init__()
        self.commands: queue.Queue[Callable[[], Awaitable[None]] | None] = queue.Queue()
        self.answers: queue.Queue[BaseException | None] = queue.Queue()
        self.given: dict[str, asyncio.Queue[Step | None]] = {}
        self.sides: list[Side] = []
        self.world: threading.Thread | None = None

    @initialize(
        stack=st.sampled_from(list(STACKS)),
        http2=st.booleans(),
        weather=st.sampled_from(("calm", "mild", "rough")),
        policy=st.sampled_from(("suspend", "close", "drop-oldest")),
        resumes=st.booleans(),
        reading=st.tuples(_RESTS, _RESTS),
        seed=st.integers(0, 1 << 32),
    )
    def begin(self, seed: int, reading: tuple[float, float], **conditions: Any) -> None:
        program = Program(client=(), server=(), reading=reading, **conditions)

        async def scenario(world: World) -> None:
            for name, rest in zip("cs", reading, strict=True):
                self.given[name] = asyncio.Queue()
                self.sides.append(Side(name, rest, steps_of(self.given[name])))
            playing = asyncio.create_task(play(world, program, *self.sides))
            while (command := self.commands.get()) is not None:  # the world stands still
                await command()
                self.answers.put(None)
            for given in self.given.values():
                given.put_nowait(None)
            await playing

        def live() -> None:
            try:
                simulate(scenario, seed, weather=WEATHERS[program.weather])
            except BaseException as error:
                self.answers.put(error)
            else:
                self.answers.put(None)

        self.world = threading.Thread(target=live)
        self.world.start()

    def _tell(self, command: Callable[[], Awaitable[None]] | None) -> None:
        self.commands.put(command)
        error = self.answers.get()
        if error is not None:
            raise error

    @rule(side=st.sampled_from("cs"), step=_STEPS)
    def act(self, side: str, step: Step) -> None:
        async def command() -> None:
            self.given[side].put_nowait(step)

        self._tell(command)

    @rule(side=st.sampled_from("cs"), end=st.sampled_from(ENDS))
    def end(self, side: str, end: str) -> None:
        self.act(side, (end, 0))

    @rule(seconds=_SECONDS)
    def let_time_pass(self, seconds: float) -> None:
        self._tell(lambda: asyncio.sleep(seconds))

    @invariant()
    def bounds_are_kept(self) -> None:
        for side in self.sides:
            side.check_bounds()
            assert not side.findings, side.findings[0]

    @invariant()
    def what_has_arrived_was_sent_and_once(self) -> None:
        for receiver, sender in zip(self.sides, reversed(self.sides), strict=True):
            sent = [message for message, _ in sender.sent]
            assert len(set(receiver.received)) == len(receiver.received), "a message came twice"
            places = [sent.index(message) for message in receiver.received]
            assert places == sorted(places), "a message came out of order"

    def teardown(self) -> None:
        if self.world is not None:
            try:
                if self.world.is_alive():
                    self._tell(None)
            finally:
                self.world.join()


TwoSessions.TestCase.settings = settings(
    max_examples=100,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestTwoSessions = TwoSessions.TestCase


@pytest.mark.parametrize(
    ("scenario", "first"),
    [*(("sessions", first) for first in range(0, 500, BLOCK)), ("rooms", 0)],
)
def test_seeds_keep_to_the_model(scenario: str, first: int) -> None:
    findings = []
    for seed in seeds(BLOCK, first):
        try:
            run(SCENARIOS[scenario](Random(seed)), seed)
        except Exception as error:
            error.add_note(f"python -m tests.simulation --scenario {scenario} --seed {seed}")
            findings.append(error)
    if findings:
        raise ExceptionGroup(f"{len(findings)} of {BLOCK} seeds", findings[:5])
