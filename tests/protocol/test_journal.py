"""The counters and the kept messages of a session, against a model of them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.lives import compiled, sources
from tests.resuming import Keeping
from wsext import RSV, Frame, Journal, PreparedMessage, RemoteProtocolError
from wsext.protocol.connection import Connection
from wsext.protocol.pipeline import Pipeline
from wsext.protocol.stage import Stage

LIVES = {"as compiled": compiled, "as source": sources}


@pytest.fixture(params=LIVES, name="make")
def _make(request: pytest.FixtureRequest) -> Any:
    """The class, as it is compiled and as its source."""
    return LIVES[request.param]("wsext.protocol.journal").Journal


def acknowledgement(number: int) -> bytes:
    return number.to_bytes(8, "big")


# --- outgoing ---------------------------------------------------------------------------------


def test_messages_are_numbered_and_kept_until_they_are_acknowledged(make: Any) -> None:
    journal = make()
    prepared = PreparedMessage("shared")
    for data, size in (("text", 4), ("ü", 2), (b"bytes", 5), (prepared, prepared.size)):
        journal.record(data, size)
    assert (journal.sent, journal.acknowledged, journal.kept_bytes) == (4, 0, 17)
    assert journal.unconfirmed() == ["text", "ü", b"bytes", "shared"]
    journal.take_ack(b"\x02")
    assert (journal.sent, journal.acknowledged, journal.kept_bytes) == (4, 2, 11)
    assert journal.unconfirmed() == [b"bytes", "shared"]
    journal.take_ack(acknowledgement(2))
    journal.take_ack(acknowledgement(4))
    assert (journal.kept_bytes, journal.unconfirmed(), journal.acks) == (0, [], 3)


@pytest.mark.parametrize("payload", [b"", b"\x03", b"\x00", bytes(9), b"\xff" * 8, b"\xff" * 125])
def test_an_acknowledgement_that_cannot_be_is_a_protocol_error(make: Any, payload: bytes) -> None:
    journal = make()
    journal.record("a", 1)
    journal.record("b", 1)
    journal.take_ack(b"\x01")
    with pytest.raises(RemoteProtocolError) as caught:
        journal.take_ack(payload)
    assert caught.value.code == 1002
    assert journal.unconfirmed() == ["b"]


def test_it_is_full_by_bytes_or_by_messages(make: Any) -> None:
    journal = make(max_bytes=10, max_messages=3)
    journal.record("x" * 100, 100)  # one message may be larger
    assert journal.is_full
    journal.take_ack(b"\x01")
    assert not journal.is_full
    journal.record("", 0)
    journal.record("", 0)
    assert not journal.is_full
    journal.record("", 0)
    assert journal.is_full
    journal.take_ack(b"\x02")
    assert not journal.is_full


def test_fragments_count_with_the_last_one_and_are_kept_as_one_message(make: Any) -> None:
    journal = make()
    frames = [Frame(1, b"a", False, 0, {"h": 1}), Frame(0, b"b", False), Frame(0, b"c")]
    for number, frame in enumerate(frames):
        journal.record_frame(frame, None)
        journal.begin(frame)
        assert journal.sent == (number == 2)
    journal.record_frame(Frame(9, b"ping"), None)
    assert journal.sent == 1
    assert journal.unconfirmed() == ["abc"]
    assert journal.rewind(0) == 1
    again = journal.next_kept()
    assert (bytes(again.payload), again.fin, again.hints) == (b"abc", True, {"h": 1})


def test_fragments_that_outgrow_the_bound_cannot_be_sent_again(make: Any) -> None:
    journal = make(max_bytes=10)
    for opcode in (2, 0, 0):
        frame = Frame(opcode, b"x" * 4, False)
        journal.record_frame(frame, None)
        journal.begin(frame)
    assert not journal.is_resumable
    journal.record_frame(Frame(0), None)
    journal.begin(Frame(0))
    assert journal.sent == 1
    assert not journal.is_resumable
    assert not journal.can_rewind(1)
    journal.take_ack(b"\x01")
    assert journal.is_resumable
    assert journal.can_rewind(1)


def test_what_the_program_changes_afterwards_changes_nothing_here(make: Any) -> None:
    journal = make()
    payload = bytearray(b"first")
    journal.record_frame(Frame(2, payload), None)
    payload[:] = b"later"
    assert journal.unconfirmed() == [b"first"]


@pytest.mark.parametrize("received", [-1, 1, 5, 1 << 63])
def test_a_number_that_cannot_be_changes_nothing(make: Any, received: int) -> None:
    journal = make()
    for _ in range(4):
        journal.record("x", 1)
    journal.take_ack(b"\x02")
    with pytest.raises(ValueError, match="cannot have received"):
        journal.rewind(received)
    assert (journal.sent, journal.is_behind) == (4, False)


# --- incoming ---------------------------------------------------------------------------------


def test_an_acknowledgement_is_due_by_count_or_by_bytes(make: Any) -> None:
    queue: list[int] = []
    journal = make(max_bytes=1000)
    journal.queue = queue
    for _ in range(63):
        journal.count(1)
    assert not journal.is_ack_due()
    queue.append(0)  # the next one waits
    journal.count(1)
    assert not journal.is_ack_due()
    queue.clear()
    assert journal.is_ack_due()
    assert journal.ack_payload() == b"\x40"
    assert not journal.has_news()
    assert not journal.is_ack_due()
    journal.count(250)
    assert journal.is_ack_due()
    assert journal.ack_payload() == b"\x41"
    queue.append(0)
    journal.count(250)
    assert journal.is_untold()
    assert not journal.is_ack_due()  # it has not been taken


def test_one_that_keeps_few_messages_acknowledges_as_often(make: Any) -> None:
    journal = make(max_messages=8)
    journal.count(1)
    assert not journal.is_ack_due()
    journal.count(1)
    assert journal.is_ack_due()


def test_what_is_taken_never_becomes_less(make: Any) -> None:
    """An interceptor may make three messages of one."""
    queue: list[int] = []
    journal = make()
    journal.queue = queue
    journal.count(1)
    journal.count(1)
    assert journal.taken() == 2
    journal.count(1)
    queue += [1, 2, 3]
    assert journal.taken() == 2


def test_after_a_rewind_the_first_acknowledgement_is_new(make: Any) -> None:
    """The last one may have been lost with the connection."""
    journal = make()
    journal.count(1)
    assert journal.ack_payload() == b"\x01"
    journal.rewind(0)
    assert journal.has_news()
    assert journal.ack_payload() == b"\x01"


# --- two of them, against a model ---------------------------------------------------------------


class Reference:
    """One direction between two sides, as ``docs/resuming.md`` has it."""

    def __init__(self) -> None:
        self.said: list[bytes] = []  # by the program, in order
        self.heard: list[bytes] = []  # by the peer's engine
        self.taken = 0  # by its program
        self.written = 0  # on this connection
        self.told = 0  # the last acknowledgement that has come

    def check(self, sender: Any, receiver: Any) -> None:
        assert self.heard == self.said[: len(self.heard)]
        assert receiver.received == len(self.heard)
        assert sender.sent == self.written
        assert sender.acknowledged == self.told <= self.taken <= len(self.heard)
        assert sender.unconfirmed() == self.said[self.told :]
        assert sender.kept_bytes == sum(map(len, self.said[self.told :]))
        assert sender.is_behind == (self.written < len(self.said))


class TwoSides(RuleBasedStateMachine):
    """Two engines with bytes under way between them, and cuts at any point."""

    def __init__(self) -> None:
        super().__init__()
        self.journals = [Journal(max_messages=8), Journal(max_messages=8)]
        self.inboxes: list[list[bytes]] = [[], []]
        self.models = [Reference(), Reference()]  # of what 0 sends, and of what 1 sends
        for journal, inbox in zip(self.journals, self.inboxes, strict=True):
            journal.queue = inbox
        self.number = 0
        self.connect()

    def connect(self) -> None:
        self.engines = []
        for role, journal in zip(("client", "server"), self.journals, strict=True):
            stage = Stage("x-resumable", Keeping(journal), RSV.NONE, frozenset({journal.opcode}))
            self.engines.append(Connection(role, Pipeline([stage], journal=journal)))
        self.wires = [bytearray(), bytearray()]

    def _write(self, side: int) -> None:
        for chunk in self.engines[side].data_to_send():
            self.wires[side] += chunk

    @rule(side=st.integers(0, 1), size=st.integers(0, 20), parts=st.integers(1, 3))
    def say(self, side: int, size: int, parts: int) -> None:
        """Send a message, perhaps in fragments, unless something else has to go first."""
        if self.journals[side].is_behind or self.journals[side].is_full:
            return
        self.number += 1
        data = b"%d " % self.number + b"x" * size
        engine = self.engines[side]
        if parts == 1:
            engine.send_message(data)
        else:
            for part in range(parts):
                piece = data[part * len(data) // parts : (part + 1) * len(data) // parts]
                engine.send_frame(Frame(0 if part else 2, piece, part == parts - 1))
        self.models[side].said.append(data)
        self.models[side].written += 1
        self._write(side)

    @rule(side=st.integers(0, 1))
    def say_again(self, side: int) -> None:
        if self.journals[side].is_behind:
            self.engines[side].send_again()
            self.models[side].written += 1
            self._write(side)

    @rule(side=st.integers(0, 1), share=st.integers(1, 10))
    def carry(self, side: int, share: int) -> None:
        """Some of the bytes that one side has written reach the other one."""
        wire = self.wires[side]
        size = len(wire) * share // 10
        data = bytes(wire[:size])
        del wire[:size]
        before = self.journals[side ^ 1].acknowledged
        for event in self.engines[side ^ 1].receive_data(data):
            if not isinstance(event, Frame):
                assert isinstance(event.data, bytes)
                self.inboxes[side ^ 1].append(event.data)
                self.models[side].heard.append(event.data)
        after = self.journals[side ^ 1].acknowledged
        assert after >= before
        self.models[side ^ 1].told = after

    @rule(side=st.integers(0, 1), count=st.integers(1, 5))
    def take(self, side: int, count: int) -> None:
        """A program takes messages."""
        taken = self.inboxes[side][:count]
        del self.inboxes[side][:count]
        self.models[side ^ 1].taken += len(taken)

    @rule(side=st.integers(0, 1))
    def acknowledge(self, side: int) -> None:
        self.engines[side].send_ack()
        self._write(side)

    @rule()
    def cut(self) -> None:
        """The connection is lost, and the client comes back."""
        for engine in self.engines:
            engine.lose()
        for side in (0, 1):
            received = self.journals[side ^ 1].received
            assert self.journals[side].rewind(received) == len(self.models[side].said) - received
            self.models[side].written = received
        self.connect()

    @invariant()
    def agrees(self) -> None:
        for side in (0, 1):
            self.models[side].check(self.journals[side], self.journals[side ^ 1])

    def teardown(self) -> None:
        """Undisturbed, everything arrives."""
        for _ in range(4):
            for side in (0, 1):
                while self.journals[side].is_behind:
                    self.say_again(side)
                self.acknowledge(side)
                self.carry(side, 10)
                self.take(side ^ 1, 1000)
        for side in (0, 1):
            assert self.models[side].heard == self.models[side].said
            assert self.journals[side].unconfirmed() == []


TwoSides.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_two_journals_agree_with_the_model_however_they_are_cut = TwoSides.TestCase
