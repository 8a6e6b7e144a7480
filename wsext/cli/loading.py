"""Which app a name such as ``mychat:app`` means."""

from __future__ import annotations

import importlib
import inspect
import sys
from pathlib import Path
from typing import Any

from wsext.app.application import Application
from wsext.errors import OptionError, nearest
from wsext.escape import safe_url

__all__ = ["ASGIApplication", "load_app"]


class ASGIApplication(Application):
    """An app of another framework, such as FastAPI; this one has no routes, and is configured.

    Args:
        name: As it was asked for: ``module:attribute``.
        asgi: The app, to be called with scope, receive and send (ASGI 3).
    """

    def __init__(self, name: str, asgi: Any) -> None:
        super().__init__()
        self.name = name
        self.asgi = asgi


def load_app(name: str, app_dir: str) -> Application:
    """Import ``module:attribute``, an `App`, an ASGI app, or a function that makes one.

    Raises:
        OptionError: If there is none, with the nearest name.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not attribute or "://" in name:
        file = module_name.removesuffix(".py")
        meant = f"{file}:app" if file in _modules(app_dir) else None
        raise OptionError("serve", "app", f"expected module:name, got {safe_url(name)!r}", meant)
    sys.path.append(str(Path(app_dir).resolve()))  # last: its files replace no library
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the app needs: the traceback tells where
        there = _modules(app_dir)
        problem = (
            f"no module named {module_name!r} in {app_dir}; there: {', '.join(there) or 'none'}"
        )
        raise OptionError("serve", "app", problem, nearest(module_name, there)) from None
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        apps = [key for key, item in vars(module).items() if isinstance(item, Application)]
        problem = f"{module_name} has no {attribute!r}; its apps: {', '.join(apps) or 'none'}"
        raise OptionError("serve", "app", problem, nearest(attribute, apps))
    if not isinstance(value, Application) and _takes(value):
        value = value()
    if _takes(value, "scope", "receive", "send"):
        return ASGIApplication(name, value)
    if not isinstance(value, Application):
        raise OptionError("serve", "app", f"{name} is a {type(value).__name__}, not an App")
    return value


def _takes(value: Any, *arguments: str) -> bool:
    """Whether something may be called with these arguments."""
    try:
        inspect.signature(value).bind(*arguments)
    except (TypeError, ValueError):
        return False
    return True


def _modules(folder: str) -> list[str]:
    """The modules and packages of a folder, by name."""
    packages = (path.parent for path in Path(folder).glob("*/__init__.py"))
    names = (path.stem for path in (*Path(folder).glob("*.py"), *packages))
    return sorted(name for name in names if name.isidentifier())
