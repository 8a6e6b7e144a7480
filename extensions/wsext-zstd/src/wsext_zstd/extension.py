"""Options and negotiation of permessage-zstd."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar

from wsext import (
    RSV,
    Agreement,
    Codec,
    Declined,
    Extension,
    NegotiationContext,
    NegotiationError,
    OptionSet,
    Params,
    Phase,
    local,
    wire,
)
from wsext_zstd.codec import Coders, Settings, ZstdCodec
from wsext_zstd.dictionary import Dictionary

__all__ = ["PermessageZstd", "ZstdOptions"]

_LOW, _HIGH = 10, 24


class ZstdOptions(OptionSet):
    """The options of `PermessageZstd`. The wire options mean the same on both sides."""

    level: Annotated[int, local("zstd level: 1 is fast, 19 is small", ge=1, le=19)] = 3
    threshold: Annotated[int, local("bytes; smaller messages are sent as they are", ge=0)] = 0
    dictionaries: Annotated[
        tuple[str, ...], local("files of trained dictionaries, the best first")
    ] = ()
    max_window_bits: Annotated[
        int, wire("largest window in either direction, as a power of two", ge=_LOW, le=_HIGH)
    ] = 17
    server_no_context_takeover: Annotated[
        bool, wire("the server compresses every message on its own")
    ] = False
    client_no_context_takeover: Annotated[
        bool, wire("the client compresses every message on its own")
    ] = False

    def check(self) -> None:
        for path in self.dictionaries:
            Dictionary.load(path)


class PermessageZstd(Extension):
    """Compresses each message with Zstandard (RFC 8878), in both roles; trained dictionaries are
    agreed by the hash of their content.

    A client offers each of its dictionaries, and then itself without one; a server takes the first
    offer whose dictionary it has.
    """

    name: ClassVar[str] = "permessage-zstd"
    phase: ClassVar[Phase] = Phase.COMPRESSION
    rsv: ClassVar[RSV] = RSV.RSV1
    Options: ClassVar[type[OptionSet]] = ZstdOptions
    extra_wire_params: ClassVar[Mapping[str, Any]] = {
        "dict": Annotated[str, wire("dictionary to compress with: the hash of its content")]
    }
    options: ZstdOptions

    def setup(self) -> None:
        loaded = [Dictionary.load(path) for path in self.options.dictionaries]
        self._dictionaries = {item.id: item for item in loaded}
        self._coders: dict[Settings, Coders] = {}

    def memory_estimate(self) -> int:
        """For the server's side of a connection on which both have sent compressed messages.
        Without context takeover the compressors are shared, and a connection keeps nothing."""
        options = self.options
        settings = Settings(level=options.level, window_bits=options.max_window_bits)
        total = 512
        if not options.server_no_context_takeover:
            total += settings.compressor_bytes()
        if not options.client_no_context_takeover:
            total += settings.decompressor_bytes()
        return total

    # --- server -------------------------------------------------------------------------------

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        options = self.options
        offer.text("max_window_bits")
        bits = min(offer.integer("max_window_bits", _LOW, _HIGH) or _HIGH, options.max_window_bits)
        own = offer.flag("server_no_context_takeover") or options.server_no_context_takeover
        peer = offer.flag("client_no_context_takeover") or options.client_no_context_takeover
        wanted = offer.text("dict")
        if wanted is not None and wanted not in self._dictionaries:
            return Declined(f"the dictionary {wanted} is not here")
        answer = Params(
            max_window_bits=bits,
            server_no_context_takeover=own,
            client_no_context_takeover=peer,
            dict=wanted or False,
        )
        return Agreement(self._codec(bits, own, peer, wanted), answer)

    # --- client -------------------------------------------------------------------------------

    def offers(self) -> Sequence[Params]:
        options = self.options
        names: list[str | bool] = [*self._dictionaries, False]
        return [
            Params(
                max_window_bits=options.max_window_bits,
                server_no_context_takeover=options.server_no_context_takeover,
                client_no_context_takeover=options.client_no_context_takeover,
                dict=name,
            )
            for name in names
        ]

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        options = self.options
        answer.text("max_window_bits")
        bits = answer.integer("max_window_bits", _LOW, options.max_window_bits)
        wanted = answer.text("dict")
        if wanted is not None and wanted not in self._dictionaries:
            raise NegotiationError(f"the dictionary {wanted} was not offered")
        peer = answer.flag("server_no_context_takeover")
        if options.server_no_context_takeover and not peer:
            raise NegotiationError("server_no_context_takeover was asked for and is not answered")
        own = answer.flag("client_no_context_takeover") or options.client_no_context_takeover
        return self._codec(bits or options.max_window_bits, own, peer, wanted)

    def _codec(self, bits: int, own: bool, peer: bool, dictionary: str | None) -> ZstdCodec:
        settings = Settings(
            level=self.options.level,
            window_bits=bits,
            own_reset=own,
            peer_reset=peer,
            threshold=self.options.threshold,
            dictionary=self._dictionaries[dictionary] if dictionary else None,
        )
        coders = self._coders.get(settings)
        if coders is None:
            coders = self._coders[settings] = Coders(settings)
        return ZstdCodec(settings, coders)
