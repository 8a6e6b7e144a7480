"""How do two sides agree on a key?"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, TypeAlias

from wsext import (
    Agreement,
    Codec,
    Declined,
    NegotiationContext,
    NegotiationError,
    OptionSet,
    Params,
    SealedExtension,
    in_code,
    wire,
)
from wsext_seal.codec import KEY_BYTES, SealCodec

__all__ = ["KeyProvider", "PermessageSeal", "SealOptions"]

#: Gives the key of an id, 32 bytes, or ``None`` if there is none (any more). The id is from the
#: peer: do not take it for a path or a piece of SQL.
KeyProvider: TypeAlias = "Callable[[str], Awaitable[bytes | None]]"

_MOST = 1 << 20


class SealOptions(OptionSet):
    """The options of `PermessageSeal`."""

    keys: Annotated[KeyProvider, in_code("async function from a key's id to its 32 bytes, or None")]
    key_ids: Annotated[
        tuple[str, ...], wire("ids of the keys that a client offers, the best first", name="key")
    ] = ()
    rekey_after: Annotated[int, wire("messages under one key", ge=1, le=_MOST)] = 65536

    def check(self) -> None:
        for key_id in self.key_ids:
            Params(key=key_id)  # raises ValueError if it cannot stand in a header


async def _sample_keys(key_id: str) -> bytes | None:
    return bytes(KEY_BYTES) if key_id == "sample" else None


class PermessageSeal(SealedExtension):
    """Authenticated encryption of every message, under keys that both sides know by an id."""

    name: ClassVar[str] = "permessage-seal"
    Options: ClassVar[type[OptionSet]] = SealOptions
    options: SealOptions
    conformance: ClassVar[Mapping[str, Any]] = {
        "options": {"keys": _sample_keys, "key_ids": ("sample",)},
        "detects_corruption": True,
    }

    def offers(self) -> Sequence[Params]:
        rekey_after = self.options.rekey_after
        return [self.offer(key=key, rekey_after=rekey_after) for key in self.options.key_ids]

    async def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement | Declined:
        key_id = offer.text("key") or ""
        asked = offer.integer("rekey_after", 1, _MOST) or _MOST
        key = await self._key(key_id)
        if key is None:
            return Declined(f"there is no key {key_id!r}")
        rekey_after = min(asked, self.options.rekey_after)
        answer = self.answer(offer, key=key_id, rekey_after=rekey_after)
        return Agreement(SealCodec(self.bind(answer, ctx), key, rekey_after), answer)

    async def confirm(
        self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext
    ) -> Codec:
        bound = self.bind(answer, ctx, offers)
        key_id = answer.text("key") or ""
        rekey_after = answer.integer("rekey_after", 1, self.options.rekey_after)
        if key_id not in self.options.key_ids or rekey_after is None:
            raise NegotiationError(f"the answer {str(answer)!r} was not offered")
        key = await self._key(key_id)
        if key is None:
            raise NegotiationError(f"there is no key {key_id!r}")
        return SealCodec(bound, key, rekey_after)

    async def _key(self, key_id: str) -> bytes | None:
        key = await self.options.keys(key_id)
        if key is not None and len(key) != KEY_BYTES:
            raise ValueError(f"key {key_id!r} has {len(key)} bytes, and needs {KEY_BYTES}")
        return key
