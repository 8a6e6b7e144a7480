"""How a line becomes a message, and a message a line."""

from __future__ import annotations

import pytest

from wsext.cli.forms import Form, Unreadable, read_message, show_jsonl


@pytest.mark.parametrize(
    ("form", "line", "message"),
    [
        ("auto", b"text \xe2\x82\xac", "text €"),
        ("auto", b"\xff", b"\xff"),
        ("auto", b"", ""),
        ("text", b"text", "text"),
        ("binary", b"text", b"text"),
        ("jsonl", b'{"text": ""}', ""),
        ("jsonl", b'{"base64": ""}', b""),
        ("jsonl", b' {"base64": "/wA="} ', b"\xff\x00"),
    ],
)
def test_a_line_is_a_message(form: Form, line: bytes, message: str | bytes) -> None:
    assert read_message(line, 1, form) == message


@pytest.mark.parametrize(
    ("form", "line", "words"),
    [
        ("text", b"s3cret \xff", "line 7 of the input is not text: byte 8 is not UTF-8"),
        ("jsonl", b"s3cret", 'line 7 of the input is not of the form {"text": "..."} or'),
        ("jsonl", b"{}", "not of the form"),
        ("jsonl", b'{"text": "a", "base64": ""}', "not of the form"),
        ("jsonl", b'{"text": 1}', "not of the form"),
        ("jsonl", b'{"txt": "a"}', "not of the form"),
        ("jsonl", b'{"base64": "s3cret!"}', "not of the form"),
    ],
)
def test_a_line_of_another_form_is_named_and_not_shown(form: Form, line: bytes, words: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_message(line, 7, form)
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("message", ["two\nlines", b"\xff\x00"])
def test_what_is_printed_can_be_read(
    message: str | bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    show_jsonl(message)
    (line,) = capsys.readouterr().out.splitlines()
    assert read_message(line.encode(), 1, "jsonl") == message
