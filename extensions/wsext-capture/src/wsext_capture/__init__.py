"""Writes sessions to a file: JSONL, HAR or pcapng."""

from wsext_capture.interceptor import Capture, CaptureOptions

__all__ = ["Capture", "CaptureOptions"]
