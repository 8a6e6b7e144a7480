"""What does a client ask for, and what may the server answer?"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from wsext import Codec, Journal, NegotiationContext, NegotiationError, Params, Session

__all__ = ["ComingCodec", "ask", "take"]


class ComingCodec(Codec):
    """Changes nothing; it carries the journal of a client's session, and the id to come back with.

    Args:
        journal: What the session has sent and received.
        id: The secret of the server's last answer.
    """

    def __init__(self, journal: Journal, id: str) -> None:
        super().__init__()
        self.journal = journal
        self.id = id
        self._process = os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this process has got the id. After a fork two have it, and they would take the
        session from each other in turns."""
        return self._process == os.getpid()


def ask(session: Session, token: str) -> Sequence[Params]:
    """The offer by which a session comes back."""
    codec = session.extension(token).codec
    if not codec.is_ours:
        return [Params()]
    return [Params(id=codec.id, received=codec.journal.received)]


def take(
    offers: Sequence[Params],
    answer: Params,
    ctx: NegotiationContext,
    token: str,
    make_journal: Callable[[int], Journal],
) -> Codec:
    """The codec for a server's answer: with the journal of the session that comes back, or with a
    new one if the server has begun a new session.

    Raises:
        NegotiationError: If the answer breaks the rules.
    """
    id = answer.text("id")
    window = answer.integer("window", 1, 86400)
    if id is None or window is None:
        raise NegotiationError("the answer has no id, or no window")
    is_asked = any("id" in offer for offer in offers)
    if sum(name in answer for name in ("received", "fresh")) != is_asked:
        raise NegotiationError(
            "an answer has either received or fresh if a session was to be resumed, else neither"
        )
    if "received" not in answer:
        journal = make_journal(window)
        journal.fresh = answer.text("fresh") or ""
        return ComingCodec(journal, id)
    received = answer.integer("received", 0, sys.maxsize)
    journal = ctx.session.extension(token).codec.journal
    if received is None or not journal.can_rewind(received):
        raise NegotiationError("the server says that it has received what was not sent")
    journal.peer_received = received
    journal.window = window
    return ComingCodec(journal, id)
