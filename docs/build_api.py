"""Writes ``api.md``: every public name with its exact signature, from the code itself.

python docs/build_api.py [--check]
"""

from __future__ import annotations

import inspect
import os
import re
import sys
from enum import Enum
from functools import reduce
from operator import or_
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

os.environ["WSEXT_CODEC"] = "python"  # compiled classes have no signatures

import wsext
import wsext.integrations.uvicorn
import wsext.integrations.websockets
from wsext import inspector, integrations, sync, testing
from wsext.app import asyncapi
from wsext.sdk import hookspecs

PAGE = Path(__file__).with_name("api.md")

_INTRO = """\
# Public names

Made from the code by `docs/build_api.py`; a test compares the two. Whatever is not here is not
public, and may change without notice.
"""


#: Names of values, which have no docstrings.
_CONSTANTS = {"CODEC": "Text: `c` if the fast modules run compiled, `python` if their sources run."}


def plain(annotation: Any) -> Any:
    """A type without what is said about it: ranges and meanings of options are in reference.md."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return plain(get_args(annotation)[0])
    if origin in (Union, UnionType):
        return reduce(or_, map(plain, get_args(annotation)))
    return annotation


def signature(name: str, value: Any) -> str:
    """``name(arguments) -> result`` as it stands in the code, on one line."""
    try:
        found = inspect.signature(value)
    except (TypeError, ValueError):
        return name
    parameters = found.parameters.values()
    text = str(
        found.replace(parameters=[p.replace(annotation=plain(p.annotation)) for p in parameters])
    )
    text = re.sub(r"<[^<>]* at 0x[0-9a-f]+>|<object object[^>]*>", "...", text)
    text = re.sub(r"<(?:class|function|enum) '?([\w.]+)'?[^>]*>", r"\1", text)
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)  # annotations are not evaluated
    text = re.sub(r"\bApplication\b", "App", text)  # the base class is not public
    return f"{name}{text}"


def summary(value: Any) -> str:
    """The first paragraph of a docstring, as one line of Markdown."""
    text = (inspect.getdoc(value) or "").partition("\n\n")[0].rstrip(":")
    return re.sub(r"``(.+?)``", r"`\1`", " ".join(text.split()))


def members(kind: type[Any]) -> list[tuple[str, Any]]:
    """A class's own public methods and properties."""
    found = []
    for owner in kind.__mro__:
        if not owner.__module__.startswith("wsext"):
            continue
        for name, member in vars(owner).items():
            if name.startswith(("_", "test_")) or name in dict(found):
                continue
            if isinstance(member, (classmethod, staticmethod)):
                member = getattr(kind, name)
            if inspect.isroutine(member) or isinstance(member, property) or _is_cached(member):
                found.append((name, member))
    return found


def _is_cached(member: Any) -> bool:
    return type(member).__name__ == "cached_property"


def entry(name: str, value: Any) -> str:
    """One name with all that belongs to it."""
    lines = [f"### `{name}`", ""]
    if inspect.isclass(value) and issubclass(value, Enum):
        names = ", ".join(f"`{item.name}`" for item in value)
        return "\n".join([*lines, summary(value), "", names, ""])
    if callable(value) and not isinstance(value, str):
        lines += ["```", signature(name, value), "```", ""]
    lines += [_CONSTANTS.get(name) or summary(value), ""]
    if inspect.isclass(value):
        for member_name, member in members(value):
            if isinstance(member, property) or _is_cached(member):
                text = f"`{member_name}`"
                about = summary(member)
            else:
                text = f"`{signature(member_name, member)}`"
                about = summary(member)
            lines.append(f"- {text}: {about}" if about else f"- {text}")
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """The whole page."""
    parts = [_INTRO, "## `wsext`\n"]
    parts += [entry(name, getattr(wsext, name)) for name in wsext.__all__ if name != "__version__"]
    parts.append("## `wsext.testing`\n")
    parts += [entry(name, getattr(testing, name)) for name in testing.__all__]
    parts += ["## `wsext.integrations.asgi`\n", entry("session", integrations.asgi.session)]
    for module in (sync, integrations.uvicorn, integrations.websockets):
        parts.append(f"## `{module.__name__}`\n")
        names = [name for name in module.__all__ if name != "Protocol"]  # made when looked up
        parts += [entry(name, getattr(module, name)) for name in names]
    parts += ["## `wsext.app.asyncapi`\n", entry("document", asyncapi.document)]
    parts += ["## `wsext.inspector`\n", entry("Inspector", inspector.Inspector)]
    parts.append("## Hooks\n")
    for name, function in vars(hookspecs).items():
        if name.startswith("wsext_") and inspect.isfunction(function):
            parts.append(entry(name, function))
    return "\n".join(parts).rstrip() + "\n"


def main() -> None:
    """Write the page, or say that it is old."""
    text = page()
    if "--check" in sys.argv:
        if PAGE.read_text(encoding="utf-8") != text:
            sys.exit("docs/api.md is not what the code says: run make docs")
        return
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
