"""Which app a name such as ``mychat:app`` means."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from wsext.app.application import Application
from wsext.errors import OptionError, nearest

__all__ = ["load_app"]


def load_app(name: str, app_dir: str) -> Application:
    """Import ``module:attribute``, an `App` or a function that makes one.

    Raises:
        OptionError: If there is none, with the nearest name.
    """
    module_name, separator, attribute = name.partition(":")
    if not separator or not attribute:
        raise OptionError("serve", "app", f"expected module:name, got {name!r}")
    sys.path.append(str(Path(app_dir).resolve()))  # last: its files replace no library
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
            raise  # a module that the app needs: the traceback tells where
        raise OptionError("serve", "app", f"no module named {module_name!r} in {app_dir}") from None
    value: Any = module
    for part in attribute.split("."):
        value = getattr(value, part, None)
    if value is None:
        apps = [key for key, item in vars(module).items() if isinstance(item, Application)]
        raise OptionError(
            "serve", "app", f"{module_name} has no {attribute!r}", nearest(attribute, apps)
        )
    if not isinstance(value, Application) and callable(value):
        value = value()
    if not isinstance(value, Application):
        raise OptionError("serve", "app", f"{name} is a {type(value).__name__}, not an App")
    return value
