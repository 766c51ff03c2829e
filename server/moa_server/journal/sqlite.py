"""Keeps runs in an SQLite file, which several server processes of one machine share. For one machine only."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Self, TypeVar

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import Cursor, Event
from moa_server.domain.limits import Retention
from moa_server.domain.ports import Append, Clock, Registered, SystemClock, Written
from moa_server.domain.run import RunRecord, Submission
from moa_server.journal.codec import Codec
from moa_server.journal.followers import Followers
from moa_server.journal.lookout import look_out
from moa_server.journal.memory import OWNERSHIP_S
from moa_server.journal.reachability import Reachability
from moa_server.journal.sqlite_file import connect, migrate_sqlite, named_errors
from moa_server.journal.sqlite_statements import SqliteStatements
from moa_server.journal.sqlite_thread import Operation, SqliteThread

_T = TypeVar("_T")
_LOOK_S = 0.1
"""How often the file is asked whether another process has written for a run that is followed."""
_POLL_S = 2.0


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
        self._path = path
        self._durable = durable
        self._book = SqliteStatements(codec or Codec(), retention, ownership_s, clock or SystemClock(), monotonic)
        self._health = Reachability(ownership_s, monotonic)
        self._followers = Followers(_POLL_S)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            with named_errors(self._path):
                writing, self._connection = await asyncio.to_thread(self._open)
            stack.callback(writing.close)
            stack.callback(self._connection.close)
            self._writer = SqliteThread(writing, stack.enter_context(ThreadPoolExecutor(1, "journal-writer")))
            self._reading = stack.enter_context(ThreadPoolExecutor(1, "journal-reader"))
            await stack.enter_async_context(look_out(self._followers, self._places, _LOOK_S))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def submit(self, submission: Submission, owner: str) -> Registered:
        return await self._write(lambda db: self._book.submit(db, submission, owner))

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        written = await self._write(lambda db: self._book.write(db, owner, appends))
        self._followers.wake(append.run_id for append in appends)
        return written

    async def claim(self, owner: str, limit: int) -> Sequence[RunRecord]:
        settled = self._health.is_settled
        return await self._write(lambda db: self._book.claim(db, owner, limit, settled=settled))

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        await self._write(lambda db: self._book.release(db, owner, run_ids))

    async def cancel(self, run_id: str, by: str) -> None:
        await self._write(lambda db: self._book.cancel(db, run_id, by))

    async def find(self, run_id: str) -> RunRecord | None:
        return await self._read(lambda db: self._book.find(db, run_id))

    async def find_request(self, caller: str, request_id: str) -> RunRecord | None:
        return await self._read(lambda db: self._book.find_request(db, caller, request_id))

    async def read(self, run_id: str, after: Cursor, limit: int) -> Sequence[Event]:
        return await self._read(lambda db: self._book.read(db, run_id, after, limit))

    async def note_watched(self, run_ids: Sequence[str]) -> None:
        await self._write(lambda db: self._book.note_watched(db, run_ids))

    def follow(self, name: str) -> AsyncGenerator[None, None]:
        return self._followers.follow(name)

    async def purge(self) -> int:
        return await self._write(self._book.purge)

    def _open(self) -> tuple[sqlite3.Connection, sqlite3.Connection]:
        migrate_sqlite(self._path)
        return connect(self._path, durable=self._durable), connect(self._path)

    async def _places(self, names: Sequence[str]) -> dict[str, tuple[object, ...]]:
        return await self._read(lambda db: self._book.places(db, names))

    async def _write(self, operation: Operation[_T]) -> _T:
        try:
            with named_errors(self._path):
                done = await self._writer.run(operation)
        except JournalUnavailable:
            self._health.failed()
            raise
        self._health.succeeded()
        return done

    async def _read(self, operation: Operation[_T]) -> _T:
        with named_errors(self._path):
            return await asyncio.wrap_future(self._reading.submit(operation, self._connection))
