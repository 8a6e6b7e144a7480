"""Cases about limits and damage: what a hostile peer or a bad line may send."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from inspect import isawaitable
from typing import Any, ClassVar, NamedTuple

from wsext.errors import ProtocolError
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import (
    SIMILAR,
    Change,
    changes,
    cuts,
    data_of,
    frames_of,
    garbage,
    noise,
    samples,
    tokens,
)
from wsext.testing.engines import MASK, Engines, decoded, messages_of, parse_wire, write_wire

__all__ = ["DamageCases"]

#: Close codes that a codec may fail a connection with.
_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1011, *range(3000, 5000)})


class Victim(NamedTuple):
    """A message that is damaged, and the one that was sent before it."""

    opcode: int
    payload: bytes
    before: bytes = b""

    @property
    def data(self) -> str | bytes:
        """As an application gets it."""
        return data_of(self.opcode, self.payload)


#: Short ones of which every byte counts, one that follows another like it, one that compresses well
#: and is long enough for any threshold, and one that does not compress.
_VICTIMS = tuple(
    Victim(opcode, *data)
    for opcode in (1, 2)
    for data in (
        (b"hello, hello, hello",),
        (SIMILAR[2], SIMILAR[0]),
        (SIMILAR[0] * 40,),
        (noise(300),),
        (b"",),
    )
)
#: Messages that are replayed and put out of order.
_SERIES = (b"first", b"second", b"third")


class DamageCases(EngineCases):
    """What a peer may rely on when the other side is wrong."""

    inflates: ClassVar[bool | None] = None

    # --- limits -------------------------------------------------------------------------------

    def test_the_budget_is_kept(self) -> None:
        """A message that grows beyond the limit fails with 1009, whole or in fragments, and the
        codec does not make much more than its budget before it stops."""
        size = 2_000_000
        grows = False
        for opcode in (1, 2):
            with self.engines() as engines:
                wire = self._send(engines, "client", [Frame(opcode, b"a" * size)])
            if self.inflates is False or (self.inflates is None and len(wire) > size // 2):
                continue
            grows = True
            for places in ([], [100_000], [1, 10, 500_000]):
                with self.engines() as sender, self.engines(limit=100_000) as receiver:
                    data = self._send(sender, "client", frames_of(opcode, b"a" * size, places))
                    made = _measure(receiver)
                    code = receiver.close_code(data)
                    assert code == 1009, (
                        f"{size} bytes against a limit of 100000 gave {code}, not 1009"
                    )
                    assert made() <= 400_000, f"decode made {made()} bytes of a budget of 100000"
        if not grows:
            skip("its messages do not grow when they are decoded")

    def test_the_budget_is_enough(self) -> None:
        """Messages of exactly the limit pass, one after the other."""
        for opcode, payload in samples("text and binary", (noise(10_000), b"a" * 10_000)):
            with self.engines(limit=10_000) as engines:
                for places in ((), (), (4000,), (0, 9_999)):
                    frames = frames_of(opcode, payload, places)
                    self._check_passes(engines, "client", frames, data_of(opcode, payload))

    def test_the_bound_of_encoding_holds(self) -> None:
        """No message is encoded to more than `encoded_bound` allows: the peer would refuse it."""
        for size in (0, 1, 100, 5000, 70_000):
            for opcode, payload in samples("text and binary", (noise(size), b"a" * size)):
                with self.engines() as engines:
                    bound = engines.on_client.agreed[0].codec.encoded_bound(size)
                    data = self._send(engines, "client", [Frame(opcode, payload)])
                    total = sum(len(frame.payload) for frame in parse_wire(data, masked=True))
                    assert total <= bound, (
                        f"{size} bytes became {total}; encoded_bound says {bound}"
                    )

    # --- damage -------------------------------------------------------------------------------

    def test_cut_off_messages(self) -> None:
        """A message that is cut off, at whatever byte, ends in a message or in a close code, never
        in another exception."""
        for victim in _VICTIMS:
            self._check_survives(victim, cuts)

    def test_damage_is_a_protocol_error(self) -> None:
        """Changed or random bytes end in a message or in a close code, never in another
        exception."""
        for victim in _VICTIMS:
            self._check_survives(victim, lambda size: changes(size, near=4))
        for victim in (_VICTIMS[0], _VICTIMS[-1]):
            self._check_survives(victim, lambda size: itertools.chain(garbage(), tokens()))

    def _check_survives(self, victim: Victim, happening: Callable[[int], Iterator[Change]]) -> None:
        """Decode what became of a message, and check that nothing unforeseen is raised."""
        for change in happening(len(self._encode(self.engines(), victim).payload)):
            with self.engines() as engines:
                sent = self._encode(engines, victim)
                wrong = change.apply(bytes(sent.payload))
                codec = engines.on_server.agreed[0].codec
                try:
                    frame = Frame(sent.opcode, wrong, True, sent.rsv)
                    made = engines.finish(decoded(codec, frame, 1 << 20))
                except ProtocolError as error:
                    assert error.code in _CODES, f"damage gave the close code {error.code}"
                    continue
                except ValueError:
                    continue  # the core makes 1007 of it
                except Exception as error:
                    raise AssertionError(
                        f"a message that {change.what} ({wrong!r:.40}) made decode raise "
                        f"{type(error).__name__}: {error}; raise RemoteProtocolError (1002, 1007 "
                        "or 1009) or ValueError"
                    ) from error
                for item in made:
                    assert isinstance(item, Frame), f"decode returned {item!r}"

    def _encode(self, engines: Engines, victim: Victim) -> Frame:
        """Send what comes before a message, and encode that message: as one frame of the wire."""
        if victim.before:
            self._check_message(engines, "client", victim.opcode, victim.before)
        data = self._send(engines, "client", [Frame(victim.opcode, victim.payload)])
        frames = parse_wire(data, masked=True)
        assert frames, f"nothing was sent of {victim.payload!r:.40}"
        payload = b"".join(bytes(frame.payload) for frame in frames)
        return frames[0].replace(payload=payload, fin=True)

    # --- integrity ----------------------------------------------------------------------------

    def test_corruption_is_detected(self) -> None:
        """Where it promises integrity: no message comes out other than it went in. What was
        changed, cut off or made up is refused."""
        self._needs_integrity()
        for victim in _VICTIMS:
            size = len(self._encode(self.engines(), victim).payload)
            for change in (*changes(size, near=24), *cuts(size), *garbage()):
                with self.engines() as engines:
                    sent = self._encode(engines, victim)
                    wrong = sent.replace(payload=change.apply(bytes(sent.payload)))
                    if wrong.payload != sent.payload:
                        self._check_refused(engines, wrong, change.what, victim.data)

    def test_unmarked_messages_are_refused(self) -> None:
        """Where it promises integrity: nobody gets a message past it by leaving out its bit."""
        self._needs_integrity()
        if not self.make().rsv:
            skip("it claims no reserved bit, so every message is its own")
        for victim in _VICTIMS:
            with self.engines() as engines:
                self._encode(engines, victim)
                plain = Frame(victim.opcode, victim.payload or b"plain")
                self._check_refused(engines, plain, "has no mark (see `mandatory`)")
            with self.engines() as engines:
                bare = self._encode(engines, victim).replace(rsv=0)
                self._check_refused(engines, bare, "has lost its mark (see `mandatory`)")

    def test_replay_is_detected(self) -> None:
        """Where it promises so: a message that comes twice, too early, after one that is missing,
        from another connection or back to its sender is refused."""
        if not self.promises("detects_replay"):
            skip("it does not promise to notice replay (detects_replay)")
        for sender, opcode in itertools.product(("client", "server"), (1, 2)):
            for how, order in {
                "came twice": (0, 0),
                "came again, right after it": (0, 1, 1),
                "came again later": (0, 1, 2, 0),
                "overtook another one": (1,),
                "came while the one before it is missing": (0, 2),
            }.items():
                with self.engines() as engines:
                    sent = self._series(engines, sender, opcode)
                    for number in order[:-1]:
                        expected = data_of(opcode, _SERIES[number])
                        self._check_arrives(engines, sender, sent[number], expected)
                    self._check_not_taken(engines, sender, sent[order[-1]], how)
            for number in (0, 1):
                with self.engines() as engines, self.engines() as other:
                    sent = self._series(engines, sender, opcode)
                    foreign = self._series(other, sender, opcode)
                    for earlier in range(number):
                        expected = data_of(opcode, _SERIES[earlier])
                        self._check_arrives(engines, sender, sent[earlier], expected)
                    how = "is of another connection"
                    self._check_not_taken(engines, sender, foreign[number], how)
            with self.engines() as engines:
                sent = self._series(engines, sender, opcode)
                back, mask = ("server", b"") if sender == "client" else ("client", MASK)
                frames = parse_wire(sent[0], masked=sender == "client")
                self._check_not_taken(engines, back, write_wire(frames, mask), "came back")

    def _series(self, engines: Engines, sender: str, opcode: int) -> list[bytes]:
        """Messages that one side has sent, each as it is on the wire; none has arrived yet."""
        return [self._send(engines, sender, frames_of(opcode, data)) for data in _SERIES]

    def _needs_integrity(self) -> None:
        if not self.promises("detects_corruption"):
            skip("it promises no integrity (detects_corruption)")

    def _check_refused(
        self, engines: Engines, frame: Frame, how: str, sent: str | bytes | None = None
    ) -> None:
        """Check that the server does not take a frame, unless it comes out as it was sent: a bit
        that nobody reads, such as padding, may change without harm."""
        self._check_not_taken(engines, "client", write_wire([frame], MASK), how, sent)

    def _check_not_taken(
        self, engines: Engines, sender: str, data: bytes, how: str, sent: str | bytes | None = None
    ) -> None:
        try:
            got = messages_of(engines.finish(engines.receive(sender, data)))
        except ProtocolError:
            return
        if sent is None or got != [sent]:
            came = f"and came as {got[0]!r:.40}" if got else "and nothing was said about it"
            raise AssertionError(f"a message that {how} was taken, {came}")


def _measure(engines: Engines) -> Callable[[], int]:
    """Watch how much the server's codec makes in one call at most, also when it then raises."""
    made = [0]
    for stage in engines.server.pipeline.stages:
        inner = stage.decode

        def decode(frame: Frame, budget: int, inner: Any = inner) -> Any:
            result = inner(frame, budget)
            if isinstance(result, Frame):
                made[0] = max(made[0], len(result.payload))
            elif not isawaitable(result):
                result = list(result)
                made[0] = max([made[0], *(len(item.payload) for item in result)])
            return result

        stage.decode = decode
    return lambda: made[0]
