"""Cases about integrity: whether messages can be forged, changed or repeated on their way."""

from __future__ import annotations

import itertools

from wsext.errors import ProtocolError
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.sdk.extension import Extension
from wsext.sdk.sealed import SealedCodec
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import VICTIMS, changes, cuts, data_of, frames_of, garbage
from wsext.testing.engines import MASK, Engines, messages_of, parse_wire, write_wire

__all__ = ["IntegrityCases"]

#: Messages that are replayed and put out of order.
_SERIES = (b"first", b"second", b"third")


class IntegrityCases(EngineCases):
    """What both peers may rely on where an extension promises integrity."""

    def test_corruption_is_detected(self) -> None:
        """Where it promises integrity: no message comes out other than it went in. What was
        changed, cut off or made up is refused."""
        self._needs_integrity()
        for victim in VICTIMS:
            size = len(self._encode_one(self.engines(), victim).payload)
            happening = changes(size, near=2)
            if len(victim.payload) < 30:  # every byte of a short one
                happening = itertools.chain(changes(size, near=50), cuts(size), garbage())
            for change in happening:
                with self.engines() as engines:
                    sent = self._encode_one(engines, victim)
                    wrong = sent.replace(payload=change.apply(bytes(sent.payload)))
                    if wrong.payload != sent.payload:
                        self._check_refused(engines, wrong, change.what, victim.data)

    def test_unmarked_messages_are_refused(self) -> None:
        """Where it promises integrity: nobody gets a message past it by leaving out its bit."""
        self._needs_integrity()
        if not self.make().rsv:
            skip("it claims no reserved bit, so every message is its own")
        for victim in VICTIMS:
            with self.engines() as engines:
                self._encode_one(engines, victim)
                plain = Frame(victim.opcode, victim.payload or b"plain")
                self._check_refused(engines, plain, "has no mark (see `mandatory`)")
            with self.engines() as engines:
                bare = self._encode_one(engines, victim).replace(rsv=0)
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

    def test_a_seal_holds_the_type_and_the_bits(self) -> None:
        """Where it is a `SealedCodec`: a text that comes as binary is refused, and so is a message
        on which another extension's bit was set or taken away."""
        one, other = self._instances
        with self.engines() as engines:
            if not isinstance(engines.on_server.agreed[0].codec, SealedCodec):
                skip("it is no SealedCodec")
        free = next(bit for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3) if not bit & one.rsv)
        above = type("_AboveExtension", (_AboveExtension,), {"rsv": free})()
        for victim in VICTIMS:
            with self.engines() as engines:
                sent = self._encode_one(engines, victim)
                changed = sent.replace(opcode=3 - victim.opcode)
                self._check_refused(engines, changed, "has another type than it was sent with")
            with Engines([above, one], [above, other]) as engines:
                sent = self._encode_one(engines, victim)
                changed = sent.replace(rsv=sent.rsv ^ int(free))
                self._check_refused(engines, changed, f"has got {free.names()} on its way")

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


class _AboveExtension(Extension):
    """A helper of the kit: an extension that claims a bit, and does nothing with it."""

    name = "x-kit-above"
