"""Integrity and encryption: a codec whose messages can be neither forged nor repeated.

    class MacCodec(SealedCodec):
        def __init__(self, ctx: NegotiationContext, key: bytes) -> None:
            super().__init__(ctx)
            self._key = key

        def seal(self, data: bytes, context: bytes) -> bytes:
            return data + hmac.digest(self._key, context + data, "sha256")

        def unseal(self, data: bytes, context: bytes) -> bytes:
            body, mac = data[:-32], data[-32:]
            if not hmac.compare_digest(mac, hmac.digest(self._key, context + body, "sha256")):
                raise ValueError
            return body

    class Mac(SealedExtension):
        name = "x-mac"
        def make_codec(self, params, ctx):
            return MacCodec(ctx, key)

The author writes the cryptography, or calls a library for it. The base classes say what has to be
authenticated with every message, and let none pass that is not.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Awaitable, Collection, Sequence
from dataclasses import replace
from hashlib import sha256
from secrets import token_hex
from typing import Annotated, Any, ClassVar, NoReturn, final

from wsext.errors import NegotiationError, ProtocolError, RemoteProtocolError
from wsext.protocol.agreement import Agreement, Declined, NegotiationContext, Phase
from wsext.protocol.closing import CloseCode
from wsext.protocol.params import Params, ParamValue
from wsext.sdk.codec import Codec, MessageCodec
from wsext.sdk.extension import Extension
from wsext.sdk.options import wire

__all__ = ["SealedCodec", "SealedExtension"]

#: The session's binding, who sends, the opcode, the reserved bits, the message's number.
_CONTEXT = struct.Struct(">32sBBBQ")

_NONCE = re.compile(r"[0-9a-f]{32}")


class SealedCodec(MessageCodec):
    """Base of a codec for integrity or encryption. Override `seal` and `unseal`.

    Both get a ``context`` besides the data: 43 bytes, always as many, which the receiver makes for
    itself and which are never sent. They name the session, the side that sends, the message's type,
    its reserved bits and its number. Authenticate them together with the data: pass them to an AEAD
    cipher as associated data, or compute the MAC over ``context + data``. Then a message is refused
    that was changed, cut off, repeated, reordered or left out, or that comes from another session
    or from the receiver itself. Control frames (ping, pong, close) are not sealed.

    Args:
        ctx: What `SealedExtension` gave to `make_codec`.

    Raises:
        ValueError: If ``ctx`` has no binding, because a `SealedExtension` did not negotiate it.

    Attributes:
        mandatory: ``True``: with a reserved bit, unmarked messages are refused.
        ordered: Whether the context has the message's number. Without it, a message may come again
            within its session, come earlier or be missing. The default is ``True``.
    """

    mandatory = True
    ordered: ClassVar[bool] = True

    def __init__(self, ctx: NegotiationContext) -> None:
        super().__init__()
        if len(ctx.binding) != 32:
            raise ValueError(f"{type(self).__name__} needs a context from SealedExtension.bind()")
        self._binding = ctx.binding
        self._is_client = ctx.role == "client"
        self._next_out = self._next_in = 0

    def seal(self, data: bytes, context: bytes) -> bytes | Awaitable[bytes]:
        """A whole outgoing message, sealed. May be ``async def``."""
        raise NotImplementedError(f"{type(self).__name__} has no seal()")

    def unseal(self, data: bytes, context: bytes) -> bytes | Awaitable[bytes]:
        """The message that `seal` was given, with the same context. May be ``async def``.

        Raise anything if it is not authentic, for example what the library raises: the connection
        fails with 1002, with the same words whatever it was. ``data`` is from the peer, and may be
        too short. A `ProtocolError` keeps its own code and words.
        """
        raise NotImplementedError(f"{type(self).__name__} has no unseal()")

    @final
    def encode_message(self, data: bytes) -> bytes | Awaitable[bytes]:
        info = self.outgoing_info
        context = self._context(
            self._is_client, info.opcode, info.rsv | int(self.rsv), self._next_out
        )
        self._next_out += self.ordered
        return self.seal(data, context)

    @final
    def decode_message(self, data: bytes, budget: int) -> bytes | Awaitable[bytes]:
        info = self.incoming_info
        context = self._context(not self._is_client, info.opcode, info.rsv, self._next_in)
        self._next_in += self.ordered
        try:
            opened = self.unseal(data, context)
        except Exception as error:
            _refuse(error)
        return _unsealed_later(opened) if isinstance(opened, Awaitable) else opened

    def _context(self, from_client: bool, opcode: int, rsv: int, number: int) -> bytes:
        return _CONTEXT.pack(self._binding, from_client, opcode, rsv, number)


async def _unsealed_later(opened: Awaitable[bytes]) -> bytes:
    try:
        return await opened
    except Exception as error:
        _refuse(error)


def _refuse(error: Exception) -> NoReturn:
    if isinstance(error, ProtocolError):
        raise error
    raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "the message is not authentic") from error


class SealedExtension(Extension):
    """An extension with a `SealedCodec`: negotiates what binds the messages to their session.

    Client and server choose 16 random bytes each, and exchange them in the parameter ``nonce``. A
    hash of them, of the token and of the other parameters of the answer is the session's binding.
    Without parameters of your own, override `make_codec` and no more. With parameters, build them
    with `offer` and `answer`, and the codec with a context from `bind`.

    Nobody authenticates that the extension was negotiated at all. Install it with ``required=True``
    on both sides, so that there is no session without it.

    Attributes:
        phase: ``Phase.INTEGRITY``, below compression. The others are those of `Extension`.
    """

    phase: ClassVar[Phase] = Phase.INTEGRITY
    extra_wire_params: ClassVar[Collection[str]] = {
        "nonce": Annotated[str, wire("16 random bytes of the client, then of the server, in hex")]
    }

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.wire_params |= {"nonce"}

    def offers(self) -> Sequence[Params]:
        return [self.offer()]

    def accept(
        self, offer: Params, ctx: NegotiationContext
    ) -> Agreement | Declined | Awaitable[Agreement | Declined]:
        answer = self.answer(offer)
        return Agreement(self.make_codec(answer, self.bind(answer, ctx)), answer)

    def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> Codec | Awaitable[Codec]:
        bound = self.bind(answer, ctx, offers)
        if _without_nonce(answer) not in [_without_nonce(offer) for offer in offers]:
            raise NegotiationError(f"the answer {str(answer)!r} was not offered")
        return self.make_codec(answer, bound)

    def offer(self, **params: ParamValue) -> Params:
        """Client: one offer with these parameters, and a nonce."""
        return Params(params, nonce=token_hex(16))

    def answer(self, offer: Params, **params: ParamValue) -> Params:
        """Server: the answer to an offer with these parameters, and both nonces.

        Raises:
            NegotiationError: If the offer has no nonce of 32 hexadecimal digits.
        """
        nonce = offer.text("nonce") or ""
        if not _NONCE.fullmatch(nonce):
            raise NegotiationError("nonce has to be 32 hexadecimal digits")
        return Params(params, nonce=nonce + token_hex(16))

    def bind(
        self, answer: Params, ctx: NegotiationContext, offers: Sequence[Params] = ()
    ) -> NegotiationContext:
        """The context to make a `SealedCodec` with, for the answer that was sent or received.

        Args:
            answer: The parameters of the answer.
            ctx: The context of the negotiation.
            offers: On a client, what `confirm` was given.

        Raises:
            NegotiationError: On a client, if the answer has not the nonce of one of the offers and
                one of the server behind it.
        """
        nonce = answer.text("nonce") or ""
        if ctx.role == "client":
            mine, other = nonce[:32], nonce[32:]
            if mine not in [offer.get("nonce") for offer in offers] or not _NONCE.fullmatch(other):
                raise NegotiationError("nonce has to be the offer's and 32 hexadecimal digits")
        text = f"{self.name}; {Params(sorted(answer.items()))}"
        return replace(ctx, binding=sha256(text.encode()).digest())


def _without_nonce(params: Params) -> dict[str, str | None]:
    return {name: value for name, value in params.items() if name != "nonce"}
