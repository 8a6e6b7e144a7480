"""Writes sessions to a file, as JSONL, HAR or pcapng, and reads them again."""

from wsext_capture.interceptor import Capture, CaptureOptions
from wsext_capture.reading import Recorded, Recording, UnreadableRecording, read_recordings

__all__ = [
    "Capture",
    "CaptureOptions",
    "Recorded",
    "Recording",
    "UnreadableRecording",
    "read_recordings",
]
