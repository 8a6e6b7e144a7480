"""session-resume: the kit."""

from __future__ import annotations

from wsext_resume import SessionResume

from wsext import testing


class TestResume(testing.ExtensionSuite):
    extension = SessionResume
