"""Targets: what a URL says."""

from __future__ import annotations

import pytest

import wsext
from wsext.client.targets import Target


@pytest.mark.parametrize("url", ["http://x/", "ws://", "example.com", "ws+unix:"])
async def test_a_wrong_url_is_a_value_error(url: str) -> None:
    with pytest.raises(ValueError, match="ws"):
        wsext.connect(url)


@pytest.mark.parametrize(
    ("url", "target", "host"),
    [
        ("ws://h", Target(False, "h", 80, "/"), "h"),
        ("ws://h:81/a?b=c", Target(False, "h", 81, "/a?b=c"), "h:81"),
        ("wss://[::1]/", Target(True, "::1", 443, "/"), "[::1]"),
        ("wss://u:p@h/", Target(True, "h", 443, "/", authorization="Basic dTpw"), "h"),
        ("ws+unix:/s", Target(False, "localhost", 80, "/", uds="/s"), "localhost"),
        ("ws+unix:/s:/a?b", Target(False, "localhost", 80, "/a?b", uds="/s"), "localhost"),
    ],
)
def test_a_url_is_a_target(url: str, target: Target, host: str) -> None:
    assert Target.parse(url) == target
    assert target.host_header == host
