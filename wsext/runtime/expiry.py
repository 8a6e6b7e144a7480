"""How long does an identity last?"""

from __future__ import annotations

import math
import time
from typing import Any

from wsext.errors import RemoteProtocolError
from wsext.protocol.closing import CloseCode
from wsext.protocol.http import Request

__all__ = ["EXPIRED", "expired", "renew", "seconds_left"]

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


def expired() -> RemoteProtocolError:
    """What ends a session whose identity has expired."""
    return RemoteProtocolError(CloseCode.POLICY_VIOLATION, EXPIRED)


def renew(request: Request, identity: Any, expires: float | None) -> None:
    """Put an identity that was shown again in the place of the one in a session's request.

    Raises:
        RemoteProtocolError: With 1008, if it is another identity, or one that has expired.
        TypeError: If ``expires`` is not a number.
    """
    if expires is not None and not seconds_left(expires):
        raise expired()
    if not request.identity == identity:  # which is what a resumption asks
        raise RemoteProtocolError(CloseCode.POLICY_VIOLATION, "another identity")
    request.identity, request.expires = identity, expires
