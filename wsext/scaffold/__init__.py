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
    "local": "a local interceptor, without negotiation",
}

_MIT = """\
MIT License

Copyright (c) @year@ @author@

Permission is hereby granted, free of charge, to any person obtaining a copy
of this software and associated documentation files (the "Software"), to deal
in the Software without restriction, including without limitation the rights
to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
copies of the Software, and to permit persons to whom the Software is
furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all
copies or substantial portions of the Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
SOFTWARE.
"""

_ISC = """\
ISC License

Copyright (c) @year@ @author@

Permission to use, copy, modify, and/or distribute this software for any
purpose with or without fee is hereby granted, provided that the above
copyright notice and this permission notice appear in all copies.

THE SOFTWARE IS PROVIDED "AS IS" AND THE AUTHOR DISCLAIMS ALL WARRANTIES WITH
REGARD TO THIS SOFTWARE INCLUDING ALL IMPLIED WARRANTIES OF MERCHANTABILITY
AND FITNESS. IN NO EVENT SHALL THE AUTHOR BE LIABLE FOR ANY SPECIAL, DIRECT,
INDIRECT, OR CONSEQUENTIAL DAMAGES OR ANY DAMAGES WHATSOEVER RESULTING FROM
LOSS OF USE, DATA OR PROFITS, WHETHER IN AN ACTION OF CONTRACT, NEGLIGENCE OR
OTHER TORTIOUS ACTION, ARISING OUT OF OR IN CONNECTION WITH THE USE OR
PERFORMANCE OF THIS SOFTWARE.
"""

_APACHE = """\
Copyright @year@ @author@

Licensed under the Apache License, Version 2.0 (the "License");
you may not use this file except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, software
distributed under the License is distributed on an "AS IS" BASIS,
WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
See the License for the specific language governing permissions and
limitations under the License.
"""

#: License texts by their SPDX names.
LICENSES = {"MIT": _MIT, "ISC": _ISC, "Apache-2.0": _APACHE}


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
        "LICENSE": _fill(LICENSES[license_], values),
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
