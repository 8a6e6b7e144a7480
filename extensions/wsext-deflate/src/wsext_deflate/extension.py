"""Options and negotiation of permessage-deflate (RFC 7692 §7.1)."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Annotated, ClassVar, Literal

from wsext import (
    RSV,
    Agreement,
    Extension,
    Frame,
    NegotiationContext,
    NegotiationError,
    OptionError,
    OptionSet,
    Params,
    Phase,
    local,
    wire,
)
from wsext_deflate.backends import BackendName, installed, pick_deflater
from wsext_deflate.codec import DeflateCodec, LiveCompressors, Settings
from wsext_deflate.offload import OffloadingDeflateCodec

__all__ = ["DeflateOptions", "PermessageDeflate"]

#: The window of what this side sends when no option says otherwise: 4 KiB. It needs no agreement,
#: compresses nearly as well as 32 KiB, and takes a tenth of its memory.
DEFAULT_OWN_BITS = 12
#: What a server asks of clients that can limit their window when no option says otherwise: what may
#: be referred to, which is most of what a connection keeps, takes an eighth of the memory then.
DEFAULT_PEER_BITS = 12

# ISA-L takes the same memory for every window, so it may look back further within a message; what
# a connection keeps of earlier messages is 4 KiB all the same.
_OWN_BITS = {"isal": 15}

_STRATEGIES = {
    "default": zlib.Z_DEFAULT_STRATEGY,
    "filtered": zlib.Z_FILTERED,
    "huffman": zlib.Z_HUFFMAN_ONLY,
    "rle": zlib.Z_RLE,
    "fixed": zlib.Z_FIXED,
}


class DeflateOptions(OptionSet):
    """The options of `PermessageDeflate`. The four wire options mean the same on both sides."""

    backend: Annotated[
        BackendName, local("library: the fastest that is installed, or one by name")
    ] = "auto"
    level: Annotated[int, local("zlib level: 0 stores, 1 is fast, 9 is small", ge=0, le=9)] = 6
    mem_level: Annotated[
        int, local("zlib memory level: 2**(n+9) bytes for a compressor's tables", ge=1, le=9)
    ] = 5
    strategy: Annotated[
        Literal["default", "filtered", "huffman", "rle", "fixed"], local("zlib strategy")
    ] = "default"
    threshold: Annotated[
        int, local("bytes; smaller messages are sent as they are (compress if bigger than)", ge=0)
    ] = 0
    compress_if: (
        Annotated[
            Callable[[Frame], bool],
            local("told a message's first frame, says whether to compress"),
        ]
        | None
    ) = None
    live_compressors: Annotated[
        int,
        local("connections that keep compressor and decompressor; others keep what was said", ge=0),
    ] = 128
    offload_above: (
        Annotated[int, local("bytes; larger frames are worked on in a thread", ge=0)] | None
    ) = None
    server_no_context_takeover: Annotated[
        bool, wire("the server compresses every message on its own")
    ] = False
    client_no_context_takeover: Annotated[
        bool, wire("the client compresses every message on its own")
    ] = False
    server_max_window_bits: (
        Annotated[int, wire("window of what the server sends, as a power of two", ge=8, le=15)]
        | None
    ) = None
    client_max_window_bits: (
        Annotated[
            int,
            wire("window of what the client sends; a server asks for 12 if unset", ge=8, le=15),
        ]
        | None
    ) = None


class PermessageDeflate(Extension):
    """Compresses each message with DEFLATE (RFC 7692), in both roles.

    As a server it asks for nothing that an offer does not allow: a client that cannot limit its
    window, or that offers nothing at all but the name, is still compressed for. As a client it
    makes the least specific offer that its options permit, and when they ask the server for
    something, a second offer that does not.
    """

    name: ClassVar[str] = "permessage-deflate"
    phase: ClassVar[Phase] = Phase.COMPRESSION
    rsv: ClassVar[RSV] = RSV.RSV1
    Options: ClassVar[type[OptionSet]] = DeflateOptions
    options: DeflateOptions

    def setup(self) -> None:
        options = self.options
        if options.backend != "auto" and installed(options.backend) is None:
            raise OptionError(
                self.name,
                "backend",
                f"not installed: pip install 'wsext-deflate[{options.backend}]'",
            )
        self._live = LiveCompressors(options.live_compressors)
        strategy = _STRATEGIES[options.strategy]
        used = pick_deflater(options.backend, options.level, strategy, 15).name
        self._default_bits = _OWN_BITS.get(used, DEFAULT_OWN_BITS)

    def memory_estimate(self) -> int:
        """For the server's side of a connection on which both have sent compressed messages, with
        a client that can limit its window as browsers can, beside the compressors and decompressors
        that ``live_compressors`` allows."""
        options = self.options
        default = 15 if options.client_no_context_takeover else DEFAULT_PEER_BITS
        return self._settings(
            own_bits=15,
            wished=options.server_max_window_bits,
            peer_bits=options.client_max_window_bits or default,
            own_reset=options.server_no_context_takeover,
            peer_reset=options.client_no_context_takeover,
        ).memory_estimate()

    def _codec(self, settings: Settings) -> DeflateCodec:
        above = self.options.offload_above
        if above is None:
            return DeflateCodec(settings, self._live)
        return OffloadingDeflateCodec(settings, self._live, above=above)

    def _settings(
        self,
        *,
        own_bits: int,
        wished: int | None,
        peer_bits: int,
        own_reset: bool = False,
        peer_reset: bool = False,
    ) -> Settings:
        """``own_bits`` is the largest window that was agreed, ``wished`` what our option says."""
        options = self.options
        own_bits = min(own_bits, wished or self._default_bits)
        return Settings(
            backend=options.backend,
            level=options.level,
            mem_level=options.mem_level,
            strategy=_STRATEGIES[options.strategy],
            own_bits=own_bits,
            history=1 << min(own_bits, wished or DEFAULT_OWN_BITS),
            peer_bits=peer_bits,
            own_reset=own_reset,
            peer_reset=peer_reset,
            threshold=options.threshold,
            compress_if=options.compress_if,
        )

    # --- server -------------------------------------------------------------------------------

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        """Answer an offer (RFC 7692 §7.1); everything that an offer may ask can be met."""
        options = self.options
        own_reset = offer.flag("server_no_context_takeover") or options.server_no_context_takeover
        peer_reset = offer.flag("client_no_context_takeover") or options.client_no_context_takeover
        offer.text("server_max_window_bits")  # a value has to be there
        asked = offer.integer("server_max_window_bits", 8, 15)
        own_bits = min(asked or 15, options.server_max_window_bits or 15)
        # The client's window can only be limited if it said that it can do that (§7.1.2.2).
        peer_bits = 15
        if "client_max_window_bits" in offer:
            hint = offer.integer("client_max_window_bits", 8, 15) or 15
            # Who keeps no context keeps no memory that a smaller window would save.
            default = 15 if peer_reset else DEFAULT_PEER_BITS
            peer_bits = min(hint, options.client_max_window_bits or default)
        answer = Params(
            server_no_context_takeover=own_reset,
            client_no_context_takeover=peer_reset,
            server_max_window_bits=own_bits if asked or own_bits < 15 else False,
            client_max_window_bits=peer_bits if peer_bits < 15 else False,
        )
        settings = self._settings(
            own_bits=own_bits,
            wished=options.server_max_window_bits,
            peer_bits=peer_bits,
            own_reset=own_reset,
            peer_reset=peer_reset,
        )
        return Agreement(self._codec(settings), answer)

    # --- client -------------------------------------------------------------------------------

    def offers(self) -> Sequence[Params]:
        """What the options ask for, and as a fallback the same without demands on the server."""
        options = self.options
        modest: dict[str, int | bool] = {
            "client_no_context_takeover": options.client_no_context_takeover,
            "client_max_window_bits": options.client_max_window_bits or True,
        }
        if not options.server_no_context_takeover and options.server_max_window_bits is None:
            return [Params(modest)]
        wish = Params(
            server_no_context_takeover=options.server_no_context_takeover,
            server_max_window_bits=options.server_max_window_bits or False,
            **modest,
        )
        return [wish, Params(modest)]

    def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> DeflateCodec:
        """Check an answer: some parameters may come unasked, others may not (§7.1)."""
        options = self.options
        peer_reset = answer.flag("server_no_context_takeover")
        own_reset = answer.flag("client_no_context_takeover")
        answer.text("server_max_window_bits")
        answer.text("client_max_window_bits")
        peer_bits = answer.integer("server_max_window_bits", 8, 15) or 15
        agreed_bits = answer.integer("client_max_window_bits", 8, 15)
        if agreed_bits and not any("client_max_window_bits" in offer for offer in offers):
            raise NegotiationError("client_max_window_bits was not offered")
        if not any(_meets(offer, peer_reset, peer_bits) for offer in offers):
            raise NegotiationError(f"the answer {str(answer)!r} meets no offer")
        return self._codec(
            self._settings(
                own_bits=agreed_bits or 15,
                wished=options.client_max_window_bits,
                peer_bits=peer_bits,
                own_reset=own_reset or options.client_no_context_takeover,
                peer_reset=peer_reset,
            )
        )


def _meets(offer: Params, reset: bool, bits: int) -> bool:
    """Whether what the server says of itself is what an offer asked of it."""
    if "server_no_context_takeover" in offer and not reset:
        return False
    return bits <= (offer.integer("server_max_window_bits", 8, 15) or 15)
