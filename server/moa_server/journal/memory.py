"""Keeps runs in this process: they end with it."""

import time
from bisect import bisect_right
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Self

from moa_server.domain.errors import RequestIdReused, ResumePointExpired
from moa_server.domain.event import Cursor, Event
from moa_server.domain.limits import Retention
from moa_server.domain.ports import Append, Clock, Registered, SystemClock, Written
from moa_server.domain.run import RunRecord, RunState, RunTrial, Submission
from moa_server.journal.claims import Claimable, claims, closes_a_layer
from moa_server.journal.codec import Codec, size_of
from moa_server.journal.followers import Followers
from moa_server.journal.kind import JournalKind
from moa_server.journal.rules import OWNERSHIP_S, PURGE_STEP, Held, judge, outcome, without_content


@dataclass(frozen=True, slots=True)
class MemoryOptions:
    """A journal that ends with the process."""


@dataclass(slots=True)
class _Run:
    record: RunRecord
    owner: str
    began: float
    """By the monotonic clock."""
    events: list[Event] = field(default_factory=list)
    last_sequence: int = 0
    bytes: int = 0
    ended: float | None = None
    watched: float = float("-inf")
    has_content: bool = True

    @property
    def held(self) -> Held:
        return Held(self.owner, self.record.epoch, self.last_sequence, self.record.state is RunState.RUNNING)


