"""On which line of a file a name is set."""

from __future__ import annotations

import pytest

from wsext.config.lines import line_of

FILE = """# one
option_sets = ["a"]

[serve]
port = 1
access-log = '''
[server]
backlog = 1
'''

[server]
trusted_proxies = [
  "unix",  # [serve]
]
backlog = 2
[extensions]
x-off = false
"x.dotted" = { level = 1 }
[extensions.x-on]
level = 3
rooms.history = 4
"""


@pytest.mark.parametrize(
    ("dotted", "line"),
    [
        ("option_sets", 2),
        ("serve", 4),
        ("serve.port", 5),
        ("serve.access_log", 6),
        ("server", 11),
        ("server.trusted_proxies", 12),
        ("server.backlog", 15),
        ("extensions.x-off", 17),
        ("extensions.x.dotted.level", 18),
        ("extensions.x-on", 19),
        ("extensions.x-on.level", 20),
        ("extensions.x-on.rooms.history", 21),
        ("server.nothing", None),
    ],
)
def test_a_name_has_the_line_on_which_it_begins(dotted: str, line: int | None) -> None:
    assert line_of(FILE, dotted) == line
