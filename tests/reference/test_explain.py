"""What an extension of a session does, for people."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from wsext import RSV, Agreed, Extension, MessageCodec, OptionSet, Params, wire
from wsext.reference.explain import explain


class LoudOptions(OptionSet):
    volume: Annotated[int, wire("how loud it is", name="vol")] = 5


class Loud(Extension):
    """Shouts, on
    both sides.

    More about it.
    """

    name = "x-loud"
    rsv = RSV.RSV2
    Options = LoudOptions
    extra_wire_params: ClassVar[dict[str, Any]] = {"dict": Annotated[str, wire("its words")]}


class Silent(Extension):
    name = "x-silent"


def test_an_extension_is_explained_by_what_its_author_has_written() -> None:
    explained = explain(
        Agreed(Loud(), Params({"vol": "7", "dict": "ab", "x": None}), MessageCodec())
    )
    assert explained == {
        "name": "x-loud",
        "params": "x-loud; vol=7; dict=ab; x",
        "about": "Shouts, on both sides.",
        "bits": "RSV2",
        "parameters": [
            {"name": "vol", "value": "7", "about": "how loud it is"},
            {"name": "dict", "value": "ab", "about": "its words"},
            {"name": "x", "value": "", "about": ""},
        ],
    }


def test_an_extension_without_words_is_not_explained_by_those_of_its_base() -> None:
    explained = explain(Agreed(Silent(), Params(), MessageCodec()))
    assert (explained["about"], explained["bits"], explained["parameters"]) == ("", "", [])
