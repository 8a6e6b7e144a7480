"""Runs commands of ``wsext ext`` in this process: where only what they say is looked at."""

from __future__ import annotations

from click.testing import CliRunner, Result

from wsext.cli.ext import ext
from wsext.sdk.plugins import default_plugins, set_default_plugins

__all__ = ["invoke"]


def invoke(*args: str) -> Result:
    """``wsext ext ARGS``; the plugins that it found are forgotten afterwards."""
    before = default_plugins()
    try:
        return CliRunner().invoke(ext, args)
    finally:
        set_default_plugins(before)
