"""What comes from outside is written as one line without controls, by every logger."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wsext.escape import escape, escape_record, get_logger, safe_text, safe_url

ROOT = Path(__file__).parent.parent

C0 = [chr(code) for code in range(32)]
C1 = [chr(code) for code in range(0x7F, 0xA0)]
BIDI = [*"\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"]
OTHERS = [*"\u2028\u2029\ufeff\u00ad\U000e0041", "\ud800", "\udfff"]


@pytest.mark.parametrize("char", [*C0, *C1, *BIDI, *OTHERS], ids=ascii)
def test_what_is_not_to_be_seen_is_escaped(char: str) -> None:
    shown = escape(f"a{char}b")
    assert shown.isascii()
    assert re.fullmatch(r"a\\[a-zA-Z0-9]+b", shown)


@pytest.mark.parametrize(
    "text", ["", "plain / text", "grüße 你好 مرحبا", "👩‍👩‍👧", "می‌خواهم", "a\u00a0b"]
)
def test_what_people_write_stays_as_it_is(text: str) -> None:
    assert escape(text) == text


def test_some_characters_can_be_kept() -> None:
    assert escape("a\tb\nc\x1b", keep="\n\t") == "a\tb\nc\\x1b"


@given(st.text(st.characters()))
def test_escaping_twice_is_escaping_once(text: str) -> None:
    once = escape(text)
    assert len(once.splitlines()) <= 1
    assert escape(once) == once
    assert once.encode().decode() == once  # no lone surrogate


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://localhost:6379/0", "redis://localhost:6379/0"),
        ("redis://user:s3cret@localhost/0", "redis://localhost/0"),
        ("redis://:s3cret@[::1]:6379", "redis://[::1]:6379"),
        ("nats://s3cret@a.example", "nats://a.example"),
        ("wss://a.example/chat?token=s3cret#s3cret", "wss://a.example/chat"),
        ("redis://:s3/cret@localhost", "redis://…"),
        ("redis://:s3?cret@localhost", "redis://…"),
        ("/chat?token=s3cret", "/chat"),
        ("ws://a\x1b\nb/\u202e", "ws://a\\x1b\\nb/\\u202e"),
        ("http://[::1", "http://…"),
    ],
)
def test_a_url_is_shown_without_secrets(url: str, shown: str) -> None:
    assert safe_url(url) == shown
    assert "cret" not in safe_url(url)


@given(st.text(st.characters()))
def test_any_text_may_be_a_url(text: str) -> None:
    assert len(safe_url(f"ws://{text}").splitlines()) == 1


# --- loggers ----------------------------------------------------------------------------------

EVIL = "x\r\n2026-01-01 ERROR forged\x1b[31m\x85\u2028\u202e\ud800"


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the handler of a test's logger has written, as a file would get it."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logger = get_logger("wsext.test-escape")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield stream
    logger.removeHandler(handler)


def test_a_record_is_one_line(written: io.StringIO) -> None:
    logger = get_logger("wsext.test-escape")
    logger.info("from %s: %r", EVIL, EVIL)
    logger.info(EVIL)
    logger.info("%d", 5)
    lines = written.getvalue().split("\n")
    assert len(lines) == 4
    assert lines[2:] == ["5", ""]
    assert all(line.isprintable() for line in lines)


def test_a_traceback_cannot_pass_for_another_record(written: io.StringIO) -> None:
    try:
        try:
            raise KeyError(EVIL)
        except KeyError as error:
            raise ValueError(EVIL) from error
    except ValueError:
        get_logger("wsext.test-escape").exception("failed at %s", EVIL)
    first, *rest = written.getvalue().rstrip("\n").split("\n")
    assert first.startswith("failed at x\\r\\n")
    assert any("ValueError" in line for line in rest)
    assert all(line.startswith("  ") and line.isprintable() for line in rest)


def test_arguments_that_do_not_fit_are_left_to_the_handler_to_report() -> None:
    record = logging.LogRecord("x", logging.INFO, "", 1, "%d", ("no number",), None)
    assert escape_record(record)
    assert record.args == ("no number",)


def test_a_handler_can_escape_what_other_loggers_say() -> None:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.addFilter(escape_record)
    logger = logging.getLogger("test-escape-of-another-library")
    logger.addHandler(handler)
    logger.error("a\nb\x1b")
    assert stream.getvalue() == "a\\nb\\x1b\n"


#: Who may ask `logging` itself: whoever writes no records of its own there.
_OTHERS = {
    "wsext/escape.py": "makes the loggers",
    "wsext/cli/logs.py": "sets handlers and levels",
    "wsext/cli/ext_check.py": "sets a handler that logs nothing",
    "wsext/testing/simulation/books.py": "reads what is logged",
    "wsext/integrations/uvicorn.py": "writes to uvicorn's log, as uvicorn does",
}


def test_every_logger_of_wsext_escapes_its_records() -> None:
    direct = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "wsext").rglob("*.py")
        if re.search(r"getLogger|\bimport (getLogger|Logger)\b|LoggerAdapter", path.read_text())
    }
    assert direct == set(_OTHERS)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("use ws://host:port/path or wss://…", "use ws://host:port/path or wss://…"),
        ("got 'redis://ada:hunter2@b/0?password=hunter2'; x", "got 'redis://b/0'; x"),
        ("(wss://h/?token=hunter2 is wrong", "(wss://h/ is wrong"),
        ("ada@example.org\x1b", "ada@example.org\\x1b"),
    ],
)
def test_what_a_command_says_has_no_secrets_of_urls(text: str, shown: str) -> None:
    assert safe_text(text) == shown
    assert safe_text(f"{text}\n", keep="\n") == f"{shown}\n"
