"""Who may connect by name and password: a guard for HTTP Basic authentication (RFC 7617)."""

from __future__ import annotations

import hmac
import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, TypeAlias

from websockets.exceptions import InvalidHeader
from websockets.headers import build_www_authenticate_basic, parse_authorization_basic

from wsext.errors import HandshakeRejected
from wsext.protocol.http import Request

__all__ = ["basic_auth"]

Credentials: TypeAlias = "tuple[str, str]"
"""A name and a password."""


def basic_auth(
    realm: str = "",
    credentials: Credentials | Iterable[Credentials] | None = None,
    check_credentials: Callable[[str, str], Awaitable[bool] | bool] | None = None,
) -> Callable[[Request], Awaitable[None]]:
    """A guard that asks for a name and a password (HTTP Basic, RFC 7617).

    ``App(guards=[basic_auth("staff", ("ada", "secret"))])``, or ``guards=`` of a route or a
    `Router`. Who gets in has the name as `Session.identity`. Everybody else gets 401 with
    ``WWW-Authenticate``. The password travels as it is: use TLS (RFC 7617 §4).

    Args:
        realm: What the name and the password are for; browsers show it. ASCII.
        credentials: A pair of name and password, or several pairs. They are compared in a time that
            does not depend on what they are.
        check_credentials: Called with the name and the password instead; says whether they are
            right. May be ``async def``.

    Raises:
        ValueError: If both or neither of ``credentials`` and ``check_credentials`` are given, for a
            name with a colon (RFC 7617 §2), or a realm with other letters than ASCII or a line
            break.
        TypeError: If ``credentials`` are no pairs of texts.
    """
    if (credentials is None) == (check_credentials is None):
        raise ValueError("basic_auth takes either credentials or check_credentials")
    if not (realm.isascii() and realm.isprintable()):
        raise ValueError(f"a realm has printable ASCII characters only, not {realm!r}")
    challenge = {"WWW-Authenticate": build_www_authenticate_basic(realm)}
    check = check_credentials or _is_one_of(_pairs(credentials))

    async def guard(request: Request) -> None:
        name, password = _read(request)
        right = name is not None and check(name, password)
        if inspect.isawaitable(right):
            right = await right
        if not right:
            raise HandshakeRejected(401, "a name and a password are needed here", challenge)
        request.identity = name

    return guard


def _read(request: Request) -> tuple[str | None, str]:
    """The name and the password of a request; no name without them, or if they are malformed."""
    try:
        return parse_authorization_basic(request.headers.get("Authorization", ""))
    except (InvalidHeader, UnicodeDecodeError):  # the latter from older versions of websockets
        return None, ""


def _pairs(credentials: Any) -> list[Credentials]:
    pairs = [credentials] if _is_pair(credentials) else list(credentials)
    if not all(map(_is_pair, pairs)):
        raise TypeError("credentials are a pair of name and password, or several such pairs")
    for name, _ in pairs:
        if ":" in name:
            raise ValueError(f"a name has no colon (RFC 7617 §2), but {name!r} has")
    return pairs


def _is_pair(item: Any) -> bool:
    return isinstance(item, tuple) and [*map(type, item)] == [str, str]


def _is_one_of(known: Iterable[Credentials]) -> Callable[[str, str], bool]:
    pairs = [_joined(*pair) for pair in known]

    def check(name: str, password: str) -> bool:
        given = _joined(name, password)
        return any([hmac.compare_digest(pair, given) for pair in pairs])  # with every one of them

    return check


def _joined(name: str, password: str) -> bytes:
    return f"{name}:{password}".encode(errors="surrogateescape")
