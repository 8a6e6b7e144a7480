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

import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from websockets.exceptions import NegotiationError as TheirNegotiationError
from websockets.exceptions import PayloadTooBig, WebSocketException
from websockets.exceptions import ProtocolError as TheirProtocolError
from websockets.extensions import ClientExtensionFactory, ServerExtensionFactory
from websockets.extensions import Extension as TheirExtension
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame as TheirFrame
from websockets.frames import Opcode as TheirOpcode
from websockets.typing import ExtensionName, ExtensionParameter

from wsext.errors import (
    LocalProtocolError,
    NegotiationError,
    PluginError,
    ProtocolError,
    WsextError,
)
from wsext.protocol.agreement import Agreed, NegotiationContext, Offer
from wsext.protocol.closing import CloseCode
from wsext.protocol.codes import RSV
from wsext.protocol.frames import Frame
from wsext.protocol.negotiation import confirm, make_offers, negotiate
from wsext.protocol.params import Params
from wsext.protocol.pipeline import Pipeline, Stage
from wsext.sdk.extension import Extension
from wsext.sdk.installed import Installed, build

__all__ = ["adaptable", "client_extensions", "server_extensions"]

#: ``max_size=None`` of ``websockets``, in bytes.
_UNLIMITED = 1 << 31

#: What `adaptable` sends through an extension, in bytes.
_REHEARSED = (0, 100, 70_000)


def server_extensions(
    what: Iterable[Any] | Mapping[str, Mapping[str, Any]], *, max_size: int = 1 << 20
) -> list[ServerExtensionFactory]:
    """Factories for the ``extensions`` of ``websockets.serve``.

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
    extension; as `server_extensions` otherwise.

    Raises:
        PluginError: As `server_extensions`.
        OptionError: For a wrong option.
    """
    return [
        _ClientFactory(extension, offers, at, max_size)
        for extension in _adapted(what)
        for offers in [make_offers([extension])]
        for at in range(len(offers))
    ]


def adaptable(extension: Any) -> str | None:
    """Why ``websockets`` cannot use an extension, or ``None`` if nothing speaks against it.

    Found out by a rehearsal: a client and a server with the extension agree, and messages of up to
    70,000 bytes, whole and in fragments, pass through. An extension that makes several frames only
    of larger messages is found out when it does: ``websockets`` then fails the connection.

    Args:
        extension: A token, a class or an instance.

    Raises:
        PluginError: If there is no such extension.
        OptionError: If it needs options.
    """
    items = build([extension]).items
    if len(items) != 1 or not isinstance(items[0], Extension):
        return "is no wire extension: it works on one side only, and websockets has no place for it"
    item = items[0]
    if item.opcodes:
        codes = ", ".join(map(str, sorted(item.opcodes)))
        return f"uses reserved opcodes ({codes}), which websockets refuses"
    try:
        _rehearse(item)
    except _Unadaptable as error:
        return error.reason
    except (WsextError, WebSocketException) as error:
        return f"failed in the rehearsal: {error}"
    return None


