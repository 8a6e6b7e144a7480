"""Which headers a client's handshake has beside its own: made anew, or the same each time."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeAlias

from wsext.client.targets import Target

__all__ = ["HeadersChoice", "RequestHeaders"]

Pairs: TypeAlias = Mapping[str, str] | Iterable[tuple[str, str]]

#: What `connect` takes: headers, or a function that gives them.
HeadersChoice: TypeAlias = Pairs | Callable[..., Pairs | Awaitable[Pairs]]

#: What says who asks: nobody else's server gets it.
_CREDENTIALS = ("authorization", "cookie", "proxy-authorization")


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class RequestHeaders:
    """The additional headers of a client.

    Args:
        choice: Headers, or a function that gives them for each handshake.
        own: The program's address. User name and password in it become a header.
    """

    def __init__(self, choice: HeadersChoice, own: Target) -> None:
        self._own = own
        self._make: Callable[..., Pairs | Awaitable[Pairs]] | None = None
        self._takes_url = False
        self._pairs: list[tuple[str, str]] = []
        if callable(choice):
            self._make = choice
            parameters = inspect.signature(choice).parameters.values()
            self._takes_url = any(
                each.default is each.empty and each.kind in _POSITIONAL for each in parameters
            )
        else:
            self._pairs = _as_pairs(choice)

    async def make(self, target: Target) -> list[tuple[str, str]]:
        """The headers for a handshake with a target.

        Raises:
            Whatever the function raises.
        """
        pairs = self._pairs
        if self._make is not None:
            made = self._make(target.url) if self._takes_url else self._make()
            pairs = _as_pairs(await made if inspect.isawaitable(made) else made)
        if target.origin == self._own.origin:
            if self._own.authorization is not None:
                pairs = [*pairs, ("Authorization", self._own.authorization)]
        elif not self._takes_url:
            pairs = [pair for pair in pairs if pair[0].lower() not in _CREDENTIALS]
        return pairs


def _as_pairs(headers: Pairs) -> list[tuple[str, str]]:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    return [(str(name), str(value)) for name, value in pairs]
