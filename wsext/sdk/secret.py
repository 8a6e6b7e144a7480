"""A secret as an option: it can be compared and read, and is never shown by accident."""

from __future__ import annotations

import hmac

__all__ = ["Secret"]


class Secret:
    """The type of an option that is secret, such as a token: whatever shows it shows ``(hidden)``.

    Text from a file, the environment or the command line becomes a secret, as text in code does.

    Raises:
        ValueError: For an empty text, which would be a secret that everybody knows.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        if not text:
            raise ValueError("a secret cannot be empty")
        self._text = text

    def reveal(self) -> str:
        """The secret itself."""
        return self._text

    def matches(self, given: str) -> bool:
        """Whether a text is the secret; takes the same time wherever they differ."""
        sent, own = (text.encode("utf-8", "surrogatepass") for text in (given, self._text))
        return hmac.compare_digest(sent, own)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and self.matches(other._text)

    def __hash__(self) -> int:
        return hash(self._text)

    def __repr__(self) -> str:
        return "(hidden)"
