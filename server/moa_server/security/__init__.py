"""Tells who calls, and what they may do. It knows nothing of how calls come."""

from moa_server.security.callers import ANONYMOUS, Caller, Callers, Evidence

__all__ = ["ANONYMOUS", "Caller", "Callers", "Evidence"]
