"""Cases about messages to a group that are encoded once, with a memory: `make_history`."""

from __future__ import annotations

from collections.abc import Iterator

from wsext.protocol.contexts import SharedContext
from wsext.protocol.frames import Frame
from wsext.protocol.prepared import PreparedMessage
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import FAR, SIMILAR, data_of, noise, samples
from wsext.testing.engines import Engines

__all__ = ["HistoryCases"]

#: What a group is told: alike, far apart, empty, noise twice.
_TOLD = (*SIMILAR[:6], FAR, b"", SIMILAR[0] * 40, FAR, noise(30), noise(30), *SIMILAR[3:7])

#: Messages in which one that remembers finds more than one that does not.
_ALIKE = tuple(SIMILAR[0].replace(b"1000001", b"%07d" % number) for number in range(24))


class HistoryCases(EngineCases):
    """What a server may rely on that encodes the messages to a group with one history."""

    def test_a_history_fits_whoever_has_had_all_of_it(self) -> None:
        """With equal share keys and `has_history`, every connection follows a history from its
        first message, whatever it has sent before, and whatever is sent uncompressed between."""
        for group, what in self._groups():
            for opcode, payload in samples("text and binary", _TOLD[:4]):
                self._check_message(group[1], "server", opcode, payload, f"{what}, before: ")
            context = SharedContext()
            for opcode, payload in samples("text and binary", _TOLD):
                self._tell(group, context, opcode, payload, what)
                self._tell_alone(group[1], b"to you alone", what, compress=False)

    def test_a_history_fits_who_comes_late_and_misses_some(self) -> None:
        """A connection that is not sent all messages of a history, or others between, still gets
        every one that it is sent."""
        for group, what in self._groups():
            context = SharedContext()
            for turn, (opcode, payload) in enumerate(samples("text and binary", _TOLD * 3)):
                if turn % 7 == 6:
                    self._tell_alone(group[turn % 2], payload[:100], what, compress=True)
                there = [one for at, one in enumerate(group) if (turn + at) % 11 and turn >= 3 * at]
                self._tell(there, context, opcode, payload, what)

    def test_a_history_outlives_its_connection(self) -> None:
        """A history goes on after the connection has ended whose codec has made it."""
        context = SharedContext()
        with self.engines() as maker, self.engines() as other:
            if maker.server.pipeline.history_key is None:
                skip("it has no shared histories (has_history)")
            for turn, (opcode, payload) in enumerate(samples("text and binary", _TOLD)):
                if turn == 3:
                    maker.close()
                there = [maker, other] if turn < 3 else [other]
                self._tell(there, context, opcode, payload, "two connections with the defaults")

    def test_histories_know_nothing_of_each_other(self) -> None:
        """The first message of each history refers to nothing before it."""
        for group, what in self._groups():
            for opcode, payload in samples("text and binary", (SIMILAR[0], SIMILAR[0], FAR, FAR)):
                for engines in group:  # each is sent one half of what a codec encodes
                    self._tell([engines], SharedContext(), opcode, payload, what)

    def test_a_history_makes_messages_smaller(self) -> None:
        """Messages that are alike become smaller with a history than each on its own."""
        for group, what in self._groups():
            for opcode in (1, 2):
                context, sizes = SharedContext(), []
                for alike in (context, None):
                    sent = [self._tell(group[:1], alike, opcode, data, what) for data in _ALIKE]
                    sizes.append(sum(sent[1:]))
                if min(sizes) == sum(len(data) + 2 for data in _ALIKE[1:]):
                    continue  # messages of this type are none of its business
                assert sizes[0] < sizes[1], (
                    f"{what}: {len(_ALIKE)} messages that are alike take {sizes[0]} bytes with a "
                    f"history, and {sizes[1]} bytes each on its own"
                )

    def _groups(self) -> Iterator[tuple[list[Engines], str]]:
        """Two connections that can follow the same history, and what they have agreed."""
        found = False
        for first, second, what in self.pairs_of_one_key():
            keys = [engines.server.pipeline.history_key for engines in (first, second)]
            if keys[0] is not None and keys[0] == keys[1]:
                found = True
                yield [first, second], f"{what}, and follow one history"
        if not found:
            skip("it has no shared histories (has_history)")

    def _tell(
        self,
        group: list[Engines],
        context: SharedContext | None,
        opcode: int,
        payload: bytes,
        what: str,
    ) -> int:
        """Send a message to a group, and check that it arrives; its bytes on the wire."""
        data = data_of(opcode, payload)
        message = PreparedMessage(data)
        if context is not None:
            message = message.within(context)
        size = 0
        for engines in group:
            wire = engines.server.share_message(message)
            if wire is None:  # not yet
                self._check_message(engines, "server", opcode, payload, f"{what}, alone: ")
            else:
                size += len(wire)
                self._check_arrives(engines, "server", wire, data, what=f"{what}, together: ")
        return size

    def _tell_alone(self, engines: Engines, payload: bytes, what: str, *, compress: bool) -> None:
        frame = Frame(2, payload, True, 0, {"compress": compress})
        self._check_passes(engines, "server", [frame], payload, what=f"{what}, between: ")
