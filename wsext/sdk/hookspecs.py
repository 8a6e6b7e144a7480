"""Every hook of wsext.

A plugin is a module or an object with functions that carry `hookimpl`::

    from wsext import hookimpl

    @hookimpl
    def wsext_session_opened(session):
        print("hello", session.request.remote)

It is found through an entry point in the group ``wsext``, or given to `App.install`. A hook
implementation may leave out arguments that it does not need. Hooks may gain arguments, and their
objects attributes, in a later version; they lose none without a major version.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import pluggy

from wsext.errors import CloseInfo
from wsext.protocol.agreement import Offer
from wsext.protocol.frames import Frame
from wsext.protocol.http import Request, Response
from wsext.sdk.extension import Extension, Installable
from wsext.sdk.options import NamedOptionSet

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["API_VERSION", "hookimpl", "hookspec"]

#: The version of the hooks; a plugin may ask for it with ``wsext_api_version = 1``.
API_VERSION = 1

F = TypeVar("F", bound="Callable[..., Any]")

#: What a message hook answers: see `wsext_message_received`.
MessageVerdict: TypeAlias = "str | bytes | tuple[()] | None"

#: Marks the specification of a hook.
hookspec = pluggy.HookspecMarker("wsext")
#: Marks a function as the implementation of the hook that it is named after.
hookimpl = pluggy.HookimplMarker("wsext")


def _spec(firstresult: bool = False) -> Callable[[F], F]:
    return hookspec(firstresult=firstresult)


@_spec()
def wsext_extensions() -> Iterable[type[Installable]]:  # type: ignore[empty-body]
    """The extension classes that this plugin brings."""


@_spec()
def wsext_option_sets() -> Iterable[NamedOptionSet]:  # type: ignore[empty-body]
    """The named option sets that this plugin brings."""


@_spec()
def wsext_routes(app: Any) -> None:
    """Add routes to an app; called once, before it serves."""


@_spec()
def wsext_commands(cli: Any) -> None:
    """Add commands to the ``wsext`` command line (a `click.Group`)."""


@_spec()
def wsext_backplanes() -> Mapping[str, Callable[[str], Any]]:  # type: ignore[empty-body]
    """Backplanes by URL scheme: functions that take the URL and return a `Backplane`.

    Asked when a scheme is none of the built-in ones. A `ValueError` of such a function says that
    the URL is wrong.
    """


@_spec(firstresult=True)
def wsext_handshake(request: Request) -> Response | Awaitable[Response | None] | None:
    """Look at a handshake before it is accepted. A `Response` rejects it. Sync or async."""


@_spec(firstresult=True)
def wsext_negotiate(
    request: Request, offers: Sequence[Offer], installed: Sequence[Extension]
) -> Sequence[Offer] | None:
    """Override which offers are tried, and in which order; ``None`` leaves them as they are."""


@_spec()
def wsext_answered(request: Request | None, status: int) -> None:
    """A request has been answered, with 101 if it is a session now; ``None``: it was malformed."""


@_spec(firstresult=True)
def wsext_not_ready() -> str | None:
    """Why the server should get no new clients now, for ``/readyz``; ``None`` when it should."""


@_spec()
def wsext_limited(limit: str, request: Request | None) -> None:
    """A peer has reached a limit, and was refused, slowed down or closed.

    ``limit`` is the name of the option, for example ``max_connections``.
    """


@_spec()
def wsext_session_opened(session: Any) -> None:
    """A session has opened: the handshake is done, nothing has been received.

    It can send already. If a hook raises, the session ends as by a handler that raises.
    """


@_spec()
def wsext_session_closed(session: Any, info: CloseInfo) -> None:
    """A session has ended; called exactly once for every session that opened."""


@_spec()
def wsext_session_detached(session: Any) -> None:
    """A session has lost its connection and waits for another one; it goes on meanwhile.

    Called only for a session that can be resumed. Either `wsext_session_resumed` follows, or
    `wsext_session_closed`.
    """


@_spec()
def wsext_session_resumed(session: Any) -> None:
    """A session has a connection again: what waited is sent there, nothing has been received."""


@_spec()
def wsext_frame_received(session: Any, frame: Frame) -> Frame | Iterable[Frame] | None:
    """A frame has come, decoded. ``None`` leaves it, a frame replaces it, ``()`` drops it.

    A message may come in several frames: to filter what is said, use `wsext_message_received`.
    Raise `EndSession` to end the session.
    """


@_spec()
def wsext_frame_sending(session: Any, frame: Frame) -> Frame | Iterable[Frame] | None:
    """A frame is about to be encoded. ``None`` leaves it, a frame replaces it, ``()`` drops it.

    As `wsext_frame_received`, for the other direction.
    """


@_spec()
def wsext_message_received(
    session: Any, message: str | bytes, meta: Mapping[str, Any]
) -> MessageVerdict | Awaitable[MessageVerdict]:
    """A whole message has come, decoded. Sync or async; the next message waits meanwhile.

    ``None`` leaves it as it is, ``str`` or bytes replace it, ``()`` drops it. Raise `EndSession` to
    end the session with a close code of your choice. ``meta`` is what an extension carried beside
    the message. Do not wait for another message of the session here: it comes after this one.
    """


@_spec()
def wsext_message_sending(
    session: Any, message: str | bytes, hints: Mapping[str, Any], meta: Mapping[str, Any]
) -> MessageVerdict | Awaitable[MessageVerdict]:
    """A whole message is about to be encoded. Sync or async; the next message waits meanwhile.

    As `wsext_message_received`, for the other direction. ``hints`` and ``meta`` are what the sender
    passed to `Session.send`. Do not wait for another `Session.send` of the session here.
    """
