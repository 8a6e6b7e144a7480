"""What a client accepts of an answer to its handshake, as an option set."""

from __future__ import annotations

from typing import Annotated, ClassVar

from wsext.sdk.options import OptionSet, local

__all__ = ["ClientLimits"]


class ClientLimits(OptionSet):
    """The largest answer to a handshake that a client reads, of a server or a proxy.

    Informational answers (1xx) before the real one count into its size and number of headers.
    Redirects are not followed, and cookies are not kept.

    Raises:
        OptionError: For a value outside its bounds.
    """

    __owner__: ClassVar[str] = "client"

    max_header_size: Annotated[
        int, local("bytes of the status line and all headers", ge=256, le=1 << 20)
    ] = 65536
    max_header_count: Annotated[int, local("header lines", ge=4, le=128)] = 128
    max_body_size: Annotated[
        int,
        local("bytes of a refusal's body that are kept; the rest is not read", ge=0, le=1 << 20),
    ] = 65536
