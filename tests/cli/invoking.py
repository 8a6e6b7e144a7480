"""Runs commands in this process: where only what they say is looked at."""

from __future__ import annotations

import click
from click.testing import CliRunner, Result

from wsext.cli.ext import ext
from wsext.sdk.plugins import default_plugins, set_default_plugins

__all__ = ["invoke"]


def invoke(*args: str, command: click.Command = ext) -> Result:
    """A command, ``wsext ext`` by default; the plugins that it found are forgotten afterwards."""
    before = default_plugins()
    try:
        return CliRunner().invoke(command, args)
    finally:
        set_default_plugins(before)
