"""Parameters of one offer or answer of an extension (RFC 6455 §9.1)."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TypeAlias

from wsext.errors import NegotiationError

__all__ = ["ParamValue", "Params"]

ParamValue: TypeAlias = "str | int | bool | None"

# token = 1*tchar (RFC 9110 §5.6.2)
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")
_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}")
_HIDDEN = "…"

#: The most characters of what is shared: it is kept, and may come from a peer.
_SHORT = 64


@lru_cache(128)
def _shared(pairs: tuple[tuple[str, str | None], ...]) -> dict[str, str | None]:
    """What is left without the secrets: the same for most sessions, so they share it."""
    return dict(pairs)


class Params(Mapping[str, "str | None"]):
    """An immutable, ordered mapping from parameter names to values.

    A parameter without a value maps to ``None``. To build one, give names and values: ``True``
    and ``None`` stand for a parameter without a value, ``False`` leaves the parameter out and a
    number becomes its decimal digits::

        Params(server_no_context_takeover=True, client_max_window_bits=12)
        Params({"dict-id": "a1b2"})

    The readers (`flag`, `integer`, `text`, `only`) raise `NegotiationError` for a value that they
    cannot take, so `Extension.accept` can use them as they are: the core turns the exception into
    a declined offer (server) or a failed handshake (client), as RFC 7692 §7 wants.

    Raises:
        ValueError: If a name or a value is not a token of RFC 6455 §9.1.
    """

    __slots__ = ("_items", "_secret")

    def __init__(
        self,
        params: Mapping[str, ParamValue] | Iterable[tuple[str, ParamValue]] = (),
        /,
        **named: ParamValue,
    ) -> None:
        pairs = params.items() if isinstance(params, Mapping) else params
        items: dict[str, str | None] = {}
        for name, value in (*pairs, *named.items()):
            if value is False:
                continue
            if name in items:
                raise ValueError(f"duplicate parameter {name!r}")
            text = None if value is None or value is True else str(value)
            for part in (name, text):
                if part is not None and not _TOKEN.fullmatch(part):
                    raise ValueError(f"{part!r} is not a token (RFC 6455 section 9.1)")
            items[name] = text
        self._items = items
        self._secret: Collection[str] = ()

    def __getitem__(self, name: str) -> str | None:
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __hash__(self) -> int:
        return hash(tuple(self._items.items()))

    def __repr__(self) -> str:
        return f"Params({str(self)!r})"

    def __str__(self) -> str:
        """The parameters as they stand in the header, without the extension's name; ``…`` in place
        of the value of a secret one."""
        return self._join(_HIDDEN)

    @property
    def header(self) -> str:
        """The parameters as they stand in the header, also the secret ones."""
        return self._join(None)

    def _join(self, hidden: str | None) -> str:
        shown = {**self._items, **dict.fromkeys(self.secrets, hidden)} if hidden else self._items
        return "; ".join(k if v is None else f"{k}={v}" for k, v in shown.items())

    def hide(self, names: Collection[str]) -> Params:
        """The same parameters; the values of those with these names are shown to nobody."""
        if not any(name in self._items for name in names):
            return self
        hidden = Params()
        hidden._items, hidden._secret = dict(self._items), names
        return hidden

    @property
    def secrets(self) -> dict[str, str]:
        """The secret parameters that have a value."""
        items = self._items.items()
        return {name: value for name, value in items if name in self._secret and value}

    def forget(self) -> None:
        """Forget the values of the secret parameters: the handshake that needed them is over."""
        if secrets := self.secrets:
            items = {**self._items, **dict.fromkeys(secrets, _HIDDEN)}
            self._items = _shared(tuple(items.items())) if len(str(self)) <= _SHORT else items

    def flag(self, name: str) -> bool:
        """Whether a parameter that takes no value is present.

        Raises:
            NegotiationError: If it has a value.
        """
        if self._items.get(name) is not None:
            raise NegotiationError(f"{name} takes no value")
        return name in self._items

    def integer(self, name: str, low: int, high: int) -> int | None:
        """The value of a numeric parameter, or ``None`` when it is absent or has no value.

        Raises:
            NegotiationError: If the value is not decimal digits without a leading zero, or is
                outside ``low`` to ``high``.
        """
        value = self._items.get(name)
        if value is None:
            return None
        if not _DIGITS.fullmatch(value) or not low <= int(value) <= high:
            raise NegotiationError(f"{name} has to be a number from {low} to {high}, not {value!r}")
        return int(value)

    def text(self, name: str) -> str | None:
        """The value of a parameter that needs one, or ``None`` when it is absent.

        Raises:
            NegotiationError: If it is present without a value.
        """
        if name in self._items and self._items[name] is None:
            raise NegotiationError(f"{name} needs a value")
        return self._items.get(name)

    def only(self, *names: str) -> None:
        """Check that no other parameters than these are present.

        Raises:
            NegotiationError: If there is another one; RFC 7692 §7.1 has such an offer declined.
        """
        for name in self._items:
            if name not in names:
                raise NegotiationError(f"unknown parameter {name!r}")
