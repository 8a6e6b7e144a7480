"""What is told of a session's messages without a coroutine."""

from __future__ import annotations

from wsext.errors import CloseInfo
from wsext.runtime.session import Session

__all__ = ["Listener"]


class Listener:
    """Callback-style handler, the fastest path: no task and no queue between wire and code.

    Register a subclass like a coroutine: ``@app.websocket("/echo")`` above the class. One instance
    is made per session. The methods are plain functions; they must not block. Send with
    `Session.send_nowait`.
    """

    def on_open(self, session: Session) -> None:
        """The session has opened."""

    def on_message(self, session: Session, message: str | bytes) -> None:
        """A message has come."""

    def on_detach(self, session: Session) -> None:
        """The connection is lost, and the session waits for another one."""

    def on_resume(self, session: Session) -> None:
        """The session has a connection again."""

    def on_close(self, session: Session, info: CloseInfo) -> None:
        """The session has ended."""
