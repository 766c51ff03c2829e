"""Tells who calls, and what they may do."""

from moa_server.security.caller import ANONYMOUS, Caller
from moa_server.security.callers import Callers, Evidence, KnownCaller

__all__ = [
    "ANONYMOUS",
    "Caller",
    "Callers",
    "Evidence",
    "KnownCaller",
]
