"""Secrets among the options: from every source, and shown nowhere."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Annotated

import pytest

from wsext import App, Interceptor, OptionError, OptionSet, Secret, local
from wsext.config.configuration import Config
from wsext.config.sources import read_file, take_environment, take_extension, take_setting
from wsext.sdk.options import option_fields


class SafeOptions(OptionSet):
    token: Annotated[Secret, local("who knows it may look")] | None = None


class Safe(Interceptor):
    name = "x-safe"
    Options = SafeOptions


@pytest.mark.parametrize("given", ["s3cret", Secret("s3cret")])
def test_text_becomes_a_secret(given: str | Secret) -> None:
    for options in (
        SafeOptions(token=given),  # type: ignore[arg-type]
        SafeOptions.parse({"token": given}),
        SafeOptions().replace({"token": given}),
        SafeOptions(token=Secret("other")).replace({"token": given}),
    ):
        assert options.token == Secret("s3cret")
        assert options.token is not None
        assert options.token.reveal() == "s3cret"
        assert options.replace({}) == options
        assert copy.copy(options) == options
    assert SafeOptions.parse({"token": "none"}).token is None


def test_a_secret_is_shown_nowhere() -> None:
    options = SafeOptions(token=Secret("s3cret"))
    shown = f"{options!r} {options.token} {options.token!r} {Safe(options)!r} {options.changed()}"
    assert "s3cret" not in shown
    assert "(hidden)" in shown
    assert option_fields(SafeOptions)[0].type == "Secret | none"


@pytest.mark.parametrize("value", [5, ["s3cret"], "", True])
def test_what_is_no_secret_is_not_shown_either(value: object) -> None:
    with pytest.raises(OptionError, match="token") as caught:
        SafeOptions.parse({"token": value})
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("given", "same"),
    [("s3cret", True), ("s3cre", False), ("", False), ("ü", False), ("\ud800", False)],
)
def test_a_secret_is_compared(given: str, same: bool) -> None:
    assert Secret("s3cret").matches(given) is same
    assert (Secret("s3cret") == given) is False
    assert {Secret("a"), Secret("a")} == {Secret("a")}
    assert pickle.loads(pickle.dumps(Secret("a"))) == Secret("a")


@pytest.mark.parametrize("secret", ["s3cret", "12345", "1_0", "1e5", "true", "2026-01-01"])
@pytest.mark.parametrize("source", ["set", "ext", "environment", "file"])
def test_an_option_called_token_comes_from_every_source(
    source: str, secret: str, tmp_path: Path
) -> None:
    config = Config()
    if source == "set":
        take_setting(config, f"extensions.x-safe.token={secret}")
    elif source == "ext":
        take_extension(config, f"x-safe:token={secret}")
    elif source == "environment":
        take_environment(config, {"WSEXT_EXTENSIONS__X_SAFE__TOKEN": secret}, ["x-safe"])
    else:
        path = tmp_path / "wsext.toml"
        path.write_text(f'[extensions.x-safe]\ntoken = "{secret}"\n')
        config.update(read_file(path))
    app = App()
    app.install(Safe)
    for token, options in config.extensions.items():
        app.configure(token, **(options or {}))
    (item,) = app.installed.items
    assert item.options.token.matches(secret)


@pytest.mark.parametrize("name", ["token", "what", "self"])
def test_options_may_have_the_names_of_our_own_arguments(name: str) -> None:
    app = App()
    with pytest.raises(OptionError, match=f"{name}: no such option"):
        app.install("permessage-deflate", **{name: 1})
    with pytest.raises(OptionError, match=f"{name}: no such option"):
        app.configure("permessage-deflate", **{name: 1})
