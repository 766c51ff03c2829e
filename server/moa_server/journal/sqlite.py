"""Keeps runs in an SQLite file, which several server processes of one machine share. For one machine only."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from moa_server.domain.event import Cursor, Event
from moa_server.domain.limits import Retention
from moa_server.domain.ports import Append, Clock, Registered, SystemClock, Written
from moa_server.domain.run import RunRecord, Submission
from moa_server.journal.codec import Codec
from moa_server.journal.followers import Followers, in_background
from moa_server.journal.kind import JournalKind
from moa_server.journal.reachability import Reachability
from moa_server.journal.rules import OWNERSHIP_S
from moa_server.journal.sqlite_statements import SqliteStatements
from moa_server.journal.sqlite_store import SqliteStore, connect, migrate_sqlite, named_errors

_LOOK_S = 0.1
"""How often the file is asked whether another process has written for a run that is followed."""


@dataclass(frozen=True, slots=True)
class SqliteOptions:
    """A journal in a file, for the servers of one machine: several processes may share it, several machines may not."""

    path: Path
    """The file. Relative to the configuration file."""
    durable: bool = True
    """Whether a write waits for the disk. Without it a power cut may take the last writes; a crash takes none."""


class SqliteJournal:
    """A journal in a file. Enter it before use; entering creates or migrates the file."""

    is_shared = True

    def __init__(
        self,
        path: Path,
        retention: Retention = Retention(),
        *,
        codec: Codec | None = None,
        durable: bool = True,
        ownership_s: float = OWNERSHIP_S,
        clock: Clock | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Keep runs at ``path``; not ``durable`` means that a power cut may take the last commits."""
        clock = clock or SystemClock()
        self._statements = SqliteStatements(codec or Codec(), retention, ownership_s, clock, monotonic)
        self._health = Reachability(ownership_s, monotonic)
        self._path = path
        self._store = SqliteStore(path, self._health, durable=durable)
        self._followers = Followers()
        self._left: set[str] = set()
        """The runs that are never to be claimed here again."""
        self._stack = AsyncExitStack()

    @classmethod
    def of(cls, options: SqliteOptions, retention: Retention, codec: Codec, ownership_s: float) -> Self:
        """Return a journal as the operator wants it."""
        return cls(options.path, retention, codec=codec, durable=options.durable, ownership_s=ownership_s)

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._store)
            looking = self._followers.watch_store(self._places, _LOOK_S)
            await stack.enter_async_context(in_background(looking, "journal poll"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def submit(self, submission: Submission, owner: str) -> Registered:
        return await self._store.write(lambda db: self._statements.submit(db, submission, owner))

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        written = await self._store.write(lambda db: self._statements.write(db, owner, appends))
        self._followers.wake(append.run_id for append in appends)
        return written

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        settled = self._health.is_settled
        records, unreadable = await self._store.write(
            lambda db: self._statements.claim(db, owner, limit, self._left, trial=trial, settled=settled)
        )
        self._left.update(unreadable)
        return records

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        self._left.update(run_ids)
        await self.release(owner, run_ids)

    @asynccontextmanager
    async def lease(self, owner: str) -> AsyncIterator["SqliteLease"]:
        # Opened now, so that nothing but a lock can be in the way when it is needed.
        with named_errors(self._path), closing(connect(self._path)) as connection:
            yield SqliteLease(connection, self._path, self._statements, owner)

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        await self._store.write(lambda db: self._statements.release(db, owner, run_ids))

    async def cancel(self, run_id: str, by: str) -> None:
        await self._store.write(lambda db: self._statements.cancel(db, run_id, by))

    async def find(self, run_id: str) -> RunRecord | None:
        return await self._store.read(lambda db: self._statements.find(db, run_id))

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        return await self._store.read(lambda db: self._statements.find_request(db, caller, request_id))

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        return await self._store.read(lambda db: self._statements.read(db, run_id, after, limit, strict=strict))

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        await self._store.write(lambda db: self._statements.note_watched(db, run_ids))

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        return self._followers.follow(name)

    async def purge(self) -> int:
        return await self._store.write(self._statements.purge)

    async def _places(self, names: Sequence[str]) -> dict[str, tuple[object, ...]]:
        return await self._store.read(lambda db: self._statements.places(db, names))


class SqliteLease:
    """An ownership in a file."""

    def __init__(self, connection: sqlite3.Connection, path: Path, statements: SqliteStatements, owner: str) -> None:
        self._connection = connection
        self._path = path
        self._statements = statements
        self._owner = owner

    async def renew(self) -> bool:
        with named_errors(self._path):
            return self._statements.renew(self._connection, self._owner)

    async def fall(self, blamed: str) -> None:
        with named_errors(self._path):
            self._statements.fall(self._connection, self._owner, blamed)


SQLITE = JournalKind(SqliteOptions, SqliteJournal.of, lambda options: asyncio.to_thread(migrate_sqlite, options.path))
