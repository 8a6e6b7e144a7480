"""wsext's wire extensions for a plain ``websockets`` server or client.

    async with websockets.serve(
        handler, extensions=server_extensions(["permessage-zstd"]), compression=None
    ): ...

``websockets`` asks an extension for exactly one frame per frame, knows no asynchronous extension,
and refuses reserved opcodes before an extension sees them. What needs more than that cannot be
adapted; `adaptable` tells why. Pass ``compression=None``: the compression that ``websockets`` adds
by itself is negotiated without regard to reserved bits.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from websockets.exceptions import NegotiationError as TheirNegotiationError
from websockets.exceptions import WebSocketException
from websockets.extensions import ClientExtensionFactory, ServerExtensionFactory
from websockets.extensions import Extension as TheirExtension
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.typing import ExtensionName, ExtensionParameter

from wsext.errors import NegotiationError, PluginError, WsextError
from wsext.integrations.adapter import (
    UNLIMITED,
    Adapter,
    TooLateError,
    UnadaptableError,
    phase_of,
    reserved_bits,
)
from wsext.protocol.agreement import Agreed, NegotiationContext, Offer
from wsext.protocol.codes import RSV
from wsext.protocol.negotiation import confirm, make_offers, negotiate
from wsext.protocol.params import Params
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed
from wsext.sdk.values import as_list

__all__ = ["adaptable", "client_extensions", "server_extensions"]

#: What `adaptable` sends through an extension, in bytes.
_REHEARSED = (0, 100, 70_000)


def server_extensions(
    what: Iterable[Any] | Mapping[str, Mapping[str, Any]], *, max_size: int = 1 << 20
) -> list[ServerExtensionFactory]:
    """Factories for the ``extensions`` of ``websockets.serve``.

    ``websockets`` stacks extensions in the order of the client's offers. One that is offered below
    another whose `Phase` is nearer to the wire is not agreed to: a compression never sits above
    what has to see uncompressed data.

    Args:
        what: Tokens, classes or configured instances of wire extensions, or options by token. Of
            extensions that claim the same reserved bit a connection gets the first that the client
            offers.
        max_size: What the extensions are told about the size of messages, in bytes. The limit that
            is in force is the ``max_size`` of ``websockets``.

    Raises:
        PluginError: If an extension cannot be found, or cannot be adapted; says why.
        OptionError: For a wrong option.
    """
    return [_ServerFactory(extension, max_size) for extension in _adapted(what)]


def client_extensions(
    what: Iterable[Any] | Mapping[str, Mapping[str, Any]], *, max_size: int = 1 << 20
) -> list[ClientExtensionFactory]:
    """Factories for the ``extensions`` of ``websockets.connect``, one for each offer of each
    extension, by `Phase` and then in the order that is given; as `server_extensions` otherwise.

    Raises:
        PluginError: As `server_extensions`.
        OptionError: For a wrong option.
    """
    return [
        _ClientFactory(extension, offers, at, max_size)
        for extension in sorted(_adapted(what), key=lambda extension: extension.phase)
        for offers in [make_offers([extension])]
        for at in range(len(offers))
    ]


def adaptable(extension: Any, **options: Any) -> str | None:
    """Why ``websockets`` cannot use an extension with these options, or ``None`` if nothing speaks
    against it.

    Found out by a rehearsal: a client and a server with the extension agree, and messages of up to
    70,000 bytes, whole and in fragments, pass through. An extension that makes several frames only
    of larger messages is found out when it does: ``websockets`` then fails the connection. One that
    is asynchronous only with parameters of its peer is not agreed to then.

    Args:
        extension: A token or a class, or an instance with its options.
        options: Of the token or class. Other options may give another answer.

    Raises:
        PluginError: If there is no such extension.
        OptionError: If it needs other options.
    """
    installed = Installed()
    installed.install(extension, **options)
    items = installed.items
    if len(items) != 1 or not isinstance(items[0], Extension):
        return "is no wire extension: it works on one side only, and websockets has no place for it"
    item = items[0]
    if item.opcodes:
        codes = ", ".join(map(str, sorted(item.opcodes)))
        return f"uses reserved opcodes ({codes}), which websockets refuses"
    for method in ("accept", "confirm"):
        if inspect.iscoroutinefunction(getattr(item, method)):
            return f"negotiates asynchronously ({method}), and websockets cannot wait for that"
    try:
        _rehearse(item)
    except UnadaptableError as error:
        return error.reason
    except (WsextError, WebSocketException) as error:
        return f"failed in the rehearsal: {error}"
    return None


def _adapted(what: Iterable[Any] | Mapping[str, Mapping[str, Any]]) -> list[Extension]:
    installed = Installed()
    pairs: Iterable[tuple[Any, Mapping[str, Any]]] = (
        what.items()
        if isinstance(what, Mapping)
        else [(entry, {}) for entry in as_list("extensions", what)]
    )
    for entry, options in pairs:
        before = installed.items
        installed.install(entry, **options)
        if installed.items == before:
            raise PluginError(str(entry), "cannot be adapted to websockets: is no wire extension")
    for item in installed.items:
        reason = adaptable(item)
        if reason is not None:
            raise PluginError(item.name, f"cannot be adapted to websockets: {reason}")
    return list(installed.extensions)


# --- negotiation ------------------------------------------------------------------------------


class _ServerFactory(ServerExtensionFactory):
    def __init__(self, extension: Extension, max_size: int) -> None:
        self.name = ExtensionName(extension.name)
        self._extension = extension
        self._context = NegotiationContext("server", max_size)

    def process_request_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[TheirExtension]
    ) -> tuple[list[ExtensionParameter], TheirExtension]:
        _refuse_conflict(self._extension, accepted_extensions)
        _refuse_order(self._extension, accepted_extensions)
        try:
            offer = Offer(self.name, Params(params))
        except ValueError as error:
            raise TheirNegotiationError(str(error)) from error
        outcome = negotiate([offer], [self._extension], self._context)
        if not outcome.agreed:
            raise TheirNegotiationError(f"{self.name}: {outcome.records[0].reason}")
        (agreed,) = outcome.agreed
        return list(agreed.params.items()), _adapter(agreed, accepted_extensions)


class _ClientFactory(ClientExtensionFactory):
    """One of an extension's offers; the factory of any of them may get the server's answer."""

    def __init__(
        self, extension: Extension, offers: Sequence[Offer], at: int, max_size: int
    ) -> None:
        self.name = ExtensionName(extension.name)
        self._extension = extension
        self._offers = offers
        self._at = at
        self._context = NegotiationContext("client", max_size)

    def get_request_params(self) -> Sequence[ExtensionParameter]:
        return list(self._offers[self._at].params.items())

    def process_response_params(
        self, params: Sequence[ExtensionParameter], accepted_extensions: Sequence[TheirExtension]
    ) -> TheirExtension:
        _refuse_conflict(self._extension, accepted_extensions)
        try:
            answer = str(Offer(self.name, Params(params)))
            outcome = confirm(self._offers, [answer], [self._extension], self._context)
        except (NegotiationError, ValueError) as error:
            raise TheirNegotiationError(str(error)) from error
        (agreed,) = outcome.agreed
        return _adapter(agreed, accepted_extensions)


def _refuse_conflict(extension: Extension, accepted: Iterable[TheirExtension]) -> None:
    for other in accepted:
        if other.name == extension.name:
            raise TheirNegotiationError(f"{extension.name} was agreed already")
        bits = reserved_bits(other) & extension.rsv
        if bits:
            taken = f"{RSV(bits).names()}, which is taken by {other.name}"
            raise TheirNegotiationError(f"{extension.name} needs {taken}")


def _refuse_order(extension: Extension, accepted: Iterable[TheirExtension]) -> None:
    for other in accepted:
        phase = phase_of(other)
        if phase is not None and phase > extension.phase:
            raise TheirNegotiationError(
                f"{extension.name} ({extension.phase.name}) belongs above {other.name} "
                f"({phase.name}), and is offered after it"
            )


def _adapter(agreed: Agreed, accepted: Sequence[TheirExtension]) -> Adapter:
    adapter = Adapter(agreed, accepted)
    if adapter.is_async:
        raise TheirNegotiationError(f"{agreed.name} is asynchronous with these parameters")
    return adapter


# --- the rehearsal ----------------------------------------------------------------------------


def _rehearse(extension: Extension) -> None:
    """Pass messages from a client to a server and back.

    Raises:
        UnadaptableError: If a codec does what one frame for one frame cannot express.
        WsextError, WebSocketException: If a codec fails.
    """
    offers = make_offers([extension])
    server = negotiate(offers, [extension], NegotiationContext("server", UNLIMITED))
    if not server.agreed:
        return  # only a peer with other options would agree: nothing can be tried
    context = NegotiationContext("client", UNLIMITED)
    client = confirm(offers, [server.header or ""], [extension], context)
    ends = [Adapter(outcome.agreed[0]) for outcome in (client, server)]
    if any(end.is_async for end in ends):
        raise UnadaptableError("is asynchronous")
    for sender, receiver in (ends, reversed(ends)):
        for frame in _messages():
            try:
                receiver.decode(sender.encode(frame))
            except TooLateError:  # fragments do not work; the whole messages before them did
                break


def _messages() -> Iterator[TheirFrame]:
    """Messages of several sizes, whole ones first."""
    data = bytes(range(256)) * 300
    for size in _REHEARSED:
        yield TheirFrame(TheirOpcode.BINARY, data[:size])
    for size in _REHEARSED:
        yield TheirFrame(TheirOpcode.BINARY, data[: size // 2], False)
        yield TheirFrame(TheirOpcode.CONT, data[size // 2 : size])
