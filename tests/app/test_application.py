"""Applications: how exceptions end a session, and which backplane joins the rooms."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from wsext import App, OptionError, RemoteProtocolError, ServerOptions
from wsext.rooms.backplanes.memory import MemoryBackplane


class QuotaError(Exception):
    """An error of the application."""


def test_an_exception_ends_a_session_as_it_is_mapped() -> None:
    app = App()
    app.map_exception(LookupError, 4404, "no such thing")

    @app.map_exception(QuotaError)
    def quota(error: QuotaError) -> tuple[int, str]:
        return 1013, f"try again in {error.args[0]} s"

    assert app.close_for(KeyError("secret")) == (4404, "no such thing", True)
    assert app.close_for(QuotaError(5)) == (1013, "try again in 5 s", True)
    assert app.close_for(RemoteProtocolError(1008, "no")) == (1008, "no", True)
    assert app.close_for(RuntimeError("secret")) == (1011, "internal error", False)


def test_the_mapping_that_was_added_last_is_asked_first() -> None:
    app = App()
    app.map_exception(Exception, 4000)
    app.map_exception(KeyError, 4001)
    assert app.close_for(KeyError())[0] == 4001
    assert app.close_for(IndexError())[0] == 4000


@pytest.mark.parametrize("mapped", [lambda error: (1005, ""), lambda error: 1 / 0])
def test_a_mapping_that_fails_is_logged_and_left_out(
    mapped: Any, caplog: pytest.LogCaptureFixture
) -> None:
    app = App()
    app.map_exception(KeyError)(mapped)
    with caplog.at_level(logging.ERROR, "wsext.app"):
        assert app.close_for(KeyError()) == (1011, "internal error", False)
    assert "exception mapper for KeyError" in caplog.text
    with pytest.raises(ValueError, match="1006"):
        app.map_exception(KeyError, 1006)


def test_a_backplane_is_a_url_or_an_object_and_the_operators_url_wins() -> None:
    own = MemoryBackplane("memory://")
    assert App(backplane=own).hub.backplane is own
    assert isinstance(App().hub.backplane, MemoryBackplane)
    app = App(backplane="nowhere://")
    with pytest.raises(OptionError, match="nowhere"):
        app.prepare()
    app = App(backplane=own, server=ServerOptions(backplane="memory://"))
    assert app.hub.backplane is not own


def test_options_may_be_given_as_a_dict() -> None:
    app = App(options={"ping-interval": 5}, server={"max_connections": 7}, rooms={"history": 3})
    assert (app.options.ping_interval, app.server_options.max_connections) == (5, 7)
    assert app.room_options.history == 3
    with pytest.raises(OptionError, match="did you mean 'ping_interval'"):
        App(options={"ping_intervall": 5})
    wrong: Any = ServerOptions()
    with pytest.raises(TypeError, match=r"expected WebSocketOptions or a dict .* ServerOptions"):
        App(options=wrong)


def test_prefer_is_short_for_the_option() -> None:
    assert App(prefer="server").options.prefer == "server"
    with pytest.raises(OptionError):
        App(prefer="neither")
