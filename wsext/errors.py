"""Every exception of wsext, in one tree.

    WsextError
    ├── OptionError (ValueError)        a wrong option; names owner, field, what fits, source
    ├── RouteError (ValueError)         a route that cannot be served; names its path
    ├── LifespanError                   a lifespan or a task of the app has failed; names it
    ├── PluginError                     a plugin that cannot be used; names it and its distribution
    │   ├── UnknownPlugin               no plugin, extension or option set has this name
    │   └── ExtensionConflict           two installed extensions that can never work together
    ├── HandshakeError                  the opening handshake (RFC 6455 §4) did not succeed
    │   ├── HandshakeRejected           server: answer the request with this status
    │   ├── InvalidStatus               client: the server answered with another status than 101
    │   ├── InvalidHandshake            client: the server's 101 breaks the RFC
    │   ├── NotResumed                  client: a session does not go on with another connection
    │   └── NegotiationError            an extension parameter or answer that cannot be used
    ├── ProtocolError                   a broken rule of the open connection; carries the close code
    │   ├── RemoteProtocolError         the peer broke it
    │   ├── EndSession                  an interceptor ends the session, with a code of its choice
    │   └── LocalProtocolError          this side (the application or an extension) broke it
    │       └── RoomError (ValueError)  a session asked for what rooms do not allow
    ├── ConnectionClosed                the session has ended; carries the `CloseInfo`
    │   ├── ConnectionClosedOK          with 1000 or 1001
    │   └── ConnectionClosedError       in any other way
    ├── MessageError                    a message that the application cannot use, or refuses
    ├── PublishError                    a `Publisher` could not publish a message
    │   └── OutcomeUnknown              the broker was given it, and did not say that it took it
    └── QueueFull                       `send_nowait` while the outgoing queue is full

Exceptions carry attributes; the sentence is made in ``__str__``. `CloseInfo` stands here because
`ConnectionClosed` carries it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from wsext.escape import escape

__all__ = [
    "CloseInfo",
    "ConnectionClosed",
    "ConnectionClosedError",
    "ConnectionClosedOK",
    "EndSession",
    "ExtensionConflict",
    "HandshakeError",
    "HandshakeRejected",
    "InvalidHandshake",
    "InvalidStatus",
    "LifespanError",
    "LocalProtocolError",
    "MessageError",
    "NegotiationError",
    "NotResumed",
    "OptionError",
    "OutcomeUnknown",
    "PluginError",
    "ProtocolError",
    "PublishError",
    "QueueFull",
    "RemoteProtocolError",
    "RoomError",
    "RouteError",
    "UnknownPlugin",
    "WsextError",
    "nearest",
]


def nearest(name: str, names: Iterable[str]) -> str | None:
    """The valid name that is most like ``name``, or ``None`` when none is close.

    The end of a name is close, too: ``deflate`` to ``permessage-deflate``.
    """
    known = list(names)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    close += [item for item in known if name and item.endswith(f"-{name}")]
    return close[0] if close else None


#: The close code of a connection that ended without a Close frame (RFC 6455 §7.4.1).
_ABNORMAL = 1006


class CloseInfo(msgspec.Struct, frozen=True):
    """How a session ended; always filled in when it has.

    Attributes:
        local: Code and reason that this side sent, or ``None``.
        remote: Code and reason that the peer sent, or ``None``; code 1005 when its Close frame
            was empty.
        clean: Whether both Close frames travelled (RFC 6455 §7.1.4).
        exception: What ended the session, when something did.
        local_first: Whether this side began the closing handshake.
    """

    local: tuple[int, str] | None = None
    remote: tuple[int, str] | None = None
    clean: bool = False
    exception: BaseException | None = None
    local_first: bool = False

    @property
    def code(self) -> int:
        """The close code that tells the end best: the first Close frame's; without one that of the
        protocol error that ended the session, or 1006."""
        return self._deciding[0]

    @property
    def reason(self) -> str:
        """The reason beside `code`; may be empty."""
        return self._deciding[1]

    @property
    def _deciding(self) -> tuple[int, str]:
        first, second = self.local, self.remote
        if not self.local_first:
            first, second = second, first
        if first or second:
            return first or second or (_ABNORMAL, "")
        error = self.exception
        if isinstance(error, ProtocolError):
            return error.code, error.reason
        return _ABNORMAL, ""

    @property
    def ok(self) -> bool:
        """Whether the session ended as planned: cleanly, with 1000, 1001 or an empty Close."""
        return self.clean and self.code in (1000, 1001, 1005)

    def __str__(self) -> str:
        parts = []
        for who, close in (("sent", self.local), ("received", self.remote)):
            if close:
                said = f" ({escape(close[1])})" if close[1] else ""
                parts.append(f"{who} {close[0]}{said}")
        if not parts:
            parts.append("no close frame sent or received (1006)")
        if self.exception is not None:
            parts.append(f"{type(self.exception).__name__}: {self.exception}")
        return "; ".join(parts)


class WsextError(Exception):
    """Base of every exception that wsext raises on purpose."""


class OptionError(WsextError, ValueError):
    """An option that cannot be used. Fix the value named here and start again.

    Attributes:
        owner: What the option belongs to: an extension's token, ``websocket`` or ``server``.
        field: The option's name; ``None`` when the fault is not one field's.
        problem: What is wrong: what was expected, and what was given.
        suggestion: The nearest valid name, when there is one.
        source: Where the value was set, if not in code: a file, a variable or the command line.
    """

    def __init__(
        self, owner: str, field: str | None, problem: str, suggestion: str | None = None
    ) -> None:
        super().__init__(owner, field, problem, suggestion)
        self.owner = owner
        self.field = field
        self.problem = problem
        self.suggestion = suggestion
        self.source: str | None = None

    def __str__(self) -> str:
        where = f"{self.owner}: {self.field}" if self.field else self.owner
        return f"{where}: {self.problem}{_hints(self.suggestion, self.source)}"


def _hints(suggestion: str | None, source: str | None) -> str:
    """What stands behind a problem: the name that is probably meant, and where it was written."""
    hint = f" (did you mean {suggestion!r}?)" if suggestion else ""
    return f"{hint} (source: {source})" if source else hint


class RouteError(WsextError, ValueError):
    """A route that cannot be served: its handler does not fit it, or another has its path.

    Attributes:
        path: The route's rule, for example ``/chat/<room>``.
        problem: What is wrong, and what to write instead.
    """

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"route {self.path}: {self.problem}"


class LifespanError(WsextError):
    """What an app does beside its sessions has failed: a lifespan, or a task of `App.create_task`.

    What it raised is the ``__cause__``.

    Attributes:
        name: ``lifespan shop.database``, or ``task prices``.
        problem: ``failed to start``, ``failed to end`` or ``failed``.
    """

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(name, problem)
        self.name = name
        self.problem = problem

    def __str__(self) -> str:
        cause = "" if self.__cause__ is None else f": {self.__cause__!r}"
        return f"{self.name} {self.problem}{cause}"


class PluginError(WsextError):
    """A plugin that could not be found, imported or registered.

    Attributes:
        plugin: The plugin's name (its entry point).
        distribution: The distribution that ships it, when known.
        problem: What went wrong.
    """

    def __init__(self, plugin: str, problem: str, distribution: str | None = None) -> None:
        super().__init__(plugin, problem, distribution)
        self.plugin = plugin
        self.problem = problem
        self.distribution = distribution

    def __str__(self) -> str:
        origin = f" (from {self.distribution})" if self.distribution else ""
        return f"plugin {self.plugin!r}{origin}: {self.problem}"


class UnknownPlugin(PluginError):
    """There is no plugin, extension or option set of this name: it is misspelled, or not installed.

    Attributes:
        known: The names that there are.
        suggestion: The nearest of them, when one is near.
        source: Where the name was written, if not in code: as of an `OptionError`.
    """

    def __init__(self, name: str, what: str, known: Iterable[str]) -> None:
        super().__init__(name, f"no such {what}")
        self.known = tuple(sorted(known))
        self.suggestion = nearest(name, self.known)
        self.source: str | None = None

    def __str__(self) -> str:
        known = ", ".join(self.known) or "none"
        return f"{super().__str__()}; known: {known}{_hints(self.suggestion, self.source)}"


class ExtensionConflict(PluginError):
    """Two installed extensions that can never be agreed together, though both are required.

    Attributes:
        first, second: The tokens of the two extensions.
        what: What both of them claim, for example ``RSV1``.
    """

    def __init__(self, first: str, second: str, what: str) -> None:
        super().__init__(second, f"claims {what}, which {first!r} claims too")
        self.first = first
        self.second = second
        self.what = what


class HandshakeError(WsextError):
    """The opening handshake did not succeed (RFC 6455 §4)."""


class HandshakeRejected(HandshakeError):
    """Server side: raise it to answer a request with a status other than 101.

    Attributes:
        status: HTTP status, 400 to 599.
        reason: A short text for the body. It is sent to the peer: keep secrets out of it.
        headers: Additional response headers.
    """

    def __init__(
        self, status: int, reason: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(status, reason)
        self.status = status
        self.reason = reason
        self.headers = dict(headers or {})

    def __str__(self) -> str:
        return f"handshake rejected with {self.status}: {self.reason}"


class InvalidStatus(HandshakeError):
    """Client side: the server answered the handshake with another status than 101.

    Attributes:
        status: The HTTP status.
        headers: The response's headers.
        body: The response's body, as much of it as was read (`ClientLimits`).
    """

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes = b"") -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = headers
        self.body = body

    def __str__(self) -> str:
        text = escape(self.body[:200].decode("utf-8", "replace").strip())
        return f"server answered with HTTP {self.status}" + (f": {text}" if text else "")


class InvalidHandshake(HandshakeError):
    """Client side: the server's answer breaks RFC 6455 §4.1, so the connection is refused.

    Attributes:
        cut_off: Whether the connection ended before the answer was whole. Then the server may only
            have been shutting down, and another attempt may succeed.
    """

    def __init__(self, problem: str, *, cut_off: bool = False) -> None:
        super().__init__(problem)
        self.cut_off = cut_off


class NotResumed(HandshakeError):
    """Client side: a session that had lost its connection has ended, and its last messages may not
    have arrived (`Session.unconfirmed`). It is the `CloseInfo.exception` of such a session.

    Attributes:
        reason: Why. The server says ``unknown``, ``identity``, ``counts`` or ``elsewhere``. This
            side says ``expired`` if there was no connection within the window, and ``unsupported``
            if the server does not resume sessions any more.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        meaning = _NOT_RESUMED.get(self.reason, "the server gave no reason that is known here")
        return f"the session could not be resumed ({escape(self.reason[:40])}): {meaning}"


