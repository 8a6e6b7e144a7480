"""What comes from outside, as it may stand in a log or on a terminal: one line, and no controls.

A peer chooses paths, names, close reasons, messages. Written down as it is, such a text can forge
lines of a log, move a terminal's cursor, or turn round the order in which a line is read. So every
logger of wsext is made by `get_logger`, which escapes whole records, and what a command prints goes
through `escape`.
"""

from __future__ import annotations

import logging
import re
from unicodedata import category

__all__ = ["escape", "escape_record", "get_logger", "safe_text", "safe_url"]

#: Controls (C0, DEL, C1), formats (bidi controls among them), surrogates, line and paragraph ends.
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Formats that emoji and some languages are written with, and that can hide nothing.
_JOINERS = "\u200c\u200d"

#: A URL with a user name or a query.
_URL = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"]*[@?][^\s'\"]*", re.IGNORECASE)
_AUTHORITY = re.compile(r"(?:[^:\[\]]*|\[[^\[\]]*\])(?::\d*)?")


def escape(text: str, keep: str = "") -> str:
    r"""A text with every character that is not to be seen written as Python writes it: ``\x1b``.

    Args:
        text: Whatever somebody has sent, also with lone surrogates.
        keep: Characters that stay as they are, such as line ends where there may be many lines.
    """
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode()
        if category(char) in _ESCAPED and char not in keep and char not in _JOINERS
        else char
        for char in text
    )


def safe_url(url: str) -> str:
    """A URL as it may be shown: without user, password, query and fragment, which hold secrets."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return escape(re.split("[?#]", url)[0])
    authority, path = re.split("[/?#]", rest, maxsplit=1)[0], re.split("[?#]", rest)[0]
    if "@" not in authority and not _AUTHORITY.fullmatch(authority):
        return f"{escape(scheme)}://…"  # the authority ends within a password that is not encoded
    return escape(f"{scheme}://{authority.rpartition('@')[2]}{path[len(authority) :]}")


def safe_text(text: str, keep: str = "") -> str:
    """What a command says, as it may be printed: escaped, and URLs in it without their secrets.

    Args:
        text: What it says.
        keep: As for `escape`.
    """
    return escape(_URL.sub(lambda found: safe_url(found[0]), text), keep)


def get_logger(name: str) -> logging.Logger:
    """A logger whose records are escaped, whoever writes them down."""
    logger = logging.getLogger(name)
    logger.addFilter(escape_record)
    return logger


def escape_record(record: logging.LogRecord) -> bool:
    """A filter of `logging`: makes a record one line, with a traceback indented below it.

    What an exception says may be a peer's text. As it is indented, it cannot pass for a record.
    """
    try:
        record.msg, record.args = escape(record.getMessage()), None
    except Exception:
        return True  # arguments that do not fit: the handler says so
    if record.exc_info and not record.exc_text:
        lines = logging.Formatter().formatException(record.exc_info).split("\n")
        record.exc_text = "\n".join(f"  {escape(line)}" for line in lines)
    return True
