"""What do the two sides say about a session that comes back?"""

from __future__ import annotations

from typing import Annotated, ClassVar

from wsext import Extension, OptionSet, Phase, local, wire

__all__ = ["ResumeOptions", "SessionResume"]


class ResumeOptions(OptionSet):
    """The options of `SessionResume`."""

    window: Annotated[
        int,
        wire("seconds a session is kept without a connection", direction="answer", ge=1, le=86400),
    ] = 60
    max_bytes: Annotated[
        int, local("bytes of sent messages that a session keeps", ge=1024, le=1 << 30)
    ] = 1 << 20
    max_messages: Annotated[int, local("messages of them", ge=1, le=1 << 20)] = 1024
    max_detached: Annotated[
        int, local("server: sessions without a connection", ge=1, le=1 << 20)
    ] = 1000
    max_per_peer: Annotated[
        int, local("server: of them, of one identity, or else of one address", ge=1, le=1 << 20)
    ] = 20
    max_detached_bytes: Annotated[
        int, local("server: bytes that all of them keep", ge=1024, le=1 << 40)
    ] = 64 << 20
    max_rate: Annotated[
        int, local("server: resumptions of a session in a minute", ge=1, le=6000)
    ] = 30


class SessionResume(Extension):
    """Sessions outlive their connections: who comes back goes on, and nothing is lost."""

    name: ClassVar[str] = "session-resume"
    phase: ClassVar[Phase] = Phase.APPLICATION
    opcodes: ClassVar[frozenset[int]] = frozenset({0xB})
    Options: ClassVar[type[OptionSet]] = ResumeOptions
    options: ResumeOptions