#: What the reasons of `NotResumed` mean.
_NOT_RESUMED = {
    "unknown": "the server has no such session, or no longer",
    "identity": "identity, path, origin or subprotocol are not those of the session",
    "counts": "the two sides do not agree about what has arrived",
    "elsewhere": "it is on another server, which cannot be reached",
    "expired": "there was no connection for longer than the server keeps it",
    "unsupported": "the server does not resume sessions any more",
}


class NegotiationError(HandshakeError):
    """An extension's parameters cannot be used (RFC 6455 §9.1, RFC 7692 §7).

    Raised by an extension in `accept` it declines the offer; in `confirm`, or out of `connect`,
    it fails the connection.

    Attributes:
        problem: What is wrong.
        extension: The extension's token, filled in by the negotiator.
    """

    def __init__(self, problem: str, extension: str | None = None) -> None:
        super().__init__(problem, extension)
        self.problem = problem
        self.extension = extension

    def __str__(self) -> str:
        text = f"{self.extension}: {self.problem}" if self.extension else self.problem
        return text if len(text) <= 300 else f"{text[:300]}…"  # a peer's name or value may be long


class ProtocolError(WsextError):
    """A broken rule on the open connection; the connection is failed (RFC 6455 §7.1.7).

    Attributes:
        code: The close code to send: 1002, 1003, 1007, 1008, 1009 or 1011.
        reason: A short reason, safe to send to the peer.
        extension: The token of the extension at fault, when it is one.
    """

    def __init__(self, code: int, reason: str, extension: str | None = None) -> None:
        super().__init__(code, reason, extension)
        self.code = int(code)
        self.reason = reason
        self.extension = extension

    def bare_copy(self) -> ProtocolError:
        """A copy without the traceback: its frames would keep what they worked on alive."""
        bare = type(self).__new__(type(self))
        bare.args = self.args
        bare.__dict__.update(self.__dict__)
        cause = bare.__cause__ = self.__cause__
        seen: set[int] = set()  # a chain of causes may be a ring
        while cause is not None and id(cause) not in seen:  # the same holds for it
            seen.add(id(cause))
            cause.__traceback__ = None
            cause = cause.__cause__ or cause.__context__
        return bare

    def __str__(self) -> str:
        culprit = f"{self.extension}: " if self.extension else ""
        return f"{culprit}{self.reason} (close code {self.code})"


