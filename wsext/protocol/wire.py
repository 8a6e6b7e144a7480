"""Frames to bytes and bytes to frames: the compiled twin or its source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wsext.protocol.twins import CODEC

__all__ = ["CODEC", "FrameParser", "MaskSource", "apply_mask", "frame_header"]

if TYPE_CHECKING or CODEC == "python":
    from wsext.protocol._wire_py import FrameParser, MaskSource, apply_mask, frame_header
else:
    from wsext.protocol._wire_c import FrameParser, MaskSource, apply_mask, frame_header
