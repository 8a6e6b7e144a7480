"""The tables of transitions say what the RFC says."""

from __future__ import annotations

import itertools

from wsext.protocol.states import CLOSING, FRAGMENTS, Happening, Kind, Partial, State

ENDS = {State.CLOSED, State.FAILED}


def test_every_state_is_reached_and_the_two_ends_are_never_left() -> None:
    assert {State.OPEN, *CLOSING.values()} == set(State)
    for (before, _), after in CLOSING.items():
        assert before not in ENDS or after is before


def test_an_end_is_reached_from_everywhere() -> None:
    for state in State:
        assert CLOSING[state, Happening.LOSE] in ENDS
        assert CLOSING[state, Happening.FAIL] in ENDS


def test_no_data_is_sent_after_a_close_frame_of_either_side() -> None:
    """RFC 6455 §5.5.1."""
    senders = {state for state, happening in CLOSING if happening is Happening.SEND_DATA}
    assert senders == {State.OPEN}


def test_a_clean_end_takes_one_close_frame_of_each_side() -> None:
    """RFC 6455 §7.1.4; whoever begins."""
    close_frames = (Happening.SEND_CLOSE, Happening.RECEIVE_CLOSE)
    for first, second in itertools.permutations(close_frames):
        between = CLOSING[State.OPEN, first]
        assert (between, first) not in CLOSING  # each side sends one
        assert CLOSING[between, second] is State.CLOSED


def test_what_the_peer_was_sending_still_comes_after_our_close_frame() -> None:
    assert CLOSING[State.CLOSE_SENT, Happening.RECEIVE_DATA] is State.CLOSE_SENT
    assert (State.CLOSE_RECEIVED, Happening.RECEIVE_DATA) not in CLOSING


def test_fragments_of_one_message_are_not_mixed_with_another() -> None:
    """RFC 6455 §5.4."""
    for partial, kind, fin in itertools.product(Partial, Kind, (True, False)):
        after = FRAGMENTS.get((partial, kind, fin))
        begins = kind is not Kind.CONTINUATION
        if begins == (partial is not Partial.NONE):
            assert after is None
        elif fin:
            assert after is Partial.NONE
        else:
            assert after == (kind if begins else partial)
