"""The options of a session: which pages may connect, by any of the ways to set it."""

from __future__ import annotations

import pytest

from wsext import OptionError, WebSocketOptions


def test_a_list_is_kept_as_browsers_send_origins() -> None:
    options = WebSocketOptions(origins=("HTTPS://A.Example:443", "same", "https://*.B.example:1"))
    assert options.origins == ("https://a.example", "same", "https://*.b.example:1")


@pytest.mark.parametrize("empty", ["", [], ()])
def test_an_empty_list_would_refuse_everybody_so_it_is_refused(empty: object) -> None:
    with pytest.raises(OptionError, match=r"origins: is empty.*\* for all"):
        WebSocketOptions.parse({"origins": empty})


def test_none_and_a_star_are_no_lists_of_one_text() -> None:
    assert WebSocketOptions.parse({"origins": "none"}).origins is None
    assert WebSocketOptions.parse({"origins": "*"}).origins == ("*",)
    with pytest.raises(OptionError, match=r"write \['\*'\]"):
        WebSocketOptions(origins="*")  # type: ignore[arg-type]  # as somebody may write it
