"""What all stores keep of a run, and the record that is made of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import structlog

from moa_server.domain.errors import JournalUnavailable, RequestIdReused
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Registered
from moa_server.domain.run import RunRecord, RunState, Submission
from moa_server.journal.codec import Codec

PURGE_STEP = 100
"""The most runs removed at once, so that writers wait for no purge."""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Row:
    """A run as both SQL stores have it."""

    run_id: str
    ticket: bytes
    plan: bytes
    state: str
    epoch: int
    owner: str
    fingerprint: str
    created: datetime
    age_s: float
    cancel_asked: str
    unwatched_s: float
    usage: bytes | None

    @classmethod
    def of(cls, columns: Mapping[str, Any]) -> "Row":
        """Return the row of a statement that selected these columns by these names."""
        return cls(**{name: columns[name] for name in cls.__slots__})


def record_of(row: Row, codec: Codec) -> RunRecord:
    """Return the record."""
    return RunRecord(
        row.run_id,
        codec.read_ticket(row.ticket),
        codec.read_plan(row.plan),
        RunState(row.state),
        row.epoch,
        row.created,
        row.age_s,
        row.cancel_asked,
        row.unwatched_s,
        None if row.usage is None else codec.read_usage(row.usage),
    )


def readable(rows: Iterable[Row], codec: Codec) -> list[RunRecord]:
    """Return the records of claimed runs, without those that cannot be read, which would hold up all others."""
    records = []
    for row in rows:
        try:
            records.append(record_of(row, codec))
        except JournalUnavailable as error:
            _logger.warning("run.unreadable", run_id=row.run_id, detail=error.detail)
    return records


def registered(row: Row, submission: Submission, owner: str, codec: Codec) -> Registered:
    """Compare a submission with the run that is there, which may be the same submission sent before.

    Raises:
        RequestIdReused: it is the run of another request.
    """
    if row.fingerprint != submission.ticket.fingerprint:
        raise RequestIdReused(f"request id {submission.ticket.request_id} stands for another request")
    same = row.run_id == submission.run_id and row.epoch == 1 and row.owner == owner
    return Registered(record_of(row, codec), created=same)


def without_content(plan: Plan) -> Plan:
    """Return a plan without what the caller said."""
    return replace(plan, messages=(), response_schema=None)
