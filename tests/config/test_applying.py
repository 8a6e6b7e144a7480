"""Applying: what a configuration does to plugins, apps and clients."""

from __future__ import annotations

import logging

import pytest

from wsext import App, PluginError
from wsext.config.applying import apply, install, plugins_of
from wsext.config.configuration import Config
from wsext.sdk.plugins import default_plugins, set_default_plugins


def test_an_app_is_brought_to_what_was_set() -> None:
    app = App()
    app.install("permessage-checksum")
    config = Config()
    config.update(
        {
            "option_sets": ["low-memory"],
            "websocket": {"close_timeout": 3},
            "server": {"backlog": 7},
            "rooms": {"history": 2},
            "extensions": {"permessage-deflate": {"level": 2}, "permessage-checksum": False},
        }
    )
    apply(config, app, default_plugins())
    assert app.options.close_timeout == 3
    assert app.options.max_message_size == 256 * 1024  # of the option set
    assert app.server_options.backlog == 7
    assert app.room_options.history == 2
    found = {item.name: item for item in app.installed.extensions}
    assert found["permessage-deflate"].options.level == 2
    assert "permessage-checksum" not in found
    assert "permessage-zstd" in found  # installed, so turned on


def test_what_was_asked_for_and_cannot_be_used_is_an_error() -> None:
    config = Config()
    config.set_extension("not-there", True)
    with pytest.raises(PluginError, match="not-there"):
        apply(config, App(), default_plugins())


def test_a_client_offers_what_is_configured_and_the_rest_or_not() -> None:
    config = Config()
    config.set_extension("permessage-deflate", {"level": 1})
    config.set_extension("permessage-checksum", False)
    plugins = default_plugins()
    every = {item.name for item in install(config, plugins).extensions}
    assert {"permessage-deflate", "permessage-zstd"} <= every
    assert "permessage-checksum" not in every
    only = install(config, plugins, others=False).extensions
    assert [item.name for item in only] == ["permessage-deflate"]
    assert install(config, plugins, without=["all"]).extensions[0].options.level == 1
    assert not install(config, plugins, without=["all", "permessage-deflate"]).extensions


def test_plugins_are_restricted_before_anything_is_imported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.WARNING)
    before = default_plugins()
    try:
        config = Config()
        config.update({"plugins": {"allow": ["permessage-deflate"]}})
        plugins = plugins_of(config)
        assert default_plugins() is plugins
        assert list(plugins.extensions()) == ["permessage-deflate"]
    finally:
        set_default_plugins(before)
