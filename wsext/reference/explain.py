"""What the extension of a session does, and what its parameters mean, for people."""

from __future__ import annotations

from typing import Any

from wsext import RSV, Agreed
from wsext.sdk.extension import wire_fields

__all__ = ["explain"]


def explain(agreed: Agreed) -> dict[str, Any]:
    """An extension that is in use: as the header names it, in a sentence, and its parameters."""
    kind = type(agreed.extension)
    summary = (kind.__doc__ or "").strip().partition("\n\n")[0]
    about = {field.wire or field.name: field.description for field in wire_fields(kind)}
    return {
        "name": agreed.name,
        "params": str(agreed),
        "about": " ".join(summary.split()),
        "bits": RSV(kind.rsv).names(),
        "parameters": [
            {"name": name, "value": value or "", "about": about.get(name, "")}
            for name, value in agreed.params.items()
        ],
    }
