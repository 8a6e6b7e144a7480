"""How long does an identity last?"""

from __future__ import annotations

import math
import time

__all__ = ["EXPIRED", "seconds_left"]

#: What a peer is told whose identity has expired.
EXPIRED = "the identity has expired"


def seconds_left(expires: float) -> float:
    """Seconds until an identity expires; 0 if it has.

    Args:
        expires: Unix time in seconds, as of `Request.expires`.

    Raises:
        TypeError: If it is anything else.
    """
    if not isinstance(expires, (int, float)) or math.isnan(expires):
        raise TypeError(f"expires is Unix time in seconds, as of time.time(); not {expires!r}")
    return max(0.0, expires - time.time())
