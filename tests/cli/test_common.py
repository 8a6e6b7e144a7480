"""What several commands share: errors in one line, and completion of names."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from tests.fake import write_metadata
from wsext.cli.common import ExtensionArgument, ExtensionToken, OptionSetName, SettingName, fail
from wsext.sdk.plugins import default_plugins, set_default_plugins


def test_a_failure_is_one_line_on_stderr_and_a_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        fail("it does not work", 2)
    assert caught.value.code == 2
    assert capsys.readouterr() == ("", "wsext: it does not work\n")


@pytest.mark.parametrize(
    ("kind", "typed", "expected"),
    [
        (ExtensionToken(), "permessage-defl", "permessage-deflate"),
        (ExtensionArgument(), "framel", "framelog"),
        (ExtensionArgument(), "permessage-deflate:lev", "permessage-deflate:level="),
        (
            ExtensionArgument(),
            "permessage-deflate:level=1,thr",
            "permessage-deflate:level=1,threshold=",
        ),
        (OptionSetName(), "low-mem", "low-memory"),
        (SettingName(), "server.drain", "server.drain_timeout="),
    ],
)
def test_names_are_completed_with_a_help_for_each(
    kind: click.ParamType, typed: str, expected: str
) -> None:
    command = click.Command("x", params=[click.Option(["--x"], type=kind)])
    context = click.Context(command)
    items = kind.shell_complete(context, command.params[0], typed)
    assert expected in {item.value for item in items}
    assert all(item.value.startswith(typed) for item in items)


def test_the_options_of_an_unknown_extension_are_none() -> None:
    command = click.Command("x")
    param = click.Option(["--x"])
    found = ExtensionArgument().shell_complete(click.Context(command), param, "x-nothing:le")
    assert found == []


def test_what_only_code_sets_is_not_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_metadata(tmp_path, "keyed", {"x-keyed": "tests.extensions:Keyed"})
    monkeypatch.syspath_prepend(tmp_path)
    command = click.Command("x")
    param = click.Option(["--x"])
    before = default_plugins()
    found = ExtensionArgument().shell_complete(click.Context(command), param, "x-keyed:")
    set_default_plugins(before)
    assert [item.value for item in found] == ["x-keyed:size="]