class MemoryJournal:
    """A journal for one process, bounded by its retention."""

    is_shared = False

    def __init__(
        self,
        retention: Retention = Retention(),
        *,
        ownership_s: float = OWNERSHIP_S,
        poll_s: float | None = None,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep finished runs within ``retention``; an owner is silent ``ownership_s`` after its last write."""
        self._retention = retention
        self._ownership_s = ownership_s
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._followers = Followers(poll_s)
        self._runs: dict[str, _Run] = {}
        self._requests: dict[tuple[str, str], str] = {}
        self._renewed: dict[str, float] = {}
        self._fallen: dict[str, str] = {}
        """Owners whose event loop was held, each with the run that is to blame, empty when nobody knows."""
        self._running: dict[str, _Run] = {}
        self._left: set[tuple[str, str]] = set()
        """Who is never to claim which run again."""
        self._cancels: dict[str, str] = {}
        self._ended: dict[str, _Run] = {}
        """In the order in which they ended."""
        self._undropped: dict[str, _Run] = {}
        """Ended runs that have their contents, in the order in which they ended."""
        self._count: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()

    @classmethod
    def of(
        cls, _options: MemoryOptions, retention: Retention, _codec: Codec, ownership_s: float
    ) -> AbstractAsyncContextManager[Self]:
        """Return a journal that is entered like those that have something to open."""
        return nullcontext(cls(retention, ownership_s=ownership_s))

    async def submit(self, submission: Submission, owner: str) -> Registered:
        ticket, now = submission.ticket, self._clock.now()
        run = self._runs.get(self._requests.get((ticket.caller, ticket.request_id), submission.run_id))
        if run is not None:
            if run.record.ticket.fingerprint != ticket.fingerprint:
                raise RequestIdReused(f"request id {ticket.request_id} stands for another request")
            same = run.record.run_id == submission.run_id and run.record.epoch == 1 and run.owner == owner
            return Registered(self._aged(run), created=same)
        self._renewed[owner] = self._monotonic()
        record = RunRecord(submission.run_id, ticket, submission.plan, RunState.RUNNING, 1, now)
        run = _Run(record, owner, self._monotonic(), bytes=size_of(submission.plan))
        self._runs[record.run_id] = self._running[record.run_id] = run
        if ticket.request_id:
            self._requests[ticket.caller, ticket.request_id] = record.run_id
        return Registered(record, created=True)

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        self._renewed[owner] = self._monotonic()
        lost: set[str] = set()
        behind: dict[str, int] = {}
        for append in appends:
            run = self._runs.get(append.run_id)
            verdict = judge(append, None if run is None else run.held, owner)
            if verdict.lost:
                lost.add(append.run_id)
            elif verdict.behind is not None:
                behind[append.run_id] = verdict.behind
            elif run is not None and verdict.events:
                self._append(run, verdict.events)
        asked = tuple((run_id, by) for run_id, by in self._cancels.items() if self._runs[run_id].owner == owner)
        return Written(frozenset(lost), tuple(behind.items()), asked)

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        oldest = self._monotonic() - self._ownership_s
        found = []
        for run in self._running.values():
            blamed = self._fallen.get(run.owner)
            is_silent = not run.owner or blamed is not None or self._renewed.get(run.owner, float("-inf")) < oldest
            if run.owner != owner and is_silent and (owner, run.record.run_id) not in self._left:
                record = run.record
                found.append(Claimable(record.run_id, run.owner, record.owners_lost, record.trial, blamed))
        records = []
        for claim in claims(found, limit, trial=trial):
            run = self._running[claim.run_id]
            run.owner, run.last_sequence = owner, 0
            epoch = run.record.epoch + 1
            run.record = replace(run.record, epoch=epoch, owners_lost=claim.owners_lost, trial=claim.trial)
            records.append(replace(self._aged(run), after_loss=claim.after_loss))
        if records:  # else the next to claim would take them from an owner that has not written yet
            self._renewed[owner] = self._monotonic()
        return records

    @asynccontextmanager
    async def lease(self, owner: str) -> AsyncIterator["MemoryLease"]:
        yield MemoryLease(self, owner)

    def renew(self, owner: str) -> bool:
        """Renew an ownership unless it has lapsed."""
        now = self._monotonic()
        is_held = owner not in self._fallen and now - self._renewed.get(owner, float("-inf")) <= self._ownership_s
        if is_held:
            self._renewed[owner] = now
        return is_held

    def fall(self, owner: str, blamed: str) -> None:
        """Let others claim an owner's runs at once."""
        self._fallen[owner] = blamed

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        self._left.update((owner, run_id) for run_id in run_ids)
        await self.release(owner, run_ids)

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            run = self._running.get(run_id)
            if run is not None and run.owner == owner:
                run.owner = ""

    async def find(self, run_id: str) -> RunRecord | None:
        run = self._runs.get(run_id)
        return None if run is None else self._aged(run)

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        run_id = self._requests.get((caller, request_id))
        return None if run_id is None else self._aged(self._runs[run_id])

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        run = self._runs.get(run_id)
        if run is None or not run.has_content:
            raise ResumePointExpired(f"the events of run {run_id} are no longer kept")
        start = bisect_right(run.events, after, key=lambda event: event.cursor)
        return run.events[start : start + limit]

    async def cancel(self, run_id: str, by: str) -> None:
        run = self._running.get(run_id)
        if run is not None and not run.record.cancel_asked:
            run.record = replace(run.record, cancel_asked=by)
            self._cancels[run_id] = by
            self._followers.wake((run.owner,))

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        for run_id in run_ids:
            run = self._running.get(run_id)
            if run is not None:
                run.watched = self._monotonic()

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        return self._followers.follow(name)

    async def purge(self) -> int:
        stale = list(islice(self._past_retention(), PURGE_STEP))
        for run in stale:
            self._remove(run)
        past = (run for run in self._undropped.values() if self._is_older(run, self._retention.content_age_s))
        dropped = list(islice(past, PURGE_STEP - len(stale)))
        for run in dropped:
            self._drop_content(run)
        return len(stale) + len(dropped)

    def _aged(self, run: _Run) -> RunRecord:
        now = self._monotonic()
        return replace(run.record, age_s=now - run.began, unwatched_s=now - run.watched)

    def _append(self, run: _Run, events: tuple[Event, ...]) -> None:
        run.events.extend(events)
        run.last_sequence = events[-1].sequence
        if run.record.trial and closes_a_layer(events):
            run.record = replace(run.record, trial=RunTrial.NONE)
        run.bytes += sum(size_of(event.fact) for event in events)
        state, usage = outcome(events)
        if state is not RunState.RUNNING:
            run.record, run.ended = replace(run.record, state=state, usage=usage), self._monotonic()
            run_id = run.record.run_id
            self._running.pop(run_id)
            self._cancels.pop(run_id, None)
            self._ended[run_id] = self._undropped[run_id] = run
            for scope in _scopes(run):
                self._count[scope] += 1
                self._bytes[scope] += run.bytes
        self._followers.wake((run.record.run_id,))

    def _past_retention(self) -> Iterator[_Run]:
        count, size = self._count.copy(), self._bytes.copy()
        to_each = self._retention.count_per_caller is not None or self._retention.bytes_per_caller is not None
        # Counts what would be left while it goes from the oldest on; the runs themselves are removed by the caller.
        for run in self._ended.values():
            if self._is_older(run, self._retention.age_s) or any(
                self._is_over(scope, count, size) for scope in _scopes(run)
            ):
                count.subtract(_scopes(run))
                size.subtract(dict.fromkeys(_scopes(run), run.bytes))
                yield run
            elif not to_each:
                return  # those that ended later are younger, and no more are over

    def _is_over(self, scope: str, count: Counter[str], size: Counter[str]) -> bool:
        limits = self._retention
        runs, most = (limits.count_per_caller, limits.bytes_per_caller) if scope else (limits.count, limits.bytes)
        return (runs is not None and count[scope] > runs) or (most is not None and size[scope] > most)

    def _is_older(self, run: _Run, age_s: float | None) -> bool:
        if age_s is None or run.ended is None:
            return False
        return self._monotonic() - run.ended > age_s

    def _drop_content(self, run: _Run) -> None:
        run.has_content = False
        run.events.clear()
        run.record = replace(run.record, plan=without_content(run.record.plan))
        self._undropped.pop(run.record.run_id, None)
        for scope in _scopes(run):
            self._bytes[scope] -= run.bytes
        run.bytes = 0

    def _remove(self, run: _Run) -> None:
        ticket = run.record.ticket
        self._drop_content(run)
        self._runs.pop(run.record.run_id)
        self._ended.pop(run.record.run_id)
        self._requests.pop((ticket.caller, ticket.request_id), None)
        for scope in _scopes(run):
            self._count[scope] -= 1
            if not self._count[scope]:
                del self._count[scope], self._bytes[scope]


class MemoryLease:
    """An ownership in a memory journal, which only those of this process can take."""

    def __init__(self, journal: MemoryJournal, owner: str) -> None:
        self._journal = journal
        self._owner = owner

    async def renew(self) -> bool:
        return self._journal.renew(self._owner)

    async def fall(self, blamed: str) -> None:
        self._journal.fall(self._owner, blamed)


def _scopes(run: _Run) -> tuple[str, str]:
    """All callers, and the run's own."""
    return "", "caller " + run.record.ticket.caller


MEMORY = JournalKind(MemoryOptions, MemoryJournal.of)
