"""The client's half: what it asks for, and which answers it takes."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from wsext_resume import SessionResume

from wsext import Agreed, NegotiationContext, NegotiationError, Params

RESUME = SessionResume(max_bytes=2048, max_messages=5)
FIRST = Params(id="secret-1", window=30)


def context(session: Any = None) -> NegotiationContext:
    return NegotiationContext("client", 1 << 20, session=session)


def session_of(codec: Any) -> Any:
    """As much of a session as the extension asks for."""
    return SimpleNamespace(extension=lambda token: Agreed(RESUME, Params(), codec))


def confirm(answer: Params, offers: Any = None, session: Any = None) -> Any:
    return RESUME.confirm(offers or RESUME.offers(), answer, context(session))


def test_the_first_offer_says_nothing() -> None:
    assert RESUME.offers() == [Params()]


def test_the_answer_gives_a_journal_with_the_servers_window_and_bounds_of_ones_own() -> None:
    journal = confirm(FIRST).journal
    assert (journal.window, journal.max_bytes, journal.max_messages) == (30, 2048, 5)
    assert not journal.fresh


def test_a_session_comes_back_with_its_id_and_its_count() -> None:
    session = session_of(confirm(FIRST))
    offers = RESUME.resume_offers(session)
    assert [dict(offer) for offer in offers] == [{"id": "secret-1", "received": "0"}]
    again = confirm(Params(id="secret-2", window=40, received=0), offers, session)
    journal = session.extension("").codec.journal
    assert again.journal is journal
    assert journal.peer_received == 0
    assert journal.window == 40
    (offer,) = RESUME.resume_offers(session_of(again))
    assert offer["id"] == "secret-2"


def test_a_refusal_gives_a_new_journal_that_has_the_reason() -> None:
    session = session_of(confirm(FIRST))
    offers = RESUME.resume_offers(session)
    codec = confirm(Params(id="secret-2", window=30, fresh="identity"), offers, session)
    assert codec.journal is not session.extension("").codec.journal
    assert codec.journal.fresh == "identity"


@pytest.mark.parametrize(
    "answer",
    [
        Params(),
        Params(id="x"),
        Params(window=30),
        Params(id=None, window=30),
        Params(id="x", window=None),
        Params(id="x", window=0),
        Params(id="x", window=86401),
        Params(id="x", window="08"),
        Params(id="x", window=30, fresh=None),
        Params(id="x", window=30, fresh="unknown"),
        Params(id="x", window=30, received=0),
        Params(id="x", window=30, received=None),
    ],
)
def test_wrong_answers_to_a_first_offer(answer: Params) -> None:
    with pytest.raises(NegotiationError):
        confirm(answer)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"received": 0, "fresh": "unknown"},
        {"received": 1},
        {"received": -1},
        {"received": "00"},
        {"received": 1 << 63},
        {"received": 10**40},
        {"received": None},
        {"fresh": None},
    ],
)
def test_wrong_answers_to_who_comes_back(more: dict[str, Any]) -> None:
    session = session_of(confirm(FIRST))
    offers = RESUME.resume_offers(session)
    with pytest.raises(NegotiationError):
        confirm(Params({"id": "x", "window": 30, **more}), offers, session)


def test_after_a_fork_the_id_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    session = session_of(confirm(FIRST))
    monkeypatch.setattr(os, "getpid", lambda: 1)
    assert RESUME.resume_offers(session) == [Params()]