class RemoteProtocolError(ProtocolError):
    """The peer broke a rule of RFC 6455 or of an agreed extension."""


class EndSession(ProtocolError):
    """Raise it in an interceptor to end the session, as `wsext_message_received` explains.

    The frame or message that the interceptor saw goes no further. Whoever was sending it gets this
    exception; everybody else gets `ConnectionClosed`.

    Args:
        code: The close code: 1000 to 1014 without 1004, 1005 and 1006, or 3000 to 4999 (RFC 6455
            §7.4). Any other one is a fault of the interceptor.
        reason: Sent to the peer; at most 123 bytes of UTF-8, what is longer is cut.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)


class LocalProtocolError(ProtocolError):
    """This side broke a rule: the application sent what may not be sent, or an extension failed."""

    def __init__(self, reason: str, code: int = 1011, extension: str | None = None) -> None:
        super().__init__(code, reason, extension)


class RoomError(LocalProtocolError, ValueError):
    """A session asked for what rooms do not allow: the name of a room, one room too many or twice,
    too much history, too much to tell about itself, or a message that is too large.

    If a handler does not catch it, the session is closed with its code, and the log has a line
    instead of a traceback: names and messages often come from the peer.

    Attributes:
        problem: What is wrong, for the application and the log.
    """

    def __init__(self, reason: str, code: int = 1008, problem: str = "") -> None:
        super().__init__(reason, code)
        self.problem = problem or reason

    def __str__(self) -> str:
        return self.problem


class ConnectionClosed(WsextError):
    """The session has ended, so nothing more can be received or sent.

    Attributes:
        info: How it ended.
    """

    def __init__(self, info: CloseInfo) -> None:
        super().__init__(info)
        self.info = info

    def __str__(self) -> str:
        return str(self.info)


class ConnectionClosedOK(ConnectionClosed):
    """The session ended with close code 1000 or 1001."""


class ConnectionClosedError(ConnectionClosed):
    """The session ended with another close code, or without a closing handshake (1006)."""


class MessageError(WsextError):
    """A message that is malformed, of the wrong type, or refused by its handler.

    A handler of a `Dispatcher` may raise it: code and message are sent to the peer, so keep
    secrets out of them.

    Attributes:
        code: A short name for programs: ``malformed``, ``invalid``, ``unknown``, or your own.
        message: What is wrong, for people; may be empty.
        path: Where in the message, for example ``$.price``; ``None`` when the whole is meant.
    """

    def __init__(self, code: str, message: str = "", path: str | None = None) -> None:
        super().__init__(code, message, path)
        self.code = code
        self.message = message
        self.path = path

    def __str__(self) -> str:
        text = f"{self.code}: {self.message}" if self.message else self.code
        return f"{text} (at {self.path})" if self.path else text


class PublishError(WsextError):
    """A message was not published, and will not be: publish it again if it still matters.

    Attributes:
        room: The room that it was for.
        id: The message's id.
        problem: Why it was not published.
    """

    def __init__(self, room: str, id: str, problem: str) -> None:
        super().__init__(room, id, problem)
        self.room = room
        self.id = id
        self.problem = problem

    def __str__(self) -> str:
        return f"message {self.id} for room {self.room!r} was not published: {self.problem}"


class OutcomeUnknown(PublishError):
    """A message was given to the broker, which has not said that it took it.

    Members may have got it or not; it is not sent again. If you publish it again, do so with the
    same ``id``: then it is delivered once.
    """

    def __str__(self) -> str:
        return f"message {self.id} for room {self.room!r}: outcome unknown: {self.problem}"


class QueueFull(WsextError):
    """The outgoing queue is full: the peer reads slower than the application sends.

    Use ``await session.send(...)``, which waits, or choose another overflow policy.
    """
