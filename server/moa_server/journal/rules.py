"""The rules that all stores keep: what of an append is taken, which submission is the same, what record a run has."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, assert_never

import structlog

from moa_server.domain.errors import JournalUnavailable, RequestIdReused
from moa_server.domain.event import Event, RunCancelled, RunFailed, RunSucceeded, Terminal
from moa_server.domain.operation import Ownership
from moa_server.domain.plan import Plan
from moa_server.domain.ports import Append, Registered
from moa_server.domain.run import RunRecord, RunState, RunTrial, Submission
from moa_server.domain.usage import Usage
from moa_server.journal.codec import Codec

OWNERSHIP_S = Ownership().ownership_s
"""How long a silent owner keeps its runs, where nobody says."""
PURGE_STEP = 100
"""The most runs removed at once, so that writers wait for no purge."""

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What a journal has of a run."""

    owner: str
    epoch: int
    last_sequence: int
    """Of this epoch; 0 when it has no event yet."""
    running: bool


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is to become of an append."""

    events: tuple[Event, ...] = ()
    """What is to be written."""
    lost: bool = False
    behind: int | None = None
    """The last sequence that is there, if events before the append's first are missing."""


def judge(append: Append, held: Held | None, owner: str) -> Verdict:
    """Compare an append with what the journal has."""
    # Before all else: an owner that was robbed learns of it even when it has nothing to write, or the run has ended.
    if held is None or held.owner != owner or held.epoch != append.epoch:
        return Verdict(lost=True)
    if not held.running or not append.events:
        return Verdict()
    # A gap is told and never filled: a store that failed over may have lost a tail that its owner still has.
    if append.events[0].sequence > held.last_sequence + 1:
        return Verdict(behind=held.last_sequence)
    return Verdict(up_to_the_end(append.events[held.last_sequence + 1 - append.events[0].sequence :]))


def up_to_the_end(events: tuple[Event, ...]) -> tuple[Event, ...]:
    """Return the events up to the first terminal one: a run ends once."""
    for place, event in enumerate(events, start=1):
        if event.is_terminal:
            return events[:place]
    return events


def outcome(events: Sequence[Event]) -> tuple[RunState, Usage | None]:
    """Return the state in which these events leave a run, and its usage if they end it."""
    fact = events[-1].fact if events else None
    if not isinstance(fact, Terminal):
        return RunState.RUNNING, None
    match fact:
        case RunSucceeded():
            return RunState.SUCCEEDED, fact.usage
        case RunFailed():
            return RunState.FAILED, fact.usage
        case RunCancelled():
            return RunState.CANCELLED, fact.usage
        case _:
            assert_never(fact)


def without_content(plan: Plan) -> Plan:
    """Return a plan without what the caller said."""
    return replace(plan, messages=(), response_schema=None)


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
    owners_lost: int
    after_loss: bool
    trial: str

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
        row.owners_lost,
        row.after_loss,
        RunTrial(row.trial),
    )


def parted(rows: Iterable[Row], codec: Codec) -> tuple[list[RunRecord], list[str]]:
    """Return the records of claimed runs, and which runs cannot be read here and are to be left to others."""
    records, unreadable = [], []
    for row in rows:
        try:
            records.append(record_of(row, codec))
        except JournalUnavailable as error:
            _logger.warning("run.left_to_others", run_id=row.run_id, detail=error.detail)
            unreadable.append(row.run_id)
    return records, unreadable


def registered(row: Row, submission: Submission, owner: str, codec: Codec) -> Registered:
    """Compare a submission with the run that is there, which may be the same submission sent before.

    Raises:
        RequestIdReused: it is the run of another request.
    """
    if row.fingerprint != submission.ticket.fingerprint:
        raise RequestIdReused(f"request id {submission.ticket.request_id} stands for another request")
    same = row.run_id == submission.run_id and row.epoch == 1 and row.owner == owner
    return Registered(record_of(row, codec), created=same)
