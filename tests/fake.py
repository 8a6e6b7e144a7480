"""Distributions that look installed: what ``pip install`` would leave behind, without pip."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path


def write_metadata(
    folder: Path,
    name: str,
    entries: Mapping[str, str],
    version: str = "1.0",
    more: Iterable[str] = (),
) -> None:
    """Put a distribution's metadata and its entry points into a folder that is on the path."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    lines = [f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}", *more]
    (info / "METADATA").write_text("\n".join(lines) + "\n")
    points = "\n".join(f"{token} = {value}" for token, value in entries.items())
    (info / "entry_points.txt").write_text(f"[wsext]\n{points}\n")
