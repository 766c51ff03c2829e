"""One carrying-out of a plan."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from moa_server.domain.plan import Plan
from moa_server.domain.usage import Usage


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RunTrial(StrEnum):
    """Whether a run is tried: carried out by a server that takes over nothing else meanwhile."""

    NONE = ""
    OPEN = "open"
    """Until it closes a layer or ends."""
    FAILED = "failed"
    """It held the event loop of its owner in its trial, until that ended itself: it is not carried out again."""


@dataclass(frozen=True, slots=True)
class Ticket:
    """Who asks, under which id, and how the run is to be kept."""

    caller: str
    request_id: str
    """The caller's own id; empty when it gave none."""
    fingerprint: str
    """A digest of the request, to tell a repeated one from another one with the same id."""
    detached: bool = False
    """Whether the run goes on when nobody watches it."""
    proposal_deltas: bool = False
    """Whether its events hold the pieces of proposals."""
    traceparent: str = ""
    """The W3C trace context of the call that asked."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A run that is to be registered."""

    run_id: str
    """A candidate made by the server: sending the same submission again is safe."""
    ticket: Ticket
    plan: Plan


@dataclass(frozen=True, slots=True)
class RunRecord:
    """A run as the journal knows it."""

    run_id: str
    ticket: Ticket
    plan: Plan
    state: RunState
    epoch: int
    """Which ownership of the run, from 1."""
    created: datetime
    """By the store's clock."""
    age_s: float = 0.0
    """Seconds since it was created when the record was read, by the store's clock."""
    cancel_asked: str = ""
    """Who asked to cancel it; empty when nobody did."""
    unwatched_s: float = float("inf")
    """Seconds since a server last noted that a caller of its own watches it, by the store's clock."""
    usage: Usage | None = None
    """What it used, once it has ended. It is kept as long as the record, also when the contents are dropped earlier:
    the plan then has no messages, and the events cannot be read."""
    owners_lost: int = 0
    """How many of its owners fell silent, those that handed it over not counted."""
    after_loss: bool = False
    """Of a run that was just claimed: whether the owner before had fallen silent, rather than handed it over."""
    trial: RunTrial = RunTrial.NONE


_OF_A_RUN = "run "


def task_name(run_id: str, what: str = "") -> str:
    """Return the name of a task that works for a run, by which it is found out whose work holds the event loop."""
    return f"{_OF_A_RUN}{run_id} {what}".rstrip()


def run_of(name: str) -> str:
    """Return the run that a task of this name works for; empty when it works for none."""
    return name.removeprefix(_OF_A_RUN).partition(" ")[0] if name.startswith(_OF_A_RUN) else ""
