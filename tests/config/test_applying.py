"""Applying: what a configuration does to plugins, apps and clients."""

from __future__ import annotations

import logging
import re
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path

import pytest

from tests.fake import write_metadata
from wsext import App, OptionError, PluginError
from wsext.config.applying import apply, install, plugins_of
from wsext.config.configuration import Config
from wsext.config.sources import take_environment, take_extension, take_setting
from wsext.sdk.plugins import Plugins, default_plugins, set_default_plugins

#: Installed wire extensions that `serve` should not turn on by itself.
OFF = Plugins(
    entries=[
        EntryPoint("x-append", "tests.extensions:Append", "wsext"),
        EntryPoint("x-keyed", "tests.extensions:Keyed", "wsext"),
        EntryPoint("x-shy", "tests.extensions:Shy", "wsext"),
    ]
)


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


def test_what_needs_to_be_configured_is_off_until_it_is(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "wsext")
    app = App(plugins=OFF)
    apply(Config(), app, OFF)
    assert [item.name for item in app.installed.items] == ["x-append"]
    assert [item.name for item in install(Config(), OFF).extensions] == ["x-append"]
    assert "x-keyed: keys: is required" in caplog.text
    assert "x-shy: its class says that it has to be configured" in caplog.text
    assert {record.levelname for record in caplog.records} == {"INFO"}

    config = Config()
    config.set_extension("x-shy", True)
    config.set_extension("x-keyed", {"size": 8})
    app = App(plugins=OFF)
    app.install("x-keyed", keys=str.encode)
    apply(config, app, OFF)
    found = {item.name: item for item in app.installed.extensions}
    assert set(found) == {"x-append", "x-keyed", "x-shy"}
    assert (found["x-keyed"].options.keys, found["x-keyed"].options.size) == (str.encode, 8)


SOURCES = {
    "command line": lambda config, name, value: take_extension(config, f"x-keyed:{name}={value}"),
    "wsext.toml": lambda config, name, value: config.update(
        {"extensions": {"x-keyed": {name: value}}}, "wsext.toml"
    ),
    "WSEXT_EXTENSIONS__X_KEYED__": lambda config, name, value: take_environment(
        config, {f"WSEXT_EXTENSIONS__X_KEYED__{name.upper()}": value}, ["x-keyed"]
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        (
            "keys",
            "s3cret",
            r"x-keyed: keys: can only be set in code: install\('x-keyed', keys=...\)",
        ),
        (
            "size",
            "fast",
            r"size: expected a whole number from 4 to 32 \(bytes of a tag\), got 'fast'",
        ),
        ("seize", "4", r"x-keyed: seize: no such option.*did you mean 'size'"),
    ],
)
def test_an_error_names_where_the_value_was_set(
    source: str, name: str, value: str, words: str
) -> None:
    app = App(plugins=OFF)
    app.install("x-keyed", keys=str.encode)
    config = Config()
    SOURCES[source](config, name, value)
    with pytest.raises(OptionError, match=words) as caught:
        apply(config, app, OFF)
    assert f"(source: {source}" in str(caught.value)
    assert "s3cret" not in str(caught.value)
    with pytest.raises(OptionError, match=r"\(source: "):
        install(config, OFF)


def test_sections_name_their_sources_too() -> None:
    config = Config()
    take_setting(config, "websocket.close_timeout=soon")
    with pytest.raises(OptionError, match=r"got 'soon' \(source: command line\)"):
        apply(config, App(), OFF)
    config.update({"plugins": {"deny": 5}}, "wsext.toml")
    with pytest.raises(OptionError, match=r"plugins: deny: .*got 5 \(source: wsext.toml\)"):
        config.section("plugins")


def test_a_flag_is_no_value() -> None:
    config = Config()
    take_extension(config, "permessage-deflate:level")
    with pytest.raises(OptionError, match=r"level: .*0 to 9.*got true; write level=VALUE"):
        apply(config, App(), default_plugins())


def test_an_extension_that_cannot_be_set_up_is_named_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    write_metadata(tmp_path, "wsext-sick", {"x-sick": "plug_sick:Sick", "x-well": "plug_sick:Well"})
    (tmp_path / "plug_sick.py").write_text(
        "from wsext import Extension\n"
        "class Sick(Extension):\n"
        "    name = 'x-sick'\n"
        "    def setup(self):\n"
        "        raise RuntimeError('no licence')\n"
        "class Well(Extension):\n"
        "    name = 'x-well'\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    entries = [item for item in entry_points(group="wsext") if item.module == "plug_sick"]
    plugins = Plugins(entries=entries)
    sentence = "plugin 'x-sick' (from wsext-sick): setup() failed: RuntimeError: no licence"
    app = App(plugins=plugins)
    apply(Config(), app, plugins)
    assert [item.name for item in app.installed.items] == ["x-well"]
    assert sentence in caplog.text
    with pytest.raises(PluginError, match=re.escape(sentence)):
        apply(Config(), App(plugins=plugins), Plugins(entries=entries, strict=True))
    config = Config()
    config.set_extension("x-sick", True)
    with pytest.raises(PluginError, match=re.escape(sentence)):
        apply(config, App(plugins=plugins), plugins)
