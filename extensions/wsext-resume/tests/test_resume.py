"""session-resume: the kit."""

from __future__ import annotations

from wsext_resume import SessionResume

from wsext import testing
from wsext.integrations.websockets import adaptable


class TestResume(testing.ExtensionSuite):
    extension = SessionResume


def test_websockets_cannot_use_it_and_is_told_why() -> None:
    why = adaptable(SessionResume)
    assert why is not None
    assert "opcode" in why
