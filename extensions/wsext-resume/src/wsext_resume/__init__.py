"""session-resume: sessions that outlive their connections."""

from wsext_resume.extension import ResumeOptions, SessionResume

__all__ = ["ResumeOptions", "SessionResume"]
