"""Everything that is wrong with a configuration, at once."""

from __future__ import annotations

import pytest

from tests.extensions import Keyed
from wsext import App, OptionError, UnknownPlugin
from wsext.config.applying import apply, refuse_errors
from wsext.config.checking import note_extension_errors, note_section_errors
from wsext.config.configuration import Config
from wsext.sdk.plugins import default_plugins


def config(text: str) -> Config:
    import tomllib

    made = Config()
    made.update(tomllib.loads(text), "wsext.toml", text)
    return made


def fields(made: Config) -> list[str | None]:
    return [
        error.field if isinstance(error, OptionError) else error.plugin for error in made.errors
    ]


def test_each_value_of_each_section_is_looked_at() -> None:
    made = config("[serve]\nport = 'x'\nprot = 1\n[rooms]\nhistory = -1\n[server]\nbacklog = 3\n")
    note_section_errors(made)
    assert fields(made) == ["port", "prot", "history"]
    assert [error.source for error in made.errors] == [
        f"wsext.toml, line {line}" for line in (2, 3, 5)
    ]


def test_values_that_do_not_fit_together_are_one_error() -> None:
    made = config("[serve]\ninspect = true\nworkers = 2\n")
    note_section_errors(made)
    assert fields(made) == ["inspect"]


def test_extensions_of_the_app_are_known_and_their_options_looked_at() -> None:
    app = App()
    app.install(Keyed, keys=str.encode)
    made = config(
        'option_sets = ["low-memry"]\n[extensions.x-keyed]\nsize = 99\nkeys = "s3cret"\n'
        "[extensions.x-keyd]\n"
    )
    note_extension_errors(made, app.installed)
    assert fields(made) == ["low-memry", "size", "keys", "x-keyd"]
    assert made.errors[0].source == "wsext.toml, line 1"
    unknown = made.errors[-1]
    assert isinstance(unknown, UnknownPlugin)
    assert unknown.suggestion == "x-keyed"
    assert "s3cret" not in "".join(map(str, made.errors))


def test_what_an_app_has_is_not_judged_before_it_is_loaded() -> None:
    made = config(
        "[serve]\nport = -1\n[extensions.x-mine]\n[extensions.permessage-deflate]\nx = 1\n"
    )
    with pytest.raises(OptionError, match="port") as caught:
        refuse_errors(made, has_app=True)
    assert [note.partition(":")[0] for note in caught.value.__notes__] == ["permessage-deflate"]


def test_one_error_is_raised_and_the_others_are_its_notes() -> None:
    made = config("[extensions.permessage-deflate]\nlevel = 99\nlevl = 1\n")
    with pytest.raises(OptionError, match="level: expected a whole number") as caught:
        apply(made, App(), default_plugins())
    (note,) = caught.value.__notes__
    assert "levl: no such option" in note
    assert "(source: wsext.toml, line 3)" in note
    made.raise_errors()  # they are raised once
