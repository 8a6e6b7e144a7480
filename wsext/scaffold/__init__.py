"""Templates of ``wsext ext new``, and what renders them.

A template is a file that ends with ``.tmpl``; ``@name@`` in it stands for a value.
"""

from __future__ import annotations

import json
import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.resources import files
from typing import Any

from wsext.errors import OptionError
from wsext.version import __version__

__all__ = ["KINDS", "LICENSES", "Package", "render"]

KINDS = {
    "message": "a wire extension that transforms whole messages",
    "frame": "a wire extension that sees single frames",
    "sealed": "a wire extension for integrity or encryption",
    "local": "a local interceptor, without negotiation",
}

#: Licenses by their SPDX names.
LICENSES = ("MIT", "ISC", "Apache-2.0")


@dataclass(frozen=True, slots=True)
class Package:
    """The names that a new extension's package goes by.

    Attributes:
        token: The extension's name, for example ``permessage-foo``.
        dist: The distribution, ``wsext-foo``.
        module: The module, ``wsext_foo``.
        cls: The class, ``PermessageFoo``.
    """

    token: str
    dist: str
    module: str
    cls: str

    @classmethod
    def named(cls, token: str) -> Package:
        """The names for a token.

        Raises:
            OptionError: If the token cannot be one, or makes no Python name.
        """
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9]*([-_.][A-Za-z0-9]+)*", token):
            raise OptionError(
                "ext new", "name", f"{token!r}: use letters, digits and single dashes"
            )
        words = [word for word in re.split(r"[-_.]", token.lower()) if word]
        short = words[1:] if words[0] in ("permessage", "x", "wsext") and words[1:] else words
        module = "wsext_" + "_".join(short)
        name = "".join(word.capitalize() for word in words)
        if keyword.iskeyword(name) or not name.isidentifier():
            raise OptionError("ext new", "name", f"{token!r} makes no Python name")
        return cls(token, "wsext-" + "-".join(short), module, name)


def render(package: Package, kind: str, license_: str, author: str) -> dict[str, str]:
    """Every file of the new package: path → text.

    Args:
        package: Its names.
        kind: One of `KINDS`.
        license_: One of `LICENSES`.
        author: A name, or ``name <address>``.

    Raises:
        OptionError: If the author is no line of text.
    """
    exports = [package.cls, f"{package.cls}Options"]
    if kind != "local":
        exports.insert(1, f"{package.cls}Codec")
    values = {
        "token": package.token,
        "dist": package.dist,
        "module": package.module,
        "cls": package.cls,
        "summary": f"{package.token}, {KINDS[kind]}.",
        "license": license_,
        "author": author.strip(),
        "person": _person(author.strip()),
        "year": str(datetime.now(UTC).year),
        "wsext": ".".join(__version__.split(".")[:2]),
        "exports": ", ".join(exports),
        "all": ", ".join(f'"{name}"' for name in exports),
    }
    root = files(__name__)

    def template(folder: str, name: str) -> str:
        text = root.joinpath(folder, f"{name}.tmpl").read_text(encoding="utf-8")
        return _fill(text, values)

    source = f"src/{package.module}"
    return {
        "pyproject.toml": template("common", "pyproject.toml"),
        "README.md": template(kind, "README.md"),
        "LICENSE": template("licenses", license_),
        ".gitignore": template("common", "gitignore"),
        ".github/workflows/tests.yml": template("common", "ci.yml"),
        f"{source}/__init__.py": template("common", "init.py"),
        f"{source}/py.typed": "",
        f"{source}/extension.py": template(kind, "extension.py"),
        f"tests/test_{package.module.removeprefix('wsext_')}.py": template(kind, "test.py"),
    }


def _person(author: str) -> str:
    """An author as a table of TOML; JSON's strings are TOML's, too, where nothing is a control."""
    if not author or not author.isprintable():
        problem = "expected a name in one line, without control characters"
        raise OptionError("ext new", "author", f"{problem}, got {author!r}")
    found = re.fullmatch(r"(.*?) *<([^<>\s]+@[^<>\s]+)>", author)
    parts = {"name": found[1], "email": found[2]} if found else {"name": author}
    texts = (
        f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in parts.items() if value
    )
    return f"{{ {', '.join(texts)} }}"


def _fill(text: str, values: Mapping[str, Any]) -> str:
    return re.sub(r"@(\w+)@", lambda found: str(values.get(found[1], found[0])), text)
