"""What a journal does to an SQLite file, each operation inside a transaction of its caller's."""

import sqlite3
import time
from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from moa_server.domain.errors import ResumePointExpired
from moa_server.domain.event import Cursor, Event
from moa_server.domain.limits import Retention
from moa_server.domain.ports import Append, Clock, Registered, Written
from moa_server.domain.run import RunRecord, RunState, RunTrial, Submission
from moa_server.journal import rules
from moa_server.journal.claims import Claimable, claims, closes_a_layer
from moa_server.journal.codec import Codec

_RUN = """
SELECT runs.run_id, ticket, plan, state, epoch, owner, fingerprint, created, cancel_asked, watched, usage,
  owners_lost, trial, boot, began
FROM runs JOIN plans USING (run_id)
"""
# A renewal in the future is from before the machine was started anew, when its monotonic clock began again.
_CLAIMABLE = """
SELECT run_id, runs.owner, owners_lost, trial, blamed
FROM runs LEFT JOIN owners USING (owner) LEFT JOIN fallen USING (owner)
WHERE state = 'running' AND runs.owner <> :owner AND (
  runs.owner = '' OR blamed IS NOT NULL
  OR (:settled AND (renewed IS NULL OR :now - renewed > :ownership_s OR renewed > :now))
)
ORDER BY created
"""
_CLAIM = """
UPDATE runs SET owner = ?, epoch = epoch + 1, last_sequence = 0, owners_lost = ?, trial = ? WHERE run_id = ?
"""
_REGISTER = """
INSERT INTO runs (
  run_id, caller, request_id, fingerprint, ticket, owner, epoch, last_sequence, state, bytes, created, boot, began
) VALUES (?, ?, ?, ?, ?, ?, 1, 0, 'running', ?, ?, ?, ?)
"""
_HELD = "SELECT owner, epoch, last_sequence, state FROM runs WHERE run_id = ?"
_RENEW = "INSERT INTO owners VALUES (?, ?) ON CONFLICT DO UPDATE SET renewed = excluded.renewed"
_RENEW_HELD = """
UPDATE owners SET renewed = :now
WHERE owner = :owner AND renewed BETWEEN :now - :ownership_s AND :now
  AND NOT EXISTS (SELECT 1 FROM fallen WHERE fallen.owner = owners.owner)
"""
_FALL = "INSERT INTO fallen VALUES (?, ?) ON CONFLICT DO NOTHING"
_FORGET_FALLEN = "DELETE FROM fallen WHERE owner NOT IN (SELECT owner FROM owners)"
_FORGET_OWNERS = """
DELETE FROM owners WHERE (:now - renewed > 86400 OR renewed > :now)
  AND NOT EXISTS (SELECT 1 FROM runs WHERE runs.owner = owners.owner AND state = 'running')
"""
_ASKED = "SELECT owner, count(*) FROM runs WHERE state = 'running' AND cancel_asked <> '' "
_PAST_AGE = "SELECT run_id FROM runs WHERE ended < :age ORDER BY ended LIMIT :step"
_PAST_LIMITS = """
SELECT run_id FROM (
  SELECT run_id, ended,
    row_number() OVER newest AS n, sum(bytes) OVER newest AS size,
    row_number() OVER own AS own_n, sum(bytes) OVER own AS own_size
  FROM runs WHERE ended IS NOT NULL
  WINDOW newest AS (ORDER BY ended DESC, run_id), own AS (PARTITION BY caller ORDER BY ended DESC, run_id)
) WHERE n > :runs OR size > :bytes OR own_n > :runs_per_caller OR own_size > :bytes_per_caller
ORDER BY ended LIMIT :step
"""
_PAST_CONTENT = """
SELECT run_id, plan FROM runs JOIN plans USING (run_id)
WHERE ended < :content AND content = 1 ORDER BY ended LIMIT :step
"""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class SqliteStatements:
    """The statements, and the clocks and codec they need."""

    def __init__(
        self,
        codec: Codec,
        retention: Retention,
        ownership_s: float,
        clock: Clock,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Tell silence and age by ``monotonic``, which all processes of the machine share, and moments by ``clock``."""
        self._codec = codec
        self._retention = retention
        self._ownership_s = ownership_s
        self._clock = clock
        self._monotonic = monotonic
        self._boot = boot_id()

    def submit(self, db: sqlite3.Connection, submission: Submission, owner: str) -> Registered:
        ticket = submission.ticket
        known = "WHERE runs.run_id = ? OR (caller = ? AND request_id = ?)"
        key = (submission.run_id, ticket.caller, ticket.request_id)
        rows = db.execute(_RUN + known, key).fetchall()
        if rows:
            return rules.registered(self._row(rows[0]), submission, owner, self._codec)
        plan, now = self._codec.plan(submission.plan), self._clock.now()
        request_id = ticket.request_id or None  # null is equal to nothing: runs without one are all apart
        known_now = (submission.run_id, ticket.caller, request_id, ticket.fingerprint, self._codec.ticket(ticket))
        began = (now.timestamp(), self._boot, self._monotonic())
        db.execute(_REGISTER, (*known_now, owner, len(plan), *began))
        db.execute("INSERT INTO plans VALUES (?, ?)", (submission.run_id, plan))
        # In the same transaction: a run whose owner was never seen would be claimed at once.
        db.execute(_RENEW, (owner, self._monotonic()))
        record = RunRecord(submission.run_id, ticket, submission.plan, RunState.RUNNING, 1, now)
        return Registered(record, created=True)

    def write(self, db: sqlite3.Connection, owner: str, appends: Sequence[Append]) -> Written:
        db.execute(_RENEW, (owner, self._monotonic()))
        lost: set[str] = set()
        behind: dict[str, int] = {}
        for append in appends:
            row = db.execute(_HELD, (append.run_id,)).fetchone()
            held = None if row is None else rules.Held(row[0], row[1], row[2], running=row[3] == RunState.RUNNING)
            verdict = rules.judge(append, held, owner)
            if verdict.lost:
                lost.add(append.run_id)
            elif verdict.behind is not None:
                behind[append.run_id] = verdict.behind
            elif verdict.events:
                self._append(db, append.run_id, verdict.events)
        asked = db.execute(
            "SELECT run_id, cancel_asked FROM runs WHERE state = 'running' AND cancel_asked <> '' AND owner = ?",
            (owner,),
        )
        return Written(frozenset(lost), tuple(behind.items()), tuple((row[0], row[1]) for row in asked))

    def claim(
        self, db: sqlite3.Connection, owner: str, limit: int, left: Container[str], *, trial: bool, settled: bool
    ) -> tuple[Sequence[RunRecord], Sequence[str]]:
        """Claim what may be, but for those that were left; return the records, and what cannot be read and is left."""
        terms = {"owner": owner, "settled": settled, "now": self._monotonic(), "ownership_s": self._ownership_s}
        found = [
            Claimable(row["run_id"], row["owner"], row["owners_lost"], RunTrial(row["trial"]), row["blamed"])
            for row in db.execute(_CLAIMABLE, terms)
            if row["run_id"] not in left
        ]
        made = claims(found, limit, trial=trial)
        for claim in made:
            db.execute(_CLAIM, (owner, claim.owners_lost, claim.trial, claim.run_id))
        if made:
            db.execute(_RENEW, (owner, self._monotonic()))
        rows = []
        for claim in made:
            row = self._row(db.execute(_RUN + "WHERE runs.run_id = ?", (claim.run_id,)).fetchone())
            rows.append(replace(row, after_loss=claim.after_loss))
        records, unreadable = rules.parted(rows, self._codec)
        self.release(db, owner, unreadable)
        return records, unreadable

    def renew(self, db: sqlite3.Connection, owner: str) -> bool:
        """Renew an ownership unless it has lapsed."""
        terms = {"owner": owner, "now": self._monotonic(), "ownership_s": self._ownership_s}
        return db.execute(_RENEW_HELD, terms).rowcount > 0

    def fall(self, db: sqlite3.Connection, owner: str, blamed: str) -> None:
        """Let others claim an owner's runs at once."""
        db.execute(_FALL, (owner, blamed))

    def release(self, db: sqlite3.Connection, owner: str, run_ids: Sequence[str]) -> None:
        db.executemany(
            "UPDATE runs SET owner = '' WHERE run_id = ? AND owner = ? AND state = 'running'",
            [(run_id, owner) for run_id in run_ids],
        )

    def cancel(self, db: sqlite3.Connection, run_id: str, by: str) -> None:
        db.execute(
            "UPDATE runs SET cancel_asked = ? WHERE run_id = ? AND state = 'running' AND cancel_asked = ''",
            (by, run_id),
        )

    def note_watched(self, db: sqlite3.Connection, run_ids: Sequence[str]) -> None:
        db.executemany(
            "UPDATE runs SET watched = ? WHERE run_id = ? AND state = 'running'",
            [(self._monotonic(), run_id) for run_id in run_ids],
        )

    def find(self, db: sqlite3.Connection, run_id: str) -> RunRecord | None:
        return self._record(db.execute(_RUN + "WHERE runs.run_id = ?", (run_id,)).fetchone())

    def find_request(self, db: sqlite3.Connection, caller: str, request_id: str) -> RunRecord | None:
        found = db.execute(_RUN + "WHERE caller = ? AND request_id = ?", (caller, request_id))
        return self._record(found.fetchone())

    def read(self, db: sqlite3.Connection, run_id: str, after: Cursor, limit: int, *, strict: bool) -> Sequence[Event]:
        kept = db.execute("SELECT 1 FROM runs WHERE run_id = ? AND content = 1", (run_id,)).fetchone()
        if kept is None:
            raise ResumePointExpired(f"the events of run {run_id} are no longer kept")
        pieces = db.execute(
            "SELECT piece FROM events WHERE run_id = ? AND (epoch, last) > (?, ?) ORDER BY epoch, last",
            (run_id, after.epoch, after.sequence),
        )
        events: list[Event] = []
        for (piece,) in pieces:
            # A piece is what one write appended: of the first, some may lie before the place that was asked for.
            read = self._codec.read_events(run_id, piece, strict=strict)
            events += (event for event in read if event.cursor > after)
            if len(events) >= limit:
                break
        return events[:limit]

    def purge(self, db: sqlite3.Connection) -> int:
        limits = self._limits()
        stale = db.execute(_PAST_AGE, limits).fetchall()
        if not stale and self._retention.counts:  # counting looks at every run that is kept
            stale = db.execute(_PAST_LIMITS, limits).fetchall()
        db.executemany("DELETE FROM runs WHERE run_id = ?", [(row[0],) for row in stale])
        dropped = [] if stale else db.execute(_PAST_CONTENT, limits).fetchall()
        for run_id, plan in dropped:
            self._drop_content(db, run_id, plan)
        db.execute(_FORGET_OWNERS, {"now": self._monotonic()})
        db.execute(_FORGET_FALLEN)
        return len(stale) + len(dropped)

    def places(self, db: sqlite3.Connection, names: Sequence[str]) -> dict[str, tuple[object, ...]]:
        """Return how far runs are, and how many of an owner's runs are to be cancelled."""
        marks = ", ".join("?" * len(names))
        runs = db.execute(f"SELECT run_id, epoch, last_sequence, content FROM runs WHERE run_id IN ({marks})", names)  # noqa: S608
        asked = db.execute(_ASKED + f"AND owner IN ({marks}) GROUP BY owner", names)
        return {row[0]: tuple(row[1:]) for row in (*runs, *asked)}

    def _append(self, db: sqlite3.Connection, run_id: str, events: tuple[Event, ...]) -> None:
        piece, last = self._codec.events(events), events[-1].sequence
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (run_id, events[0].epoch, last, piece))
        db.execute("UPDATE runs SET last_sequence = ?, bytes = bytes + ? WHERE run_id = ?", (last, len(piece), run_id))
        if closes_a_layer(events):
            db.execute("UPDATE runs SET trial = '' WHERE run_id = ? AND trial <> ''", (run_id,))
        state, usage = rules.outcome(events)
        if usage is not None:
            db.execute(
                "UPDATE runs SET state = ?, usage = ?, ended = ? WHERE run_id = ?",
                (state, self._codec.usage(usage), self._clock.now().timestamp(), run_id),
            )

    def _limits(self) -> dict[str, float | int | None]:
        """Return the terms of the statements that look for what is to go; a limit that is null finds nothing."""
        limits, now = self._retention, self._clock.now().timestamp()
        return {
            "age": None if limits.age_s is None else now - limits.age_s,
            "content": None if limits.content_age_s is None else now - limits.content_age_s,
            "runs": limits.count,
            "bytes": limits.bytes,
            "runs_per_caller": limits.count_per_caller,
            "bytes_per_caller": limits.bytes_per_caller,
            "step": rules.PURGE_STEP,
        }

    def _drop_content(self, db: sqlite3.Connection, run_id: str, plan: bytes) -> None:
        bare = self._codec.plan(rules.without_content(self._codec.read_plan(plan)))
        db.execute("UPDATE plans SET plan = ? WHERE run_id = ?", (bare, run_id))
        db.execute("DELETE FROM events WHERE run_id = ?", (run_id,))
        db.execute("UPDATE runs SET content = 0, bytes = ? WHERE run_id = ?", (len(bare), run_id))

    def _record(self, row: sqlite3.Row | None) -> RunRecord | None:
        return None if row is None else rules.record_of(self._row(row), self._codec)

    def _row(self, row: sqlite3.Row) -> rules.Row:
        created = datetime.fromtimestamp(row["created"], UTC)
        # The clock on the wall can be set; it is asked only for a run from before the machine was started anew.
        is_of_this_boot = row["boot"] != "" and row["boot"] == self._boot
        age_s = self._monotonic() - row["began"] if is_of_this_boot else (self._clock.now() - created).total_seconds()
        unwatched_s = self._monotonic() - row["watched"] if row["watched"] is not None else float("inf")
        if unwatched_s < 0:  # from before the machine was started anew, as with renewals
            unwatched_s = float("inf")
        known = {**dict(row), "created": created, "age_s": age_s, "unwatched_s": unwatched_s, "after_loss": False}
        return rules.Row.of(known)


def boot_id() -> str:
    """Return what tells this boot of the machine from any other; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""
