"""Close codes and the payload of Close frames."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import CloseCode, RemoteProtocolError
from wsext.protocol.closing import (
    LOCAL_ONLY_CODES,
    build_close,
    build_failure,
    is_sendable_code,
    parse_close,
)

sendable = st.sampled_from([code for code in range(65536) if is_sendable_code(code)])


@given(code=sendable, reason=st.text(max_size=30))
def test_a_payload_says_what_it_was_made_of(code: int, reason: str) -> None:
    assert parse_close(build_close(code, reason)) == (code, reason)


@given(code=sendable, reason=st.text(min_size=30, max_size=200))
def test_a_reason_is_cut_to_what_fits_and_never_in_a_character(code: int, reason: str) -> None:
    payload = build_close(code, reason)
    assert len(payload) <= 125
    told = parse_close(payload)[1]
    assert reason.startswith(told)
    assert told == reason or len(payload) > 121  # the next character has up to four bytes


def test_an_empty_payload_is_no_status_and_the_other_way_round() -> None:
    assert parse_close(b"") == (CloseCode.NO_STATUS, "")
    assert build_close(CloseCode.NO_STATUS, "left out") == b""


def test_the_codes_that_may_travel_are_those_of_the_rfc() -> None:
    """RFC 6455 §7.4: 1004 is reserved, 1005, 1006 and 1015 never travel, 3000 on is free."""
    travel = {code for code in range(65536) if is_sendable_code(code)}
    assert travel == {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}
    assert not travel & LOCAL_ONLY_CODES
    assert set(CloseCode) <= travel | LOCAL_ONLY_CODES


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"\x03", 1002),
        (b"\x03\xed", 1002),  # 1005
        (b"\x00\x00", 1002),
        (b"\x13\x88", 1002),  # 5000
        (b"\x03\xe8\xff", 1007),
        (b"\x03\xe8\xed\xa0\x80", 1007),
    ],
)
def test_what_a_peer_may_not_send_says_the_code_for_it(payload: bytes, code: int) -> None:
    for data in (payload, bytearray(payload), memoryview(payload)):
        with pytest.raises(RemoteProtocolError) as caught:
            parse_close(data)
        assert caught.value.code == code


@pytest.mark.parametrize("code", [0, 999, 1004, 1006, 1015, 2999, 5000])
def test_a_code_that_may_not_be_sent_says_which_may(code: int) -> None:
    with pytest.raises(ValueError, match=f"{code} may not be sent; use 1000 to 1014"):
        build_close(code, "")


@given(code=sendable, reason=st.text(max_size=30))
def test_a_failure_is_told_as_it_is(code: int, reason: str) -> None:
    assert parse_close(build_failure(code, reason)) == (code, reason)


@pytest.mark.parametrize(
    ("code", "reason"),
    [(999, "no such code"), (1005, "never travels"), (1 << 20, ""), (1002, "\ud800 is no text")],
)
def test_a_failure_that_cannot_be_told_is_1011(code: int, reason: str) -> None:
    assert parse_close(build_failure(code, reason)) == (1011, "")
