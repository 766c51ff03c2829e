"""Decides what of an append a journal takes: the rule of the epoch and of the sequence, the same for every store."""

from collections.abc import Sequence
from dataclasses import dataclass

from moa_server.domain.event import Event, RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.ports import Append
from moa_server.domain.run import RunState
from moa_server.domain.usage import Usage


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
    if held is None or held.owner != owner or held.epoch != append.epoch:
        return Verdict(lost=True)
    if not held.running or not append.events:
        return Verdict()
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
    match events[-1].fact if events else None:
        case RunSucceeded(usage=usage):
            return RunState.SUCCEEDED, usage
        case RunFailed(usage=usage):
            return RunState.FAILED, usage
        case RunCancelled(usage=usage):
            return RunState.CANCELLED, usage
        case _:
            return RunState.RUNNING, None
