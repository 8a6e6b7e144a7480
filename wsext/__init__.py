"""wsext: a WebSocket server, client and extension SDK.

Everything that an application or an extension needs is a name of this package. Names are imported
when they are first used, so that a tool that needs one of them does not load all.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_NAMES = {
    "wsext.app": ("App",),
    "wsext.backplanes": (
        "Backplane",
        "BackplaneStatus",
    ),
    "wsext.backplanes.broker": (
        "Broker",
        "Record",
    ),
    "wsext.backplanes.options": ("RemoteOptions",),
    "wsext.backplanes.remote": ("RemoteBackplane",),
    "wsext.hub": ("Hub",),
    "wsext.presence": (
        "Presence",
        "PresenceChange",
    ),
    "wsext.rooms": (
        "Members",
        "Room",
    ),
    "wsext.client": ("connect",),
    "wsext.errors": (
        "ConnectionClosed",
        "ConnectionClosedError",
        "ConnectionClosedOK",
        "ExtensionConflict",
        "HandshakeError",
        "HandshakeRejected",
        "InvalidHandshake",
        "InvalidStatus",
        "LocalProtocolError",
        "MessageError",
        "NegotiationError",
        "OptionError",
        "PluginError",
        "ProtocolError",
        "QueueFull",
        "RemoteProtocolError",
        "WsextError",
    ),
    "wsext.protocol.frames": (
        "RSV",
        "CloseCode",
        "CloseInfo",
        "Frame",
        "Message",
        "Opcode",
    ),
    "wsext.protocol.http": ("Headers", "Request", "Response"),
    "wsext.protocol.agreement": (
        "Agreed",
        "Agreement",
        "Declined",
        "Negotiation",
        "NegotiationContext",
        "Offer",
        "Phase",
        "Verdict",
    ),
    "wsext.protocol.params": ("Params",),
    "wsext.protocol.prepared": ("PreparedMessage",),
    "wsext.routing": ("Router",),
    "wsext.sdk.extension": ("Codec", "Extension", "Interceptor", "MessageCodec"),
    "wsext.sdk.hookspecs": ("hookimpl", "hookspec"),
    "wsext.sdk.options": ("NamedOptionSet", "OptionSet", "local", "wire"),
    "wsext.sdk.plugins": ("option_set",),
    "wsext.server": ("Server", "serve"),
    "wsext.session": ("Listener", "Session"),
    "wsext.settings": ("RoomOptions", "ServerOptions", "WebSocketOptions"),
    "wsext.typed": ("Dispatcher", "ErrorReply", "on"),
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

if TYPE_CHECKING:
    from wsext.app import App as App
    from wsext.backplanes import Backplane as Backplane
    from wsext.backplanes import BackplaneStatus as BackplaneStatus
    from wsext.backplanes.broker import Broker as Broker
    from wsext.backplanes.broker import Record as Record
    from wsext.backplanes.options import RemoteOptions as RemoteOptions
    from wsext.backplanes.remote import RemoteBackplane as RemoteBackplane
    from wsext.client import connect as connect
    from wsext.errors import ConnectionClosed as ConnectionClosed
    from wsext.errors import ConnectionClosedError as ConnectionClosedError
    from wsext.errors import ConnectionClosedOK as ConnectionClosedOK
    from wsext.errors import ExtensionConflict as ExtensionConflict
    from wsext.errors import HandshakeError as HandshakeError
    from wsext.errors import HandshakeRejected as HandshakeRejected
    from wsext.errors import InvalidHandshake as InvalidHandshake
    from wsext.errors import InvalidStatus as InvalidStatus
    from wsext.errors import LocalProtocolError as LocalProtocolError
    from wsext.errors import MessageError as MessageError
    from wsext.errors import NegotiationError as NegotiationError
    from wsext.errors import OptionError as OptionError
    from wsext.errors import PluginError as PluginError
    from wsext.errors import ProtocolError as ProtocolError
    from wsext.errors import QueueFull as QueueFull
    from wsext.errors import RemoteProtocolError as RemoteProtocolError
    from wsext.errors import WsextError as WsextError
    from wsext.hub import Hub as Hub
    from wsext.presence import Presence as Presence
    from wsext.presence import PresenceChange as PresenceChange
    from wsext.protocol.agreement import Agreed as Agreed
    from wsext.protocol.agreement import Agreement as Agreement
    from wsext.protocol.agreement import Declined as Declined
    from wsext.protocol.agreement import Negotiation as Negotiation
    from wsext.protocol.agreement import NegotiationContext as NegotiationContext
    from wsext.protocol.agreement import Offer as Offer
    from wsext.protocol.agreement import Phase as Phase
    from wsext.protocol.agreement import Verdict as Verdict
    from wsext.protocol.frames import RSV as RSV
    from wsext.protocol.frames import CloseCode as CloseCode
    from wsext.protocol.frames import CloseInfo as CloseInfo
    from wsext.protocol.frames import Frame as Frame
    from wsext.protocol.frames import Message as Message
    from wsext.protocol.frames import Opcode as Opcode
    from wsext.protocol.http import Headers as Headers
    from wsext.protocol.http import Request as Request
    from wsext.protocol.http import Response as Response
    from wsext.protocol.params import Params as Params
    from wsext.protocol.prepared import PreparedMessage as PreparedMessage
    from wsext.rooms import Members as Members
    from wsext.rooms import Room as Room
    from wsext.routing import Router as Router
    from wsext.sdk.extension import Codec as Codec
    from wsext.sdk.extension import Extension as Extension
    from wsext.sdk.extension import Interceptor as Interceptor
    from wsext.sdk.extension import MessageCodec as MessageCodec
    from wsext.sdk.hookspecs import hookimpl as hookimpl
    from wsext.sdk.hookspecs import hookspec as hookspec
    from wsext.sdk.options import NamedOptionSet as NamedOptionSet
    from wsext.sdk.options import OptionSet as OptionSet
    from wsext.sdk.options import local as local
    from wsext.sdk.options import wire as wire
    from wsext.sdk.plugins import option_set as option_set
    from wsext.server import Server as Server
    from wsext.server import serve as serve
    from wsext.session import Listener as Listener
    from wsext.session import Session as Session
    from wsext.settings import RoomOptions as RoomOptions
    from wsext.settings import ServerOptions as ServerOptions
    from wsext.settings import WebSocketOptions as WebSocketOptions
    from wsext.typed import Dispatcher as Dispatcher
    from wsext.typed import ErrorReply as ErrorReply
    from wsext.typed import on as on

__all__ = ["__version__", *sorted(_HOMES)]  # built from the table above


def __getattr__(name: str) -> Any:
    module = _HOMES.get(name)
    if module is None:
        raise AttributeError(f"module 'wsext' has no attribute {name!r}")
    value = getattr(import_module(module), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
