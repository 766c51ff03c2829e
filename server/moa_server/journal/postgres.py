"""Keeps runs in PostgreSQL, which any number of servers share. Only its clock counts."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Self

import structlog

from moa_server.domain.errors import JournalUnavailable, ResumePointExpired
from moa_server.domain.event import Cursor, Event
from moa_server.domain.limits import Retention
from moa_server.domain.model import Secret
from moa_server.domain.ports import Append, Registered, Written
from moa_server.domain.run import RunRecord, RunState, Submission
from moa_server.journal import postgres_statements as sql
from moa_server.journal import rules
from moa_server.journal.claims import SUSPECT, closes_a_layer
from moa_server.journal.codec import Codec
from moa_server.journal.followers import Followers, in_background
from moa_server.journal.kind import JournalKind
from moa_server.journal.postgres_store import PostgresStore, migrate_postgres, payloads
from moa_server.journal.reachability import Reachability
from moa_server.journal.store_clock import StoreClock

_LOOK_S = 0.5
_LOOK_ALONE_S = 0.2
"""Where no hints can be heard."""
_TRIES = 3
_PIECES = 100

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class PostgresOptions:
    """A journal that servers share."""

    dsn: Secret
    """Where the connection string is kept."""
    transaction_pooling: bool = False
    """Whether a pooler in transaction mode stands before the database. News of runs on other servers then comes by
    looking alone, since no notification passes such a pooler, and every operation costs more round trips."""


class PostgresJournal:
    """A journal in PostgreSQL. Enter it before use; the store need not be there then."""

    is_shared = True

    def __init__(
        self,
        dsn: str | Secret,
        retention: Retention = Retention(),
        *,
        codec: Codec | None = None,
        transaction_pooling: bool = False,
        ownership_s: float = rules.OWNERSHIP_S,
        operation_s: float = 3.0,
        health: Reachability | None = None,
    ) -> None:
        """Keep runs in the database of ``dsn``, which was migrated. A secret is read anew for every connection.

        ``transaction_pooling`` tells that a pooler in transaction mode stands before it: hints of news cannot be heard
        there, so that followers on other servers learn of news by looking.
        """
        self._retention = retention
        self._codec = codec or Codec()
        self._transaction_pooling = transaction_pooling
        self._ownership_s = ownership_s
        self._health = health or Reachability(ownership_s)
        self._apart = partial(PostgresStore, dsn, transaction_pooling=transaction_pooling, operation_s=operation_s)
        self._store = self._apart(self._health)
        self._clock = StoreClock(time.monotonic)
        self._was_settled = False
        self._followers = Followers()
        self._stack = AsyncExitStack()
        self._doubtful_until = float("-inf")
        """Till when runs are looked for that a claim may have taken whose answer was lost."""
        self._unwritten: set[str] = set()
        """The runs that claims have brought, and that have not been written for yet."""
        self._left: set[str] = set()
        """The runs that are never to be claimed here again."""
        self._to_release: set[str] = set()
        """Those of them that are still this server's: before it claims again, they are released."""

    @classmethod
    def of(cls, options: PostgresOptions, retention: Retention, codec: Codec, ownership_s: float) -> Self:
        """Return a journal as the operator wants it."""
        pooling = options.transaction_pooling
        return cls(options.dsn, retention, codec=codec, transaction_pooling=pooling, ownership_s=ownership_s)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._store)
            looking = self._followers.watch_store(self._places, _LOOK_ALONE_S if self._transaction_pooling else _LOOK_S)
            await stack.enter_async_context(in_background(looking, "journal poll"))
            if not self._transaction_pooling:
                listening = self._store.listen(self._followers)
                await stack.enter_async_context(in_background(listening, "journal listener"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def submit(self, submission: Submission, owner: str) -> Registered:
        ticket = submission.ticket
        known = "WHERE run_id = $1 OR (caller = $2 AND request_id = $3)"
        key = (submission.run_id, ticket.caller, ticket.request_id or None)
        written = (ticket.fingerprint, self._codec.ticket(ticket), owner, self._codec.plan(submission.plan))
        for _ in range(_TRIES):
            created = await self._store.fetch(sql.SUBMIT, *key, *written, self._ownership_s / 3)
            if created:
                record = RunRecord(
                    submission.run_id, ticket, submission.plan, RunState.RUNNING, 1, created[0]["created"]
                )
                return Registered(record, created=True)
            rows = await self._store.fetch(sql.RUN + known, *key)
            if rows:  # else it was purged between the two statements, and can be registered now
                return rules.registered(rules.Row.of(rows[0]), submission, owner, self._codec)
        raise JournalUnavailable(f"run {submission.run_id} can neither be registered nor found")

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        lost: set[str] = set()
        behind: dict[str, int] = {}
        cancelled: dict[str, str] = {}
        # What follows directly on what is there is taken at once. The rest is looked at, and what the look finds fit is
        # written again: an append of which a part is there, or the second one of a run.
        open_appends = [replace(append, events=rules.up_to_the_end(append.events)) for append in appends]
        for _ in range(_TRIES):
            taken = await self._take(owner, open_appends, cancelled)
            rest = [
                append
                for append in open_appends
                if not append.events or (append.run_id, append.events[-1].sequence) not in taken
            ]
            open_appends = await self._examine(owner, rest, lost, behind) if rest else []
            if not open_appends:
                break
        else:
            raise JournalUnavailable("the journal's runs change while they are written")
        self._unwritten.difference_update(append.run_id for append in appends if append.events)
        self._followers.wake(append.run_id for append in appends)
        return Written(frozenset(lost), tuple(behind.items()), tuple(cancelled.items()))

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        now = asyncio.get_running_loop().time()
        is_in_doubt = now < self._doubtful_until
        if self._to_release:
            await self.release(owner, [*self._to_release])
            self._to_release.clear()
        known = ([*self._unwritten], SUSPECT, trial, [*self._left])
        try:
            terms = (await self._can_tell_silence(), self._ownership_s, is_in_doubt, *known)
            rows = await self._store.fetch(sql.CLAIM, owner, limit, *terms)
        except JournalUnavailable:
            # The claim may have been made all the same: its runs would be nobody's for as long as their owner lives.
            self._doubtful_until = float("inf")
            raise
        if self._doubtful_until == float("inf"):
            self._doubtful_until = now + self._ownership_s  # the store may be at work still on what was given up
        self._unwritten.update(row["run_id"] for row in rows)
        records, unreadable = rules.parted((rules.Row.of(row) for row in rows), self._codec)
        self._left.update(unreadable)
        self._to_release.update(unreadable)
        return records

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        self._left.update(run_ids)
        await self.release(owner, run_ids)

    @asynccontextmanager
    async def lease(self, owner: str) -> AsyncIterator["PostgresLease"]:
        # What a lease hears of its store says nothing of what the event loop heard.
        async with self._apart(Reachability(self._ownership_s)) as store:
            yield PostgresLease(store, self._ownership_s, owner)

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        await self._store.fetch(sql.RELEASE, owner, list(run_ids))

    async def cancel(self, run_id: str, by: str) -> None:
        await self._store.fetch(sql.CANCEL, run_id, by)

    async def find(self, run_id: str) -> RunRecord | None:
        return self._record(await self._store.fetch(sql.RUN + "WHERE run_id = $1", run_id))

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        return self._record(
            await self._store.fetch(sql.RUN + "WHERE caller = $1 AND request_id = $2", caller, request_id)
        )

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        events: list[Event] = []
        place, most = after, min(limit, _PIECES)
        while len(events) < limit:
            rows = await self._store.fetch(sql.READ, run_id, place.epoch, place.sequence, most)
            if not rows or not rows[0]["content"]:
                raise ResumePointExpired(f"the events of run {run_id} are no longer kept")
            for row in rows:
                if row["piece"] is not None:
                    read = self._codec.read_events(run_id, row["piece"], strict=strict)
                    events += (event for event in read if event.cursor > after)
                    place = Cursor(row["at_epoch"], row["last"])
            if len(rows) < most or rows[-1]["piece"] is None:
                break
        return events[:limit]

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        await self._store.fetch(sql.NOTE_WATCHED, list(run_ids))

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        return self._followers.follow(name)

    async def purge(self) -> int:
        limits = self._retention
        gone = await self._store.fetch(sql.PURGE_AGED, limits.age_s, rules.PURGE_STEP)
        if not gone and limits.counts:
            most = (limits.count, limits.bytes, limits.count_per_caller, limits.bytes_per_caller)
            gone = await self._store.fetch(sql.PURGE_EXCESS, *most, rules.PURGE_STEP)
        if not gone and limits.content_age_s is not None:
            rows = await self._store.fetch(sql.PAST_CONTENT, limits.content_age_s, rules.PURGE_STEP)
            bare = [self._codec.plan(rules.without_content(self._codec.read_plan(row["plan"]))) for row in rows]
            if rows:
                gone = await self._store.fetch(sql.DROP_CONTENT, [row["run_id"] for row in rows], bare)
        if not gone:
            await self._store.fetch(sql.PURGE_OWNERS)
        return len(gone)

    async def _can_tell_silence(self) -> bool:
        """Return whether an owner's silence tells of the owner, and not of the store, nor of a clock set forward."""
        asked = self._clock.asked()
        ((told,),) = await self._store.fetch(sql.CLOCK)
        if self._clock.was_set(told, asked):
            _logger.warning("journal.clock_set")
            self._health.failed()
        is_settled = self._health.is_settled
        if is_settled and not self._was_settled:
            # By now whoever lives has renewed; an owner whose last renewal lies ahead died before it was set back.
            await self._store.fetch(sql.SILENCE_AHEAD)
        self._was_settled = is_settled
        return is_settled

    async def _take(self, owner: str, appends: Sequence[Append], cancelled: dict[str, str]) -> set[tuple[str, int]]:
        """Write what follows directly on what is there; return which runs were written, and up to where."""
        given: list[tuple[Any, ...]] = []
        for append in appends:
            if append.events:
                state, usage = rules.outcome(append.events)
                packed = None if usage is None else self._codec.usage(usage)
                first, last = append.events[0].sequence, append.events[-1].sequence
                piece = self._codec.events(append.events)
                closes = closes_a_layer(append.events)
                given.append((append.run_id, append.epoch, first, last, piece, state.value, packed, closes))
        columns = [list(column) for column in zip(*given, strict=True)] or [[]] * 8
        told = payloads([one[0] for one in given])
        rows = await self._store.fetch(sql.WRITE, owner, *columns, told)
        taken = {(row["run_id"], row["last_sequence"]) for row in rows if row["last_sequence"] is not None}
        cancelled |= {row["run_id"]: row["cancel_asked"] for row in rows if row["run_id"] and row["cancel_asked"]}
        return taken

    async def _examine(
        self, owner: str, appends: Sequence[Append], lost: set[str], behind: dict[str, int]
    ) -> list[Append]:
        """Find out why appends were not taken; return what of them is still to be written."""
        rows = await self._store.fetch(sql.HELD, [append.run_id for append in appends])
        held = {
            row["run_id"]: rules.Held(
                row["owner"], row["epoch"], row["last_sequence"], row["state"] == RunState.RUNNING
            )
            for row in rows
        }
        still = []
        for append in appends:
            verdict = rules.judge(append, held.get(append.run_id), owner)
            if verdict.lost:
                lost.add(append.run_id)
            elif verdict.behind is not None:
                behind[append.run_id] = verdict.behind
            elif verdict.events:
                still.append(Append(append.run_id, append.epoch, verdict.events))
        return still

    async def _places(self, names: Sequence[str]) -> dict[str, object]:
        rows = await self._store.fetch(sql.PLACES, list(names))
        return {row["name"]: tuple(row) for row in rows}

    def _record(self, rows: Sequence[Any]) -> RunRecord | None:
        return rules.record_of(rules.Row.of(rows[0]), self._codec) if rows else None


class PostgresLease:
    """An ownership in a database."""

    def __init__(self, store: PostgresStore, ownership_s: float, owner: str) -> None:
        self._store = store
        self._ownership_s = ownership_s
        self._owner = owner

    async def renew(self) -> bool:
        return bool(await self._store.fetch(sql.RENEW, self._owner, self._ownership_s))

    async def fall(self, blamed: str) -> None:
        await self._store.fetch(sql.FALL, self._owner, blamed)


POSTGRES = JournalKind(PostgresOptions, PostgresJournal.of, lambda options: migrate_postgres(options.dsn))
