"""Opcodes and reserved bits (RFC 6455 §5.2, §11.8)."""

from __future__ import annotations

from enum import IntEnum, IntFlag

__all__ = ["RSV", "Opcode"]


class Opcode(IntEnum):
    """The opcodes that RFC 6455 §11.8 registers."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class RSV(IntFlag):
    """The three reserved bits (RFC 6455 §5.2), with their values in a frame's first byte."""

    NONE = 0
    RSV1 = 0x40
    RSV2 = 0x20
    RSV3 = 0x10

    def names(self) -> str:
        """The bits by name, for example ``RSV1+RSV3``; empty when none is set."""
        return "+".join(bit.name or "" for bit in (RSV.RSV1, RSV.RSV2, RSV.RSV3) if bit & self)
