"""permessage-checksum: a CRC32C behind every message, checked on the other side."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Annotated, Any, ClassVar

import google_crc32c

from wsext import (
    RSV,
    Agreement,
    CloseCode,
    Codec,
    Extension,
    MessageCodec,
    NegotiationContext,
    NegotiationError,
    Params,
    Phase,
    RemoteProtocolError,
    wire,
)

__all__ = ["ChecksumCodec", "PermessageChecksum"]

_SIZE = 4


class ChecksumCodec(MessageCodec):
    """Appends the CRC32C (RFC 3720 §B.4) of a message, big-endian; takes it off and compares.

    It is mandatory: without that, a message whose mark was lost on the way would pass unchecked.
    """

    mandatory = True

    @property
    def share_key(self) -> Hashable:
        """Equal messages have equal checksums on every connection."""
        return "crc32c"

    def encode_message(self, data: bytes) -> bytes:
        return data + _crc(data)

    def decode_message(self, data: bytes, budget: int) -> bytes:
        body, checksum = data[:-_SIZE], data[-_SIZE:]
        if _crc(body) != checksum:
            raise RemoteProtocolError(CloseCode.PROTOCOL_ERROR, "checksum does not match")
        return body


def _crc(data: bytes) -> bytes:
    value: int = google_crc32c.value(data)
    return value.to_bytes(_SIZE, "big")


class PermessageChecksum(Extension):
    """A CRC32C per message: a message that was changed under way ends the session with 1002.

    It stands next to the wire, so that it covers what the other extensions made of a message. A
    checksum finds accidents, not attacks.
    """

    name: ClassVar[str] = "permessage-checksum"
    phase: ClassVar[Phase] = Phase.INTEGRITY
    rsv: ClassVar[RSV] = RSV.RSV2
    extra_wire_params: ClassVar[Mapping[str, Any]] = {
        "algorithm": Annotated[str, wire("the checksum; crc32c is the only one")]
    }
    conformance: ClassVar[Mapping[str, Any]] = {"detects_corruption": True}

    def offers(self) -> Sequence[Params]:
        return [Params(algorithm="crc32c")]

    def accept(self, offer: Params, ctx: NegotiationContext) -> Agreement:
        _check(offer)
        return Agreement(ChecksumCodec(), Params(algorithm="crc32c"))

    def confirm(self, offers: Sequence[Params], answer: Params, ctx: NegotiationContext) -> Codec:
        _check(answer)
        return ChecksumCodec()


def _check(params: Params) -> None:
    algorithm = params.text("algorithm")
    if algorithm not in (None, "crc32c"):
        raise NegotiationError(f"algorithm {algorithm!r} is not supported, only crc32c")
