"""Sources: a file, the environment, and the texts of the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from wsext import OptionError
from wsext.config.configuration import Config
from wsext.config.sources import (
    read_config,
    read_file,
    take_environment,
    take_extension,
    take_setting,
)


def test_the_environment_goes_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert read_config(None).sources == {}
    Path("wsext.toml").write_text("[serve]\nport = 1\nhost = 'a'\n")
    Path("other.toml").write_text("[serve]\nport = 2\n")
    monkeypatch.setenv("WSEXT_SERVE__HOST", "b")
    assert read_config(None).section("serve").port == 1
    assert read_config(None).section("serve").host == "b"
    monkeypatch.setenv("WSEXT_CONFIG", "other.toml")
    assert read_config(None).section("serve").port == 2
    assert read_config("wsext.toml").section("serve").port == 1


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"none\.toml: No such file"):
        read_file(tmp_path / "none.toml")
    (tmp_path / "wrong.toml").write_text("[serve\n")
    with pytest.raises(OptionError, match=r"wrong\.toml: not TOML: .*line 1"):
        read_file(tmp_path / "wrong.toml")


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 5000 + "]" * 5000])
def test_what_is_too_much_for_the_reader_is_named_as_well(tmp_path: Path, value: str) -> None:
    (tmp_path / "large.toml").write_text(f"[server]\nmax_connections = {value}\n")
    with pytest.raises(OptionError, match=r"large\.toml: not TOML: "):
        read_file(tmp_path / "large.toml")
    config = Config()
    take_setting(config, f"server.max_connections={value}")  # a text
    with pytest.raises(OptionError, match="expected a whole number"):
        config.section("server")


def test_variables_know_tokens_with_dashes() -> None:
    config = Config()
    variables = {
        "PATH": "/bin",
        "WSEXT_PLUGINS": "read elsewhere",
        "WSEXT_OPTION_SETS": "a,b",
        "WSEXT_SERVER__BACKLOG": "7",
        "WSEXT_EXTENSIONS__X_Y_Z": "false",
        "WSEXT_EXTENSIONS__NOT_THERE__LEVEL": "1",
    }
    take_environment(config, variables, ["x-y_z"])
    assert config.option_sets == ["a", "b"]
    assert config.section("server").backlog == 7
    assert config.extensions == {"x-y_z": None, "not-there": {"level": "1"}}


def test_a_setting_is_toml_or_text() -> None:
    config = Config()
    for text in (
        "serve.port=5",
        "serve.host=127",
        "websocket.max_message_size=1_000_000",
        "websocket.ping_interval=2.5",
        "websocket.write_timeout=none",
        'server.trusted_proxies=["unix"]',
        "option_sets=a,b",
        "extensions.x=false",
        "extensions.y.level=3",
    ):
        take_setting(config, text)
    serve, websocket = config.section("serve"), config.section("websocket")
    assert (serve.port, serve.host) == (5, "127")
    assert config.section("server").trusted_proxies == ("unix",)
    assert (websocket.max_message_size, websocket.ping_interval) == (1_000_000, 2.5)
    assert websocket.write_timeout is None
    assert config.option_sets == ["a", "b"]
    assert config.extensions == {"x": None, "y": {"level": "3"}}


@pytest.mark.parametrize("text", ["serve.port", "serve=5", "nothing.port=5", "="])
def test_a_setting_of_another_form_is_an_error(text: str) -> None:
    with pytest.raises(OptionError, match=r"section\.option=value|no such section"):
        take_setting(Config(), text)


def test_an_extension_with_options_in_one_text() -> None:
    config = Config()
    take_extension(config, "x:level=3, fast ,")
    take_extension(config, "y")
    assert config.extensions == {"x": {"level": "3", "fast": True}, "y": {}}
    with pytest.raises(OptionError, match="expected key=value, got '=3'"):
        take_extension(config, "x:=3")
