"""What a reload cannot change: said when the configuration asks for it."""

from __future__ import annotations

from collections.abc import Callable

from wsext.cli.results import as_text
from wsext.config.configuration import Config
from wsext.errors import WsextError
from wsext.escape import get_logger

__all__ = ["warn_of_changes"]

logger = get_logger("wsext.workers")

#: What the supervisor took for itself when it started. The workers, which are new, read all else.
_KEPT = {
    "serve": ("host", "port", "uds", "fd", "workers", "reload", "admin_host", "admin_port"),
    "server": ("backlog", "worker_timeout"),
}


def warn_of_changes(before: Config, read: Callable[[], Config]) -> None:
    """Log each option that was changed and stays as it was.

    Args:
        before: What the supervisor goes by.
        read: Reads the configuration again. What is wrong with it, the new workers say.
    """
    try:
        after = read()
        for section, names in _KEPT.items():
            old, new = before.section(section), after.section(section)
            for name in names:
                values = getattr(old, name), getattr(new, name)
                if values[0] != values[1]:
                    dotted = f"{section}.{name}"
                    logger.warning(
                        "a reload cannot change %s from %s to %s (source: %s): restart for that",
                        dotted,
                        *map(as_text, values),
                        after.place_of(dotted) or before.place_of(dotted) or "default",
                    )
    except WsextError:
        return