def _adapted(what: Iterable[Any] | Mapping[str, Mapping[str, Any]]) -> list[Extension]:
    installed = Installed()
    pairs: Iterable[tuple[Any, Mapping[str, Any]]] = (
        what.items() if isinstance(what, Mapping) else [(entry, {}) for entry in what]
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


class _Unadaptable(LocalProtocolError):
    """A codec did what one frame for one frame cannot express."""


class _TooLate(_Unadaptable):
    """A codec left a message as it is whose first fragment was sent as an encoded one."""


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
        try:
            offer = Offer(self.name, Params(params))
        except ValueError as error:
            raise TheirNegotiationError(str(error)) from error
        outcome = negotiate([offer], [self._extension], self._context)
        if not outcome.agreed:
            raise TheirNegotiationError(f"{self.name}: {outcome.records[0].reason}")
        (agreed,) = outcome.agreed
        return list(agreed.params.items()), _Adapter(agreed, accepted_extensions)


class _ClientFactory(ClientExtensionFactory):
    """One offer; whichever factory is asked takes the answer to all of them."""

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
        return _Adapter(agreed, accepted_extensions)


def _refuse_conflict(extension: Extension, accepted: Iterable[TheirExtension]) -> None:
    for other in accepted:
        if other.name == extension.name:
            raise TheirNegotiationError(f"{extension.name} was agreed already")
        bits = _bits(other) & extension.rsv
        if bits:
            taken = f"{RSV(bits).names()}, which is taken by {other.name}"
            raise TheirNegotiationError(f"{extension.name} needs {taken}")


def _bits(other: TheirExtension) -> int:
    """The reserved bits of an extension; of foreign ones only those of ``websockets`` are known."""
    if isinstance(other, _Adapter):
        return other.rsv
    return RSV.RSV1 if isinstance(other, PerMessageDeflate) else RSV.NONE


# --- frames -----------------------------------------------------------------------------------


class _Adapter(TheirExtension):
    """One codec on one connection, as ``websockets`` calls it: one frame for one frame.

    A codec that holds fragments back until it has the whole message is given its way: an empty
    fragment stands for each that is held, and the last one carries the message.

    Args:
        agreed: The extension and its codec.
        others: The extensions of the connection, which ``websockets`` goes on to fill.
    """

    def __init__(self, agreed: Agreed, others: Sequence[TheirExtension] = ()) -> None:
        self.name = ExtensionName(agreed.name)
        self.rsv = int(agreed.extension.rsv)
        self._codec = agreed.codec
        self._stage = Stage(agreed.name, agreed.codec, agreed.extension.rsv)
        self._pipeline = Pipeline([self._stage])
        self._others = others
        self._conflict_checked = False
        self._marked = 0  # our bits on the outgoing message's first fragment, if it was held
        self._sent_held = False
        self._held_bytes = 0  # of the incoming message, not given out yet
        self._failure: ProtocolError | None = None
        # ``websockets`` does not tell when the connection ends, but it lets go of the extension.
        weakref.finalize(self, self._pipeline.close)

    @property
    def is_async(self) -> bool:
        """Whether the codec is asynchronous, and so cannot be used here."""
        return self._pipeline.is_async

    # --- outgoing -----------------------------------------------------------------------------

    def encode(self, frame: TheirFrame) -> TheirFrame:
        """An outgoing frame, encoded.

        Raises:
            LocalProtocolError: If the codec fails, or cannot be adapted after all. Its state no
                longer matches the peer's then, so every later message is refused, too.
        """
        self._check_conflict()
        if self._failure is not None and frame.opcode < 8:
            raise self._failure
        foreign, own = _split(frame, self.rsv)
        try:
            frames = self._pipeline.encode(own)
            result = own if own.is_control else self._joined_encoded(own, frames)
        except ProtocolError as error:
            self._failure = error
            raise
        return _theirs(frame.opcode, result, foreign)

    def _joined_encoded(self, frame: Frame, frames: list[Frame]) -> Frame:
        if not frames and not frame.fin:
            if frame.opcode:
                self._sent_held, self._marked = True, self.rsv
            return Frame(frame.opcode, b"", False, self._marked if frame.opcode else 0)
        if len(frames) != 1:
            made = f"{len(frames)} frames" if frames else "nothing"
            raise _Unadaptable(f"makes {made} of one frame", extension=self.name)
        (result,) = frames
        if result.fin != frame.fin:
            raise _Unadaptable("ends messages elsewhere", extension=self.name)
        held, self._sent_held = self._sent_held and frame.opcode == 0, False
        if not held:
            return result
        if result.rsv & self.rsv != self._marked:
            raise _TooLate(
                "leaves a message as it is whose first fragment was sent as an encoded one",
                extension=self.name,
            )
        return result.replace(rsv=result.rsv & ~self.rsv)

    # --- incoming -----------------------------------------------------------------------------

    def decode(self, frame: TheirFrame, *, max_size: int | None = None) -> TheirFrame:
        """An incoming frame, decoded.

        Raises:
            PayloadTooBig: If it becomes larger than ``max_size``.
            ProtocolError: That of ``websockets``, if the codec refuses the frame.
            LocalProtocolError: If the codec fails.
        """
        self._check_conflict()
        foreign, own = _split(frame, self.rsv)
        if own.rsv and not own.opcode and self._codec.first_frame_rsv:
            raise TheirProtocolError(f"{RSV(own.rsv).names()} on a continuation")
        limit = _UNLIMITED if max_size is None else max_size
        # What is left of the limit is what `websockets` says, not what the stage has counted.
        self._stage.limit = limit + (0 if own.opcode else self._stage.produced)
        try:
            if not own.is_control:
                self._check_held(own, limit)
            frames = self._pipeline.decode(own)
            result = own if own.is_control else self._joined_decoded(own, frames)
        except ProtocolError as error:
            raise _their_error(error, limit) from error
        return _theirs(frame.opcode, result, foreign)

    def _check_held(self, frame: Frame, limit: int) -> None:
        """What a codec holds back is in no count of ``websockets``."""
        self._held_bytes = len(frame.payload) + (0 if frame.opcode else self._held_bytes)
        if self._held_bytes > max(limit, self._codec.encoded_bound(limit)):
            raise PayloadTooBig(self._held_bytes, limit)

    def _joined_decoded(self, frame: Frame, frames: list[Frame]) -> Frame:
        if frames:
            self._held_bytes = 0
        elif frame.fin:
            raise _Unadaptable("drops a message", extension=self.name)
        if any(item.fin for item in frames[:-1]) or (frames and frames[-1].fin != frame.fin):
            raise _Unadaptable("ends messages elsewhere", extension=self.name)
        payload = b"".join(bytes(item.payload) for item in frames)
        return Frame(frame.opcode, payload, frame.fin)

    def _check_conflict(self) -> None:
        """Refuse to work beside an extension that was agreed after this one on the same bit."""
        if self._conflict_checked:
            return
        for other in self._others:
            bits = _bits(other) & self.rsv if other is not self else 0
            if bits:
                what = RSV(bits).names()
                raise LocalProtocolError(
                    f"{what} is used by {other.name}, too; pass compression=None to websockets",
                    extension=self.name,
                )
        self._conflict_checked, self._others = True, ()


def _split(frame: TheirFrame, rsv: int) -> tuple[int, Frame]:
    """The bits of other extensions, and the frame without them."""
    bits = frame.rsv1 * RSV.RSV1 | frame.rsv2 * RSV.RSV2 | frame.rsv3 * RSV.RSV3
    return bits & ~rsv, Frame(int(frame.opcode), frame.data, frame.fin, bits & rsv)


def _theirs(opcode: TheirOpcode, frame: Frame, foreign: int) -> TheirFrame:
    bits = frame.rsv | foreign
    payload = frame.payload if isinstance(frame.payload, bytes) else bytes(frame.payload)
    return TheirFrame(
        opcode,
        payload,
        frame.fin,
        bool(bits & RSV.RSV1),
        bool(bits & RSV.RSV2),
        bool(bits & RSV.RSV3),
    )


def _their_error(error: ProtocolError, limit: int) -> Exception:
    """A codec's refusal as what ``websockets`` closes with the right code for, as far as it can:
    it has 1002 where wsext has 1007."""
    if error.code == CloseCode.MESSAGE_TOO_BIG:
        return PayloadTooBig(None, limit)
    if error.code in (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA):
        return TheirProtocolError(error.reason)
    return error


# --- the rehearsal ----------------------------------------------------------------------------


def _rehearse(extension: Extension) -> None:
    """Pass messages from a client to a server and back.

    Raises:
        _Unadaptable: If a codec does what one frame for one frame cannot express.
        WsextError, WebSocketException: If a codec fails.
    """
    offers = make_offers([extension])
    server = negotiate(offers, [extension], NegotiationContext("server", _UNLIMITED))
    if not server.agreed:
        return  # options that only another peer agrees to: there is nothing to be found out
    context = NegotiationContext("client", _UNLIMITED)
    client = confirm(offers, [server.header or ""], [extension], context)
    ends = [_Adapter(outcome.agreed[0]) for outcome in (client, server)]
    if any(end.is_async for end in ends):
        raise _Unadaptable("is asynchronous")
    for sender, receiver in (ends, reversed(ends)):
        for frame in _messages():
            try:
                receiver.decode(sender.encode(frame))
            except _TooLate:  # so much for fragments; whole messages have passed by now
                break


def _messages() -> Iterator[TheirFrame]:
    """Messages of several sizes, whole ones first."""
    data = bytes(range(256)) * 300
    for size in _REHEARSED:
        yield TheirFrame(TheirOpcode.BINARY, data[:size])
    for size in _REHEARSED:
        yield TheirFrame(TheirOpcode.BINARY, data[: size // 2], False)
        yield TheirFrame(TheirOpcode.CONT, data[size // 2 : size])
