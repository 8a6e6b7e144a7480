"""How is a message encrypted, and with which key?"""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

from wsext import NegotiationContext, SealedCodec

__all__ = ["KEY_BYTES", "SealCodec"]

#: Of the keys that a provider gives, and of those that are derived from them.
KEY_BYTES = 32


class SealCodec(SealedCodec):
    """Encrypts messages with AES-256-GCM (NIST SP 800-38D).

    Args:
        ctx: From `SealedExtension.bind`: each session and each direction has keys of its own.
        key: What both sides know, 32 bytes.
        rekey_after: Messages that are sent under one key.
    """

    def __init__(self, ctx: NegotiationContext, key: bytes, rekey_after: int) -> None:
        super().__init__(ctx)
        client, server = (
            _Keys(_derive(key, ctx.binding, side), rekey_after) for side in (b"client", b"server")
        )
        self._own, self._peers = (client, server) if ctx.role == "client" else (server, client)

    def seal(self, data: bytes, context: bytes) -> bytes:
        cipher, nonce = self._own.take()
        return cipher.encrypt(nonce, data, context)

    def unseal(self, data: bytes, context: bytes) -> bytes:
        cipher, nonce = self._peers.take()
        return cipher.decrypt(nonce, data, context)


class _Keys:
    """The keys of one direction, one after the other; none leads back to the one before it."""

    def __init__(self, secret: bytes, rekey_after: int) -> None:
        self._secret = secret
        self._rekey_after = rekey_after
        self._turn()

    def take(self) -> tuple[AESGCM, bytes]:
        """The cipher for the next message, and a nonce that is used once with its key."""
        if self._used == self._rekey_after:
            self._turn()
        nonce = self._used.to_bytes(12, "big")
        self._used += 1
        return self._cipher, nonce

    def _turn(self) -> None:
        self._cipher = AESGCM(_expand(self._secret, b"key"))
        self._secret = _expand(self._secret, b"next")
        self._used = 0


def _derive(key: bytes, binding: bytes, side: bytes) -> bytes:
    """The first secret of one direction of one session (RFC 5869)."""
    return HKDF(SHA256(), KEY_BYTES, salt=binding, info=b"permessage-seal " + side).derive(key)


def _expand(secret: bytes, label: bytes) -> bytes:
    return HKDFExpand(SHA256(), KEY_BYTES, info=b"permessage-seal " + label).derive(secret)
