"""What is wrong with the class of an extension, found before any peer meets it.

Each check is made when a class is made, and again when it is installed: attributes may have been
changed meanwhile. The errors say what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wsext.protocol.agreement import Phase
from wsext.protocol.codes import RSV
from wsext.sdk.conformance import check_conformance
from wsext.sdk.options import OptionSet

__all__ = ["check_class", "check_name"]

#: ``token`` of RFC 9110 §5.6.2, which RFC 6455 §9.1 asks for.
_TOKEN = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+")

#: The opcodes that RFC 6455 §5.2 reserves, for data and for control frames.
_OPCODES = frozenset({3, 4, 5, 6, 7, 11, 12, 13, 14, 15})

_BITS = int(RSV.RSV1 | RSV.RSV2 | RSV.RSV3)


def check_class(kind: Any) -> None:
    """Check the attributes of an extension's or interceptor's class.

    Raises:
        TypeError: For one that cannot be used; says what to write instead.
    """
    owner = kind.__name__
    options = kind.Options
    if not (isinstance(options, type) and issubclass(options, OptionSet)):
        raise TypeError(
            f"{owner}.Options is {options!r}: write a class that is derived from wsext.OptionSet, "
            "and not an object of it"
        )
    if not isinstance(kind.conformance, Mapping):
        raise TypeError(
            f"{owner}.conformance is {kind.conformance!r}: write a dictionary, for example "
            "conformance = {'examples': 100}"
        )
    check_conformance(owner, kind.conformance)
    if hasattr(kind, "name"):  # a class that others derive from may have none
        check_name(kind)
    if hasattr(kind, "phase"):
        _check_claims(kind, owner)


def check_name(kind: Any) -> None:
    """Check the name of an extension, which is a token, or of an interceptor.

    Raises:
        TypeError: If it has none, or one that cannot be used.
    """
    owner, name = kind.__name__, getattr(kind, "name", None)
    if not isinstance(name, str) or not name:
        raise TypeError(f"{owner}.name is {name!r}: write a text, for example name = 'x-example'")
    if hasattr(kind, "phase") and not _TOKEN.fullmatch(name):
        better = re.sub(r"[^-!#$%&'*+.^_`|~0-9A-Za-z]+", "-", name).strip("-") or "x-example"
        raise TypeError(
            f"{owner}.name is {name!r}, which is no token (RFC 6455 §9.1: letters, digits and "
            f"!#$%&'*+-.^_`|~): write for example name = {better!r}"
        )


def _check_claims(kind: Any, owner: str) -> None:
    """Check what a wire extension claims: its phase, bits, opcodes and parameters."""
    if not isinstance(kind.phase, Phase):
        known = ", ".join(f"Phase.{phase.name}" for phase in Phase)
        raise TypeError(f"{owner}.phase is {kind.phase!r}: write one of {known}")
    if not isinstance(kind.rsv, int) or kind.rsv & ~_BITS:
        hint = {"1": "RSV.RSV1", "3": "RSV.RSV3"}.get(str(kind.rsv), "RSV.RSV2")
        raise TypeError(
            f"{owner}.rsv is {kind.rsv!r}: write RSV.RSV1, RSV.RSV2 or RSV.RSV3, or several with | "
            f"between (rsv = {hint})"
        )
    opcodes = kind.opcodes
    if isinstance(opcodes, (int, str)) or not _OPCODES.issuperset(opcodes):
        raise TypeError(
            f"{owner}.opcodes is {opcodes!r}: write a frozenset of reserved opcodes, which are "
            "3 to 7 (data) and 11 to 15 (control), for example frozenset({3})"
        )
    extra = kind.extra_wire_params
    if isinstance(extra, str) or not all(
        isinstance(name, str) and _TOKEN.fullmatch(name) for name in extra
    ):
        raise TypeError(
            f"{owner}.extra_wire_params is {extra!r}: write a frozenset of names that are tokens "
            "(RFC 6455 §9.1), for example frozenset({'window'})"
        )
