"""The ports: what the engine asks of a clock, of a model, of an account and of a journal, whoever fills them."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from moa_server.domain.errors import ModelError
from moa_server.domain.event import Cursor, Event
from moa_server.domain.model import AttemptKind, ModelSpec, Prompt, Reply
from moa_server.domain.run import RunRecord, Submission
from moa_server.domain.usage import Usage


class Clock(Protocol):
    """Tells the moment for people and records; moments to wait for are asyncio's own."""

    def now(self) -> datetime:
        """Return the moment, in UTC."""
        ...


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the moment, in UTC."""
        return datetime.now(UTC)


class OpenAttempt(Protocol):
    """A physical call that has been entered in the account and is not over."""

    def first_token(self) -> None:
        """Note that the first token has come. Further calls change nothing."""
        ...

    def close(self, usage: Usage, *, served_model: str = "", failure: ModelError | None = None) -> None:
        """Note what it used in the end, and why it failed if it did."""
        ...


class Account(Protocol):
    """Where every physical call of one agent is entered before it is made, within the run's budget."""

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> OpenAttempt:
        """Reserve the worst case of a call.

        Raises:
            BudgetExceeded: the run's budget does not cover it.
            DeadlineExceeded: it could not finish in time.
        """
        ...


def _nobody() -> None:
    """Hear of it, and do nothing."""


@dataclass(frozen=True, slots=True)
class CallTerms:
    """What a model is sent out with: who hears it, who pays, and how much time there is."""

    hear: Callable[[str], None]
    """Called with each piece of the text as it comes. Must not block, must not raise."""
    account: Account
    deadline: float
    """The moment at which it is too late, by ``asyncio``'s clock."""
    speak_by: float | None = None
    """The moment by which the first token has to come, so that others have time to stand in; None means none."""
    gather_s: float = 0.0
    """How long pieces may be gathered before they are heard; the first is heard at once."""
    kind: AttemptKind = AttemptKind.FIRST
    run_id: str = ""
    """Whose call it is, so that no run takes all places at a model."""
    alive: Callable[[], None] = _nobody
    """Called whenever anything at all comes from the endpoint, be it no text. Must not block, must not raise."""
    why_cut: Callable[[], ModelError | None] = _nobody
    """Asked when the call is cancelled: why, if it was for the model's own fault."""


class Model(Protocol):
    """Something that can be asked: a provider, or what wraps one."""

    @property
    def spec(self) -> ModelSpec:
        """What the operator says of it."""
        ...

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        """Ask, let the pieces be heard, and return the whole.

        Cancelling it closes the upstream connection.

        Raises:
            ModelError: it failed; what was heard before is void.
        """
        ...


@dataclass(frozen=True, slots=True)
class Append:
    """The next events of one run."""

    run_id: str
    epoch: int
    events: tuple[Event, ...] = ()
    """Without gaps. The journal finds out by their sequences what it has already, should they be sent twice. None only
    asks whether the run still has this owner and epoch. What comes after a terminal event is not kept."""


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a submission."""

    record: RunRecord
    created: bool
    """Whether it was registered now; otherwise the record is the run that has the same caller and request id."""


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a group commit."""

    lost: frozenset[str] = frozenset()
    """The runs that have another owner or epoch now, or are not known; nothing was written for them."""
    behind: tuple[tuple[str, int], ...] = ()
    """The runs whose last events the journal does not have any more, as after a store's failover, each with the last
    sequence of this epoch that it has; nothing was written for them: send again what comes after it."""
    cancelled: tuple[tuple[str, str], ...] = ()
    """The owner's runs that somebody asked to cancel, each with who asked."""


class Lease(Protocol):
    """An owner's hold on its runs, over a connection of its own: a thread beside the event loop renews it.

    Both operations may raise `JournalUnavailable`.
    """

    async def renew(self) -> bool:
        """Renew the ownership, unless it has lapsed already; tell whether it is renewed.

        One that has lapsed is renewed by the next write alone, which is told what was lost meanwhile.
        """
        ...

    async def fall(self, blamed: str) -> None:
        """Let others claim all runs of this owner at once, as from one that fell silent: its event loop is held.

        ``blamed`` is the run whose work holds it; empty when nobody knows.
        """
        ...


class Journal(Protocol):
    """Where runs and their events are kept.

    A run has one owner at a time, and each ownership has a number, the epoch. Every write names the epoch of each run
    it appends to; the journal refuses the runs whose epoch has moved on, and keeps nothing of what was written for
    them. That is the whole of the guarantee: correctness hangs on the epoch, never on a clock.

    Every operation may raise `JournalUnavailable`; trying the same again is then safe.
    """

    @property
    def is_shared(self) -> bool:
        """Whether another server, or this one started again, can carry on what is released."""
        ...

    async def submit(self, submission: Submission, owner: str) -> Registered:
        """Register a run, owned by ``owner`` in epoch 1, unless the same caller and request id has one.

        It renews the ownership, unless that was done within the last third of its time.

        Raises:
            RequestIdReused: the request id stands for another fingerprint.
        """
        ...

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        """Append for all runs of this owner in one commit, and renew its ownership of all its runs.

        A terminal event ends its run in the same commit.
        """
        ...

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        """Release runs that this server cannot carry on, and never claim them again here; others may."""
        ...

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        """Take over at most ``limit`` unfinished runs, released ones or silent owners' ones, each with the next epoch.

        Silence is told by the store's clock, and only by a journal that has reached its store without a break for one
        ownership time: after an outage of the store every owner looks silent. An owner that has fallen is silent at
        once.

        A run is to be tried that was blamed for its owner's fall, that has lost two owners to silence, the last of them
        not through another run's fault, or whose trial was cut short. Such a run is claimed only as a ``trial``, alone,
        and when there is no other to claim. Its trial ends when an event closes a layer. One that is blamed in its
        trial has failed it, and is claimed as any other.

        One whose record cannot be read here is left, as by ``leave``.
        """
        ...

    def lease(self, owner: str) -> AbstractAsyncContextManager[Lease]:
        """Return what a thread of its own, with an event loop of its own, keeps this owner's runs by."""
        ...

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        """Give up the ownership of runs, so that another server can claim them at once."""
        ...

    async def find(self, run_id: str) -> RunRecord | None:
        """Return a run, or None if there is none, or it is past its retention."""
        ...

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        """Return the run of a caller's request id, or None."""
        ...

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        """Return the next events after a place, itself excluded, at most ``limit``, in order.

        Facts that this server does not know are left out; for one who reads ``strict``ly they cannot be read at all.

        Raises:
            ResumePointExpired: the events after that place are no longer kept.
        """
        ...

    async def cancel(self, run_id: str, by: str) -> None:
        """Ask the run's owner, wherever it is, to cancel it. Asking again, or of an ended run, changes nothing."""
        ...

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        """Note that callers of a server watch these runs now, which others may own."""
        ...

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        """Yield at once, then whenever there may be news, and now and then in any case. Close it to leave.

        Of a run, named by its id, news is new events; of an owner, that one of its runs is to be cancelled.
        """
        ...

    async def purge(self) -> int:
        """Remove a few of the runs, or of their contents, that are past their retention; return how many."""
        ...
