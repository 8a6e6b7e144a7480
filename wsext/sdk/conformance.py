"""What an extension tells the conformance kit: the attributes that ``conformance`` may have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

import msgspec

from wsext.errors import nearest

__all__ = ["Conformance", "check_conformance"]


class Conformance(TypedDict, total=False):
    """What the kit cannot find out itself. An author says it in the class of the extension, for
    ``wsext ext check`` and for every suite that does not say it in its own body::

        class Crc32(Extension):
            conformance: ClassVar[Conformance] = {"detects_corruption": True}

    Attributes:
        options: Options of every instance, for an extension that needs some:
            ``{"key": "for tests"}``.
        variants: Sets of options that are negotiated with each other, for example
            ``({}, {"size": 100}, {"size": 4096})``. By default they are made of the bounds of the
            wire options.
        messages: Payloads that the cases use: ``[b'{"price": 1}', b"\\x00"]``.
        examples: How many random conversations are tried, the same in every run. 40 by default.
        inflates: Whether decoding may make much more than came in. ``None``, the default: it is
            found out.
        detects_corruption: Whether every change of a message on the wire is refused, and unmarked
            messages, too. ``None``, the default: yes for a `SealedCodec`, otherwise no.
        detects_replay: Whether messages are refused that come twice, out of order, after a missing
            one, back to their sender or from another connection. ``None``, the default: yes for a
            `SealedCodec` that is ``ordered``, otherwise no.
        transparent: For an interceptor: whether messages have to arrive as they were sent.
            ``True`` by default.
    """

    options: Mapping[str, Any]
    variants: Sequence[Mapping[str, Any]] | None
    messages: Sequence[bytes]
    examples: int
    inflates: bool | None
    detects_corruption: bool | None
    detects_replay: bool | None
    transparent: bool


def check_conformance(owner: str, attributes: Mapping[str, Any]) -> None:
    """Check the names and types of attributes for the kit.

    Args:
        owner: Whose they are, for the error.
        attributes: For example ``Extension.conformance``.

    Raises:
        TypeError: For an unknown name, with the nearest one, or for a value of another type.
    """
    known = Conformance.__annotations__
    for name in attributes:
        if name not in known:
            similar = nearest(str(name), known)
            hint = f"; did you mean {similar!r}?" if similar else ""
            raise TypeError(
                f"{owner}: conformance has no attribute {name!r}{hint} (known: {', '.join(known)})"
            )
    try:
        msgspec.convert(dict(attributes), Conformance, builtin_types=(bytes,))
    except msgspec.ValidationError as error:
        raise TypeError(f"{owner}: conformance: {error}") from None
