"""What a wrong input is answered with: one message that says what to write instead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.wrong_inputs import WRONG, Wrong, folder, told


@pytest.fixture(scope="module")
def here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    path = tmp_path_factory.mktemp("here")
    with folder(path):
        yield path


@pytest.mark.parametrize("wrong", WRONG, ids=lambda wrong: wrong.given + wrong.file[:30])
def test_a_wrong_input_is_told_with_source_field_choices_and_the_nearest_name(
    wrong: Wrong, here: Path
) -> None:
    code, text = told(wrong)
    assert code == 2
    assert [word for word in wrong.words if word not in text] == [], text
    *usage, message = text.splitlines()
    assert message
    assert not usage or usage[0].startswith("Usage: "), text  # one message
    assert "Traceback" not in text


FILE = """
option_sets = ["low-memry"]
[serve]
port = "web"
acess_log = "json"
[servr]
[extensions.permessage-deflate]
level = 12
"""


@pytest.mark.parametrize("command", ["serve", "config", "config --check"])
def test_several_wrong_inputs_are_told_at_once(command: str, here: Path) -> None:
    given = f"WSEXT_SERVER__BAKLOG=1 wsext {command} --set rooms.history=-1"
    code, text = told(Wrong(given, (), FILE))
    assert code == 2
    assert len(text.splitlines()) == 7, text
    for word in (
        "servr: no such section",
        "WSEXT_SERVER__BAKLOG: no such variable",
        "serve: port: ",
        "serve: acess_log: ",
        "rooms: history: ",
        "'low-memry': no such option set",
        "permessage-deflate: level: ",
    ):
        assert text.count(word) == 1, text


def test_a_configuration_without_a_fault_passes_the_check(here: Path) -> None:
    assert told(Wrong("wsext config --check --set serve.app=chat:app", ())) == (0, "")
    code, text = told(Wrong("wsext config --check --set serve.app=chat:ap", ()))
    assert (code, "chat has no 'ap'" in text) == (2, True)
