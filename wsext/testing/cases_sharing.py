"""Cases about messages that are encoded once for many connections: `share_key` and its methods."""

from __future__ import annotations

from wsext.protocol.frames import Frame
from wsext.testing.cases_base import EngineCases, skip
from wsext.testing.corpus import FAR, SIMILAR, data_of, noise, samples
from wsext.testing.differences import difference
from wsext.testing.engines import Engines

__all__ = ["SharingCases"]

#: Messages of which each has to make the same bytes on every connection of a key.
_SHARED = (SIMILAR[0], SIMILAR[2], b"", b"a", noise(30), noise(30), SIMILAR[0] * 40, FAR)

#: Sizes for which `wants` is asked: a threshold may be anywhere.
_SIZES = (*range(16), *(size for power in range(4, 17) for size in (1 << power, 3 << power >> 1)))


class SharingCases(EngineCases):
    """What a server may rely on that encodes a broadcast once per key."""

    def test_a_share_key_is_steady(self) -> None:
        """A `share_key` can be hashed, and stays what it is while the connection lasts."""
        with self.engines() as engines:
            codec = engines.on_server.agreed[0].codec
            before = codec.share_key
            if before is None:
                skip("its messages are not shared (share_key is None)")
            try:
                hash(before)
            except TypeError as error:
                raise AssertionError(f"share_key {before!r} cannot be hashed: {error}") from error
            for opcode, payload in samples("text and binary", _SHARED):
                self._check_message(engines, "server", opcode, payload)
                self._check_message(engines, "client", opcode, payload)
                assert codec.share_key == before, (
                    f"share_key was {before!r} and is {codec.share_key!r} after a message"
                )

    def test_equal_share_keys_mean_equal_wants(self) -> None:
        """Connections with equal share keys take the same messages, whatever their options are."""
        for first, second, what in self.pairs_of_one_key():
            one, other = (e.on_server.agreed[0].codec for e in (first, second))
            if one.mandatory and other.mandatory:
                continue  # then wants() is never asked
            for size in _SIZES:
                for opcode, payload in samples("text and binary", (b"a" * size,)):
                    for hints in ({}, {"compress": False}, {"compress": True}):
                        frame = Frame(opcode, payload)
                        wants = [codec.wants(frame, hints) for codec in (one, other)]
                        name = "text" if opcode == 1 else "binary"
                        assert wants[0] == wants[1], (
                            f"{what}, and of a {name} message of {size} bytes with the hints "
                            f"{hints} wants() says {wants[0]} on one and {wants[1]} on the other"
                        )

    def test_equal_share_keys_mean_equal_bytes(self) -> None:
        """Where `share_key` is not None: whatever two connections have agreed and sent, with equal
        keys `encode_shared` makes equal bytes of equal messages."""
        # What was agreed makes a difference on all connections. A compressor that is used again may
        # make one now and then, since it finds other matches at another place of its stream.
        for is_last in (False, False, True):
            try:
                self._compare_bytes()
                return
            except AssertionError:
                if is_last:
                    raise

    def _compare_bytes(self) -> None:
        for first, second, what in self.pairs_of_one_key():
            for opcode, payload in samples("text and binary", (SIMILAR[0] * 30, noise(300))):
                self._send(first, "server", [Frame(opcode, payload)])
            for opcode, payload in samples("text and binary", (*_SHARED, *self.messages[:4])):
                sent = [self._share(engines, opcode, payload)[0] for engines in (first, second)]
                if sent[0] != sent[1]:  # with `assert`, pytest would look for all differences
                    raise AssertionError(
                        f"{what}, and {payload!r:.40} is encoded differently: {difference(*sent)}"
                    )

    def test_shared_frames_fit_into_every_connection(self) -> None:
        """What `encode_shared` made on one connection arrives on every one with an equal key,
        between messages of their own."""
        for first, second, what in self.pairs_of_one_key():
            for turn, (opcode, payload) in enumerate(samples("text and binary", _SHARED)):
                for maker, other in ((first, second), (second, first)):
                    own = f"{what}, between shared messages: "
                    self._check_message(other, "server", opcode, SIMILAR[turn], own)
                    data, passed = self._share(maker, opcode, payload)
                    for engines in (maker, other):
                        shared = f"{what}, shared: "
                        if not engines.server.pipeline.skip_shared(passed):
                            self._check_message(engines, "server", opcode, payload, shared)
                            continue
                        expected = data_of(opcode, payload)
                        self._check_arrives(engines, "server", data, expected, what=shared)

    def test_encoding_for_others_leaves_the_state_alone(self) -> None:
        """`encode_shared` changes nothing that the codec remembers: what it sends itself before and
        after arrives."""
        for engines, _, what in self.pairs_of_one_key():
            for opcode, payload in samples("text and binary", _SHARED[:5]):
                before = f"{what}, before encode_shared: "
                self._check_message(engines, "server", opcode, payload, before)
                self._share(engines, opcode, payload + payload)
                after = f"{what}, after encode_shared: "
                self._check_message(engines, "server", opcode, payload + payload, after)

    def _share(
        self, engines: Engines, opcode: int, payload: bytes
    ) -> tuple[bytes, tuple[int, ...]]:
        """What a server sends to every connection when it encodes a message once, and whom it has
        to tell of that."""
        encoding = engines.server.pipeline.encode_shared(Frame(opcode, payload))
        return encoding.wire, encoding.passed
