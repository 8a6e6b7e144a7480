"""The client for code without an event loop: scripts, notebooks, threads, web views that wait.

It is that of `wsext.connect`, in an event loop in a thread, which all sessions of a process share.
"""

from __future__ import annotations

from wsext.sync.opening import Opening as Opening
from wsext.sync.opening import connect as connect
from wsext.sync.session import BlockingSession as BlockingSession

__all__ = ["BlockingSession", "Opening", "connect"]
