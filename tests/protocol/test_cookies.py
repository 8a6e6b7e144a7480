"""`Request.cookies`: one odd cookie hides no other."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext import Headers, Request


def cookies(*values: str) -> dict[str, str]:
    headers = Headers([("Cookie", value) for value in values])
    return dict(Request("GET", "/", headers).cookies)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("a=1; b=2", {"a": "1", "b": "2"}),
        ("a=1;b=2;", {"a": "1", "b": "2"}),
        ("a = 1 ; b=", {"a": "1", "b": ""}),
        ("a=1=2; b=x y", {"a": "1=2", "b": "x y"}),
        ('a="quoted"; b="\\"1\\073\\""', {"a": "quoted", "b": '"1;"'}),
        ('a={"json":"yes"}; b=2', {"a": '{"json":"yes"}', "b": "2"}),
        ("nothing; =; b=2", {"": "", "b": "2"}),
        ("path=/; version=1", {"path": "/", "version": "1"}),
    ],
)
def test_cookies_are_read_as_browsers_send_them(header: str, found: dict[str, str]) -> None:
    assert cookies(header) == found


@pytest.mark.parametrize(
    "odd", ["x[y]=1", "ünï=1", "a b=1", "x@y=1", 'x="', "x=,", "", "=", ";", '"', "$Version=1", "x"]
)
def test_an_odd_cookie_of_a_sibling_domain_hides_no_other(odd: str) -> None:
    for header in (f"{odd}; sid=secret", f"sid=secret; {odd}", f"{odd}; sid=secret; {odd}"):
        assert cookies(header)["sid"] == "secret"


def test_quotes_join_no_cookies() -> None:
    assert cookies('a="; sid=secret; b="')["sid"] == "secret"


def test_the_first_of_a_name_wins_over_several_headers_too() -> None:
    assert cookies("sid=mine; sid=other", "sid=third; b=2") == {"sid": "mine", "b": "2"}
    assert cookies() == {}


@given(st.text(st.characters(exclude_categories=["C", "Z"], max_codepoint=0xFF), max_size=40))
def test_nothing_raises_or_hides_the_cookie_behind_it(text: str) -> None:
    assert cookies(f"{text}; zz-sid=secret")["zz-sid"] == "secret"
