"""wsext: a WebSocket server, client and extension SDK.

Everything that an application or an extension needs is a name of this package. Names are imported
when they are first used, so that a tool that needs one of them does not load all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from wsext import compiled as compiled  # before any fast module is imported
from wsext.version import __version__ as __version__

#: The names of each module, with blanks between. Type checkers read the imports below instead; a
#: test holds the two together.
_NAMES = {
    "wsext.app.basic_auth": "basic_auth",
    "wsext.app.routing": "Router",
    "wsext.app.settings": "ServerOptions",
    "wsext.app.typed": "Dispatcher ErrorReply on",
    "wsext.client.connect": "connect",
    "wsext.client.settings": "ClientLimits",
    "wsext.compiled": "CODEC",
    "wsext.errors": (
        "CloseInfo ConnectionClosed ConnectionClosedError ConnectionClosedOK "
        "EndSession ExtensionConflict HandshakeError HandshakeRejected InvalidHandshake "
        "InvalidStatus LifespanError LocalProtocolError MessageError NegotiationError NotResumed "
        "OptionError OutcomeUnknown PluginError ProtocolError PublishError QueueFull "
        "RemoteProtocolError RoomError RouteError UnknownPlugin WsextError"
    ),
    "wsext.protocol.agreement": (
        "Agreed Agreement Declined Negotiation NegotiationContext Offer Phase Verdict"
    ),
    "wsext.protocol.closing": "CloseCode",
    "wsext.protocol.codes": "Opcode RSV",
    "wsext.protocol.contexts": "SharedContext",
    "wsext.protocol.frames": "Frame Message",
    "wsext.protocol.headers": "Headers",
    "wsext.protocol.http": "Request Response",
    "wsext.protocol.journal": "Journal",
    "wsext.protocol.params": "Params",
    "wsext.protocol.prepared": "PreparedMessage",
    "wsext.rooms.backplanes.contract": "Backplane BackplaneStatus",
    "wsext.rooms.backplanes.broker": "Broker Record",
    "wsext.rooms.backplanes.options": "RemoteOptions",
    "wsext.rooms.backplanes.positions": "LogHead Position",
    "wsext.rooms.backplanes.remote": "RemoteBackplane",
    "wsext.rooms.blocking": "BlockingPublisher",
    "wsext.rooms.heard": "Missed RoomMessage",
    "wsext.rooms.hub": "Hub",
    "wsext.rooms.membership": "Membership",
    "wsext.rooms.presence": "Presence PresenceChange PresenceFeed",
    "wsext.rooms.publisher": "Publisher",
    "wsext.rooms.room": "Room",
    "wsext.rooms.settings": "RoomOptions",
    "wsext.runtime.backoff": "Backoff",
    "wsext.runtime.broadcast": "broadcast broadcast_json",
    "wsext.runtime.held": "Held",
    "wsext.runtime.listener": "Listener",
    "wsext.runtime.prepared_value": "PreparedValue",
    "wsext.runtime.session": "Session",
    "wsext.runtime.settings": "WebSocketOptions",
    "wsext.sdk.codec": "Codec MessageCodec MessageInfo SharedHistory",
    "wsext.sdk.extension": "Extension Interceptor",
    "wsext.sdk.hookspecs": "hookimpl hookspec",
    "wsext.sdk.options": "in_code local NamedOptionSet OptionSet wire",
    "wsext.sdk.plugins": "option_set",
    "wsext.sdk.sealed": "SealedCodec SealedExtension",
    "wsext.sdk.secret": "Secret",
    "wsext.server.running": "App serve",
    "wsext.server.server": "Server",
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names.split()}

if TYPE_CHECKING:
    from wsext.app.basic_auth import basic_auth as basic_auth
    from wsext.app.routing import Router as Router
    from wsext.app.settings import ServerOptions as ServerOptions
    from wsext.app.typed import Dispatcher as Dispatcher
    from wsext.app.typed import ErrorReply as ErrorReply
    from wsext.app.typed import on as on
    from wsext.client.connect import connect as connect
    from wsext.client.settings import ClientLimits as ClientLimits
    from wsext.compiled import CODEC as CODEC
    from wsext.errors import CloseInfo as CloseInfo
    from wsext.errors import ConnectionClosed as ConnectionClosed
    from wsext.errors import ConnectionClosedError as ConnectionClosedError
    from wsext.errors import ConnectionClosedOK as ConnectionClosedOK
    from wsext.errors import EndSession as EndSession
    from wsext.errors import ExtensionConflict as ExtensionConflict
    from wsext.errors import HandshakeError as HandshakeError
    from wsext.errors import HandshakeRejected as HandshakeRejected
    from wsext.errors import InvalidHandshake as InvalidHandshake
    from wsext.errors import InvalidStatus as InvalidStatus
    from wsext.errors import LifespanError as LifespanError
    from wsext.errors import LocalProtocolError as LocalProtocolError
    from wsext.errors import MessageError as MessageError
    from wsext.errors import NegotiationError as NegotiationError
    from wsext.errors import NotResumed as NotResumed
    from wsext.errors import OptionError as OptionError
    from wsext.errors import OutcomeUnknown as OutcomeUnknown
    from wsext.errors import PluginError as PluginError
    from wsext.errors import ProtocolError as ProtocolError
    from wsext.errors import PublishError as PublishError
    from wsext.errors import QueueFull as QueueFull
    from wsext.errors import RemoteProtocolError as RemoteProtocolError
    from wsext.errors import RoomError as RoomError
    from wsext.errors import RouteError as RouteError
    from wsext.errors import UnknownPlugin as UnknownPlugin
    from wsext.errors import WsextError as WsextError
    from wsext.protocol.agreement import Agreed as Agreed
    from wsext.protocol.agreement import Agreement as Agreement
    from wsext.protocol.agreement import Declined as Declined
    from wsext.protocol.agreement import Negotiation as Negotiation
    from wsext.protocol.agreement import NegotiationContext as NegotiationContext
    from wsext.protocol.agreement import Offer as Offer
    from wsext.protocol.agreement import Phase as Phase
    from wsext.protocol.agreement import Verdict as Verdict
    from wsext.protocol.closing import CloseCode as CloseCode
    from wsext.protocol.codes import RSV as RSV
    from wsext.protocol.codes import Opcode as Opcode
    from wsext.protocol.contexts import SharedContext as SharedContext
    from wsext.protocol.frames import Frame as Frame
    from wsext.protocol.frames import Message as Message
    from wsext.protocol.headers import Headers as Headers
    from wsext.protocol.http import Request as Request
    from wsext.protocol.http import Response as Response
    from wsext.protocol.journal import Journal as Journal
    from wsext.protocol.params import Params as Params
    from wsext.protocol.prepared import PreparedMessage as PreparedMessage
    from wsext.rooms.backplanes.broker import Broker as Broker
    from wsext.rooms.backplanes.broker import Record as Record
    from wsext.rooms.backplanes.contract import Backplane as Backplane
    from wsext.rooms.backplanes.contract import BackplaneStatus as BackplaneStatus
    from wsext.rooms.backplanes.options import RemoteOptions as RemoteOptions
    from wsext.rooms.backplanes.positions import LogHead as LogHead
    from wsext.rooms.backplanes.positions import Position as Position
    from wsext.rooms.backplanes.remote import RemoteBackplane as RemoteBackplane
    from wsext.rooms.blocking import BlockingPublisher as BlockingPublisher
    from wsext.rooms.heard import Missed as Missed
    from wsext.rooms.heard import RoomMessage as RoomMessage
    from wsext.rooms.hub import Hub as Hub
    from wsext.rooms.membership import Membership as Membership
    from wsext.rooms.presence import Presence as Presence
    from wsext.rooms.presence import PresenceChange as PresenceChange
    from wsext.rooms.presence import PresenceFeed as PresenceFeed
    from wsext.rooms.publisher import Publisher as Publisher
    from wsext.rooms.room import Room as Room
    from wsext.rooms.settings import RoomOptions as RoomOptions
    from wsext.runtime.backoff import Backoff as Backoff
    from wsext.runtime.broadcast import broadcast as broadcast
    from wsext.runtime.broadcast import broadcast_json as broadcast_json
    from wsext.runtime.held import Held as Held
    from wsext.runtime.listener import Listener as Listener
    from wsext.runtime.prepared_value import PreparedValue as PreparedValue
    from wsext.runtime.session import Session as Session
    from wsext.runtime.settings import WebSocketOptions as WebSocketOptions
    from wsext.sdk.codec import Codec as Codec
    from wsext.sdk.codec import MessageCodec as MessageCodec
    from wsext.sdk.codec import MessageInfo as MessageInfo
    from wsext.sdk.codec import SharedHistory as SharedHistory
    from wsext.sdk.extension import Extension as Extension
    from wsext.sdk.extension import Interceptor as Interceptor
    from wsext.sdk.hookspecs import hookimpl as hookimpl
    from wsext.sdk.hookspecs import hookspec as hookspec
    from wsext.sdk.options import NamedOptionSet as NamedOptionSet
    from wsext.sdk.options import OptionSet as OptionSet
    from wsext.sdk.options import in_code as in_code
    from wsext.sdk.options import local as local
    from wsext.sdk.options import wire as wire
    from wsext.sdk.plugins import option_set as option_set
    from wsext.sdk.sealed import SealedCodec as SealedCodec
    from wsext.sdk.sealed import SealedExtension as SealedExtension
    from wsext.sdk.secret import Secret as Secret
    from wsext.server.running import App as App
    from wsext.server.running import serve as serve
    from wsext.server.server import Server as Server

__all__ = ["__version__", *sorted(_HOMES)]  # built from the table above


def __getattr__(name: str) -> Any:
    if name in ("sync", "testing"):
        return import_module(f"wsext.{name}")
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module 'wsext' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
