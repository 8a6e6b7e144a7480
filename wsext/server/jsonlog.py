"""A record of the log as one line of JSON."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

import msgspec

from wsext.escape import escape

__all__ = ["JSONFormatter"]

#: What every record has, so that it is nothing that somebody has said with ``extra``.
_USUAL = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JSONFormatter(logging.Formatter):
    """Writes a record as an object: ``time``, ``level``, ``logger``, ``process``, ``message``.

    What is said with ``extra`` stands beside these, a mapping ``fields`` item by item. A traceback
    is the text ``exception``, and a stack the text ``stack``. Controls are escaped as in text.
    """

    def format(self, record: logging.LogRecord) -> str:
        said = {name: value for name, value in vars(record).items() if name not in _USUAL}
        fields = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "process": record.process,
            "message": _message(record),
        }
        if isinstance(said.get("fields"), dict):
            said |= said.pop("fields")
        fields = {**fields, **{name: said[name] for name in said if name not in fields}}
        if record.exc_info:
            fields["exception"] = self.formatException(record.exc_info)
        if record.stack_info:
            fields["stack"] = record.stack_info
        shown = {
            name: escape(value, keep="\n") if isinstance(value, str) else value
            for name, value in fields.items()
        }
        try:
            return msgspec.json.encode(shown, enc_hook=repr).decode()
        except (TypeError, ValueError):  # deep inside of something there is what JSON has not
            texts = {str(name): escape(str(value)) for name, value in shown.items()}
            return msgspec.json.encode(texts).decode()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit
        return f"{record.msg} {record.args}"
