"""The form in which a command reads and prints messages: lines as they are, or lines of JSON."""

from __future__ import annotations

import sys
from base64 import b64decode, b64encode
from typing import Any, Literal

import click
import msgspec

from wsext.escape import escape

__all__ = ["Form", "Unreadable", "read_message", "show_jsonl"]

#: How a line becomes a message: ``auto`` is text if it is UTF-8 and else binary, and ``jsonl`` an
#: object that has ``text`` or ``base64``.
Form = Literal["auto", "text", "binary", "jsonl"]


class Unreadable(Exception):
    """A line of the input is no message of its form."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    text: str | None = None
    base64: str | None = None


def read_message(line: bytes, number: int, form: Form) -> str | bytes:
    """The message that a line stands for.

    Args:
        line: Without its end.
        number: Which line of the input it is.
        form: How it is read.

    Raises:
        Unreadable: If it is none; the message never shows what is in the line.
    """
    if form == "binary":
        return line
    if form == "jsonl":
        return _from_json(line, number)
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        if form == "auto":
            return line
        problem = f"is not text: byte {error.start + 1} is not UTF-8; --binary sends it as it is"
        raise Unreadable(f"line {number} of the input {problem}") from None


def _from_json(line: bytes, number: int) -> str | bytes:
    try:
        read = msgspec.json.decode(line, type=_Line)
        if (read.text is None) is not (read.base64 is None):
            return (
                read.text if read.text is not None else b64decode(read.base64 or "", validate=True)
            )
    except ValueError:  # of the JSON, or of the Base64
        pass
    expected = '{"text": "..."} or {"base64": "..."}'
    raise Unreadable(f"line {number} of the input is not of the form {expected}")


def show_jsonl(data: str | bytes) -> None:
    """Print a message as a line of JSON that `read_message` reads."""
    record: dict[str, Any] = (
        {"text": data} if isinstance(data, str) else {"base64": b64encode(data).decode()}
    )
    text = msgspec.json.encode(record).decode()
    click.echo(escape(text) if sys.stdout.isatty() else text)
