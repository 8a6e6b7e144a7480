"""Options and negotiation of permessage-brotli."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar

from wsext import (
    RSV,
    Agreement,
    Extension,
    NegotiationContext,
    NegotiationError,
    OptionSet,
    Params,
    Phase,
    local,
    wire,
)
from wsext_brotli.codec import BrotliCodec, Settings

__all__ = ["BrotliOptions", "PermessageBrotli"]

#: The bounds of a window (RFC 7932 §9.1), as powers of two.
_LOW, _HIGH = 10, 24


class BrotliOptions(OptionSet):
    """The options of `PermessageBrotli`. The wire options mean the same on both sides."""

    quality: Annotated[int, local("brotli quality: 0 is fast, 11 is small", ge=0, le=11)] = 5
    threshold: Annotated[int, local("bytes; smaller messages are sent as they are", ge=0)] = 0
    server_no_context_takeover: Annotated[
        bool, wire("the server compresses every message on its own")
    ] = False
    client_no_context_takeover: Annotated[
        bool, wire("the client compresses every message on its own")
    ] = False
    server_max_window_bits: Annotated[
        int, wire("window of what the server sends, as a power of two", ge=_LOW, le=_HIGH)
    ] = 16
    client_max_window_bits: Annotated[
        int, wire("window of what the client sends, as a power of two", ge=_LOW, le=_HIGH)
    ] = 16


class PermessageBrotli(Extension):
    """Compresses each message with Brotli (RFC 7932), in both roles.

    Context takeover is agreed as for permessage-deflate (RFC 7692 §7.1.1). Each side may limit both
    windows, and the smaller limit counts: an answer always has both.
    """

    name: ClassVar[str] = "permessage-brotli"
    phase: ClassVar[Phase] = Phase.COMPRESSION
    rsv: ClassVar[RSV] = RSV.RSV1
    Options: ClassVar[type[OptionSet]] = BrotliOptions
    options: BrotliOptions

    def memory_estimate(self) -> int:
        """For the server's side of a connection on which both have sent compressed messages."""
        options = self.options
        settings = self._settings(
            options.server_max_window_bits, options.client_max_window_bits, own=False, peer=False
        )
        total = 512
        if not options.server_no_context_takeover:
            total += settings.compressor_bytes()
        if not options.client_no_context_takeover:
            total += settings.decompressor_bytes()
        return total

    # --- server -------------------------------------------------------------------------------

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        options = self.options
        own_bits = _window(offer, "server_max_window_bits", options.server_max_window_bits)
        peer_bits = _window(offer, "client_max_window_bits", options.client_max_window_bits)
        own = offer.flag("server_no_context_takeover") or options.server_no_context_takeover
        peer = offer.flag("client_no_context_takeover") or options.client_no_context_takeover
        answer = Params(
            server_no_context_takeover=own,
            client_no_context_takeover=peer,
            server_max_window_bits=own_bits,
            client_max_window_bits=peer_bits,
        )
        return Agreement(BrotliCodec(self._settings(own_bits, peer_bits, own, peer)), answer)

    # --- client -------------------------------------------------------------------------------

    def offers(self) -> Sequence[Params]:
        options = self.options
        return [
            Params(
                server_no_context_takeover=options.server_no_context_takeover,
                client_no_context_takeover=options.client_no_context_takeover,
                server_max_window_bits=options.server_max_window_bits,
                client_max_window_bits=options.client_max_window_bits,
            )
        ]

    def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> BrotliCodec:
        """Take an answer that meets the offer: a flag may come unasked, but nothing that was asked
        for may be missing, and no window may be larger."""
        options = self.options
        peer = answer.flag("server_no_context_takeover")
        if options.server_no_context_takeover and not peer:
            raise NegotiationError("server_no_context_takeover was asked for and is not answered")
        largest = options.server_max_window_bits
        peer_bits = answer.integer("server_max_window_bits", _LOW, largest)
        if peer_bits is None:
            raise NegotiationError("server_max_window_bits was asked for and is not answered")
        largest = options.client_max_window_bits
        own_bits = answer.integer("client_max_window_bits", _LOW, largest) or largest
        own = answer.flag("client_no_context_takeover") or options.client_no_context_takeover
        return BrotliCodec(self._settings(own_bits, peer_bits, own, peer))

    def _settings(self, own_bits: int, peer_bits: int, own: bool, peer: bool) -> Settings:
        return Settings(
            quality=self.options.quality,
            own_bits=own_bits,
            peer_bits=peer_bits,
            own_reset=own,
            peer_reset=peer,
            threshold=self.options.threshold,
        )


def _window(params: Params, name: str, ours: int) -> int:
    """The smaller of the peer's limit and ours."""
    params.text(name)  # a value has to be there
    return min(params.integer(name, _LOW, _HIGH) or _HIGH, ours)
