"""What extensions raise and return: mapped, logged once, never sent, and codecs closed once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import pytest

from tests.fake import write_metadata
from wsext import Codec, LocalProtocolError, NegotiationError, ProtocolError, RemoteProtocolError
from wsext.protocol.boundary import (
    Boundary,
    afinish,
    check_codec,
    contained,
    distribution_of,
    finish,
    report,
)


class Failing(Codec):
    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.closed = 0

    @property
    def share_key(self) -> Hashable:
        raise self.error

    @property
    def held_bytes(self) -> int:
        raise self.error

    def encoded_bound(self, size: int) -> int:
        raise self.error

    def close(self) -> None:
        self.closed += 1
        raise self.error


class Secret(Exception):
    """Its text is nobody's business but the log's."""


FAULTS: list[BaseException] = [
    Secret("hunter2"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    RemoteProtocolError(1005, "hunter2"),
    RemoteProtocolError(999, "hunter2"),
    RemoteProtocolError(70000, "hunter2"),
    RemoteProtocolError(1002, b"hunter2"),  # type: ignore[arg-type]
    RemoteProtocolError(1002, "\ud800"),
]


@pytest.mark.parametrize("doing", ["encode", "decode", "skip_shared"])
@pytest.mark.parametrize("error", FAULTS, ids=repr)
def test_any_fault_is_1011_with_words_of_ours_and_one_line_in_the_log(
    error: BaseException, doing: str, caplog: pytest.LogCaptureFixture
) -> None:
    boundary = Boundary("x-foo", Codec())
    boundary.session = "s1"
    failure = boundary.failure(error, doing)
    assert isinstance(failure, LocalProtocolError)
    assert (failure.code, failure.reason, failure.extension) == (1011, "extension failed", "x-foo")
    boundary.failure(error, doing)
    (record,) = [record for record in caplog.records if record.levelno >= logging.INFO]
    assert record.levelno == logging.ERROR
    way = "incoming" if doing == "decode" else "outgoing"
    expected = f"session s1: extension x-foo: {doing}() of {way} data failed (from "
    assert record.getMessage().startswith(expected)
    assert record.exc_info is not None
    assert record.exc_info[1] is error


def test_a_value_error_while_decoding_blames_the_data_and_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failure = Boundary("x-foo", Codec()).failure(ValueError("hunter2"), "decode")
    assert isinstance(failure, RemoteProtocolError)
    assert (failure.code, failure.reason) == (1007, "message cannot be decoded")
    assert "x-foo: decode() of incoming data failed" in caplog.text
    assert Boundary("x-foo", Codec()).failure(ValueError(), "encode").code == 1011


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 1011, 3000, 4999])
def test_a_legal_code_is_the_extension_s_to_choose(
    code: int, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (RemoteProtocolError(code, "says why"), ProtocolError(code, "says why")):
        failure = Boundary("x-foo", Codec()).failure(error, "decode")
        assert failure is error
        assert (failure.code, failure.reason, failure.extension) == (code, "says why", "x-foo")
    assert not caplog.records


def test_what_this_side_did_wrong_is_logged_where_nobody_else_hears_of_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    boundary = Boundary("x-foo", Codec())
    boundary.failure(LocalProtocolError("told by us", extension="x-foo"), "decode")
    boundary.failure(LocalProtocolError("raised to who sends"), "encode")
    assert not caplog.records
    boundary.failure(LocalProtocolError("hunter2"), "decode")
    assert "hunter2" in caplog.text


class Speechless(Exception):
    """Foreign code makes the text of an exception, too."""

    def __str__(self) -> str:
        raise RuntimeError("no text")


def test_a_fault_without_a_text_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    assert Boundary("x-foo", Codec()).failure(Speechless(), "encode").code == 1011
    (record,) = caplog.records
    assert "Speechless: (its text cannot be had: RuntimeError)" in record.getMessage()


class Unequal:
    """Can be hashed, and not compared."""

    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("no other is like me")


def test_a_share_key_that_cannot_be_compared_shares_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Alone(Codec):
        share_key = Unequal()  # type: ignore[assignment]

    assert Boundary("x-foo", Alone()).share_key is None
    assert "share_key" in caplog.text


@pytest.mark.parametrize("error", [Secret(), SystemExit(), KeyboardInterrupt()], ids=repr)
def test_what_is_only_asked_never_fails(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    codec = Failing(error)
    boundary = Boundary("x-foo", codec)
    assert boundary.share_key is None
    assert boundary.held_bytes == 0
    assert boundary.encoded_bound(100) >= 100
    boundary.close()
    boundary.close()
    assert codec.closed == 1
    assert len([record for record in caplog.records if record.levelno >= logging.INFO]) == 1


def test_a_share_key_that_is_no_key_shares_nothing(caplog: pytest.LogCaptureFixture) -> None:
    class Listed(Codec):
        @property
        def share_key(self) -> Any:
            return ["no key"]

    assert Boundary("x-foo", Listed()).share_key is None
    assert "x-foo: share_key() failed" in caplog.text


def test_codecs_whose_encode_shared_is_asynchronous_share_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Sharing(Codec):
        @property
        def share_key(self) -> Hashable:
            return 1

        async def encode_shared(self, frame: Any) -> Any:
            return frame

    for _ in range(2):
        assert Boundary("x-foo", Sharing()).share_key is None
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert "encode_shared() is async" in record.getMessage()


# --- what make_codec, accept and confirm give ---------------------------------------------------


class Lacking:
    encode = decode = close = lambda self, *arguments: None


class AsyncWants(Codec):
    async def wants(self, frame: Any, hints: Any) -> bool:  # type: ignore[override]
        return True


class Boundless(Codec):
    def encoded_bound(self, size: int) -> Any:
        return None


async def a_codec() -> Codec:
    return Codec()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: None, r"gave NoneType, which has no encode\(\)"),
        (lambda: Codec, r"gave the class Codec, not an object of it"),
        (lambda: "codec", r"gave str, which has no encode_shared\(\)"),
        (Lacking, r"which has no encode_shared\(\), .* derived from wsext\.Codec"),
        (AsyncWants, r"AsyncWants\.wants\(\) cannot be async"),
        (Boundless, r"encoded_bound\(\) returned None,"),
        (a_codec, r"make_codec\(\) cannot be async"),
    ],
)
def test_what_is_no_codec_is_named(make: Any, sentence: str) -> None:
    with pytest.raises(TypeError, match=sentence):
        check_codec(make(), 100)


class Asked:
    name = "x-asked"


class Context:
    role = "server"
    request = None


@pytest.mark.parametrize("error", FAULTS[:4], ids=repr)
def test_a_fault_while_negotiating_becomes_a_negotiation_error(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        pytest.raises(NegotiationError, match="x-asked: the extension failed; the log has"),
        contained(Asked(), "accept", Context()),
    ):
        raise error
    assert "handshake, server: extension x-asked: accept() failed (from tests." in caplog.text


# --- what is awaited ----------------------------------------------------------------------------


def steps() -> Any:
    try:
        first = yield a_codec()
    except TypeError as error:
        return str(error)
    return first


async def test_steps_are_awaited_where_that_is_possible() -> None:
    assert isinstance(await afinish(steps()), Codec)
    assert finish(steps()) == "is asynchronous, and nothing can be awaited here"


# --- where an extension comes from --------------------------------------------------------------


def test_the_distribution_is_found_by_the_entry_points(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_metadata(tmp_path, "wsext-elsewhere", {"x-elsewhere": "elsewhere_ext.inner:Elsewhere"})
    monkeypatch.syspath_prepend(str(tmp_path))
    kind = type("Elsewhere", (), {"__module__": "elsewhere_ext.other"})
    assert distribution_of(kind) == "wsext-elsewhere"
    assert not distribution_of(type("Nowhere", (), {"__module__": "nowhere_ext"}))


def test_what_code_has_made_of_code_is_reported_too(caplog: pytest.LogCaptureFixture) -> None:
    names: dict[str, Any] = {}
    exec("def hook(): pass", names)  # it has no module
    report("hook()", RuntimeError("no"), kind=names["hook"])
    assert [record.getMessage() for record in caplog.records] == [
        "hook() failed (from an unnamed module): RuntimeError: no"
    ]
