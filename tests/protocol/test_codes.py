"""Opcodes and reserved bits stand for what is on the wire."""

from __future__ import annotations

from wsext import RSV, Opcode
from wsext.protocol.wire import frame_header


def test_bits_and_opcodes_are_those_of_the_first_byte() -> None:
    for opcode in Opcode:
        for bit in RSV:
            assert frame_header(opcode, 0, False, bit, False)[0] == bit | opcode
    assert RSV.RSV1 | RSV.RSV2 | RSV.RSV3 == 0x70


def test_bits_have_names() -> None:
    assert RSV.NONE.names() == ""
    assert RSV.RSV2.names() == "RSV2"
    assert (RSV.RSV3 | RSV.RSV1).names() == "RSV1+RSV3"
    assert RSV(0x40).names() == "RSV1"
