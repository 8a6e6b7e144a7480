"""What a session has carried so far: messages and bytes, each way."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Stats"]


@dataclass(frozen=True, slots=True)
class Stats:
    """Totals of a session's data messages; sizes are payload bytes.

    Attributes:
        messages_in, messages_out: Whole messages.
        app_bytes_in, app_bytes_out: As the application sees them.
        wire_bytes_in, wire_bytes_out: As they travel, encoded by the agreed extensions.
        dropped_in, dropped_out: Messages dropped by the overflow policy ``drop-oldest``.
        waiting_in: Received messages that wait for the application now.
        frames_in: Frames of every kind received, also those that make no message.
    """

    messages_in: int
    messages_out: int
    app_bytes_in: int
    app_bytes_out: int
    wire_bytes_in: int
    wire_bytes_out: int
    dropped_in: int
    dropped_out: int
    waiting_in: int
    frames_in: int
