"""What a session and a connection tell to others, as Protocols: a listener, hooks, an owner."""

from __future__ import annotations

from typing import Any, Protocol

from wsext.errors import CloseInfo

__all__ = ["HasCallbacks", "Observers", "Owner"]


class HasCallbacks(Protocol):
    """What is told of a session's messages; a `Listener` is it."""

    def on_open(self, session: Any, /) -> None: ...
    def on_message(self, session: Any, message: Any, /) -> None: ...
    def on_detach(self, session: Any, /) -> None: ...
    def on_resume(self, session: Any, /) -> None: ...
    def on_close(self, session: Any, info: CloseInfo, /) -> None: ...


class Observers(Protocol):
    """Who is told that sessions open and close: the hooks of what is installed."""

    def session_opened(self, session: Any) -> None: ...
    def session_detached(self, session: Any) -> None: ...
    def session_resumed(self, session: Any) -> None: ...
    def session_closed(self, session: Any, info: CloseInfo) -> None: ...


class Owner(Protocol):
    """Whose connection a link is: the life of a session."""

    def wake_writers(self) -> None:
        """There may be room to write."""

    def finish_writing(self) -> bool:
        """Write what was accepted before a close; ``False`` if that takes a little longer."""

    def closing(self, *, more: bool) -> None:
        """The closing handshake has begun; ``more`` says whether the peer may still send data."""

    def lost(self, link: Any) -> None:
        """The transport is gone."""

    def keeps(self, link: Any) -> bool:
        """Whether the session goes on with another connection, if this one is lost now."""

    def filled(self) -> None:
        """Nothing new may be sent until the peer has acknowledged some of what was sent."""
