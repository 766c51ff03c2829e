"""How long finished runs are kept, and how many."""

from dataclasses import dataclass, replace

from moa_server.domain.plan import Plan


@dataclass(frozen=True, slots=True)
class Retention:
    """Limits on finished runs, the oldest going first; None means no limit. Unfinished runs are never removed."""

    age_s: float | None = 86_400.0
    """Since the run ended."""
    content_age_s: float | None = None
    """Since the run ended, for its messages and events; its record and usage stay until ``age_s``."""
    runs: int | None = None
    """Over all callers."""
    bytes: int | None = None
    """Over all callers."""
    runs_per_caller: int | None = None
    bytes_per_caller: int | None = None

    @property
    def counts(self) -> bool:
        """Whether anything but age limits them."""
        limits = (self.runs, self.bytes, self.runs_per_caller, self.bytes_per_caller)
        return any(limit is not None for limit in limits)


PURGE_STEP = 100
"""The most runs removed at once, so that writers wait for no purge."""


def without_content(plan: Plan) -> Plan:
    """Return a plan without what the caller said."""
    return replace(plan, messages=(), response_schema=None)
