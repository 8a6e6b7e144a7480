"""The wire codec in use: the compiled twin when it was built, else the Python source itself.

``WSEXT_CODEC=python`` takes the source, ``c`` insists on the twin, ``auto`` is the default. Both
are made from ``_wire_py.py``.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

__all__ = ["CODEC", "FrameParser", "MaskSource", "apply_mask", "frame_header"]

_choice = os.environ.get("WSEXT_CODEC", "auto")
if _choice not in ("auto", "c", "python"):
    raise ImportError(f"WSEXT_CODEC is auto, c or python, not {_choice!r}")

#: Which one it is: ``"c"`` or ``"python"``.
CODEC = "python"

if TYPE_CHECKING or _choice == "python":
    from wsext.protocol._wire_py import FrameParser, MaskSource, apply_mask, frame_header
else:
    try:
        from wsext.protocol._wire_c import FrameParser, MaskSource, apply_mask, frame_header

        CODEC = "c"
    except ImportError:
        if _choice == "c":
            raise
        from wsext.protocol._wire_py import FrameParser, MaskSource, apply_mask, frame_header
