"""What ``wsext serve`` says: its log, its first lines, and why it ends; as text or as JSON."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Sequence
from typing import Any

import click

from wsext.config.sections import ServeOptions
from wsext.escape import escape_record, get_logger
from wsext.runtime import net
from wsext.server.jsonlog import JSONFormatter
from wsext.server.loglimit import LineLimit
from wsext.server.running import first_lines

__all__ = ["announce", "announce_service", "choose_what_is_logged", "complain", "set_up_logging"]

logger = get_logger("wsext.serve")


def set_up_logging(is_json: bool) -> None:
    """Write the log to stderr.

    Args:
        is_json: Whether every line is JSON, also what ends the process, and warnings of Python.
    """
    stderr = logging.StreamHandler()
    stderr.addFilter(escape_record)  # also what asyncio, libraries and the app log
    stderr.addFilter(LineLimit())
    text = "%(asctime)s %(levelname)-7s %(process)d %(name)s  %(message)s"
    stderr.setFormatter(JSONFormatter() if is_json else logging.Formatter(text))
    logging.basicConfig(handlers=[stderr])
    if is_json:
        logging.captureWarnings(True)
        sys.excepthook = _log_uncaught
        threading.excepthook = lambda args: _log_uncaught(
            args.exc_type, args.exc_value, args.exc_traceback
        )
        sys.unraisablehook = lambda args: _log_uncaught(
            args.exc_type, args.exc_value, args.exc_traceback
        )


def choose_what_is_logged(options: ServeOptions) -> None:
    """Set the level, and how requests are logged."""
    logging.getLogger().setLevel(options.log_level.upper())
    requests = logging.getLogger("wsext.access")
    requests.setLevel("WARNING" if options.access_log == "off" else "INFO")
    if options.access_log == "json":
        handler = logging.StreamHandler()
        handler.setFormatter(JSONFormatter())
        requests.addHandler(handler)
        requests.propagate = False


def _log_uncaught(kind: Any, error: Any, traceback: Any) -> None:
    logger.critical("uncaught exception", exc_info=(kind, error, traceback))


def _is_json() -> bool:
    handlers = logging.getLogger().handlers
    return any(isinstance(handler.formatter, JSONFormatter) for handler in handlers)


def announce(lines: Sequence[str], **fields: Any) -> None:
    """Say on stdout what has begun: line by line, or as one line of JSON with fields."""
    if _is_json():
        message = "; ".join(lines)
        record = logger.makeRecord(
            logger.name, logging.INFO, __file__, 0, message, (), None, extra={"fields": fields}
        )
        lines = [JSONFormatter().format(record)]
    click.echo("\n".join(lines))
    sys.stdout.flush()


def announce_service(name: str, url: str, extensions: Sequence[str], admin: str = "") -> None:
    """Say what is served, where, and where the admin port is, if there is one."""
    page = net.page_of(url)
    lines = first_lines(name, page, extensions)
    fields = {"url": page, "extensions": list(extensions)}
    if admin:
        fields["admin"] = admin
        lines.append(f"admin: {admin}")
    announce(lines, **fields)


def complain(line: str) -> None:
    """Say on stderr why a command ends."""
    if _is_json():
        logger.error("%s", line)
    else:
        click.echo(f"wsext: {line}", err=True)
