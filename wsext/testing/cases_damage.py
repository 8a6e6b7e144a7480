"""Cases about limits and damage: what a hostile peer or a bad line may send."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import isawaitable
from typing import Any, ClassVar

from wsext.errors import ProtocolError
from wsext.protocol.frames import Frame
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import (
    VICTIMS,
    Victim,
    WireChange,
    changes,
    cuts,
    data_of,
    frames_of,
    garbage,
    noise,
    samples,
    tokens,
)
from wsext.testing.engines import Engines, frames_in, parse_wire

__all__ = ["DamageCases"]

#: Close codes that a codec may fail a connection with.
_CODES = frozenset({1002, 1003, 1007, 1008, 1009, 1011, *range(3000, 5000)})


class DamageCases(EngineCases):
    """What a peer may rely on when the other side is wrong."""

    inflates: ClassVar[bool | None] = None

    # --- limits -------------------------------------------------------------------------------

    def test_the_budget_is_kept(self) -> None:
        """A message that grows beyond the limit fails with 1009, whole or in fragments, and the
        codec does not make much more than its budget before it stops, nor take memory for more."""
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
                    with _memory() as taken:
                        code = receiver.close_code(data)
                    assert code == 1009, (
                        f"{size} bytes against a limit of 100000 gave {code}, not 1009"
                    )
                    assert made() <= 400_000, f"decode made {made()} bytes of a budget of 100000"
                    assert taken() <= 1_000_000 + 2 * len(data), (
                        f"decode took {taken()} bytes of memory to find that {len(data)} bytes "
                        "become more than its budget of 100000: stop decoding at the budget"
                    )
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
        for victim in VICTIMS:
            self._check_survives(victim, cuts)

    def test_damage_is_a_protocol_error(self) -> None:
        """Changed or random bytes end in a message or in a close code, never in another
        exception."""
        for victim in VICTIMS:
            self._check_survives(victim, lambda size: changes(size, near=4))
        for victim in VICTIMS[:2]:
            self._check_survives(victim, lambda size: itertools.chain(garbage(), tokens()))

    def _check_survives(
        self, victim: Victim, happening: Callable[[int], Iterator[WireChange]]
    ) -> None:
        """Decode what became of a message, and check that nothing unforeseen is raised."""
        for change in happening(len(self._encode_one(self.engines(), victim).payload)):
            with self.engines() as engines:
                sent = self._encode_one(engines, victim)
                wrong = change.apply(bytes(sent.payload))
                codec = engines.on_server.agreed[0].codec
                try:
                    frame = Frame(sent.opcode, wrong, True, sent.rsv)
                    made = frames_in(codec.decode(frame, 1 << 20))
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


@contextmanager
def _memory() -> Iterator[Callable[[], int]]:
    """Watch how much memory Python's objects take at most, above what they took before."""
    is_mine = not tracemalloc.is_tracing()
    if is_mine:
        tracemalloc.start()
    before, _ = tracemalloc.get_traced_memory()
    tracemalloc.reset_peak()
    peak = before
    try:
        yield lambda: peak - before
        _, peak = tracemalloc.get_traced_memory()
    finally:
        if is_mine:
            tracemalloc.stop()


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
