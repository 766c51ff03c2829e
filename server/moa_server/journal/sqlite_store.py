"""Speaks with an SQLite file: connections, the thread that writes, the schema's steps, and names for what is wrong."""

import asyncio
import random
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self, TypeVar

from moa_server.domain.errors import JournalUnavailable
from moa_server.journal.migrations import check, steps_of
from moa_server.journal.reachability import Reachability
from moa_server.journal.store_errors import JournalCorrupted, JournalFull

_BUSY_S = 2.0
"""How long an operation waits for a lock of the file. Others' commits are over in milliseconds."""
_HELD_S = 0.1
"""How long it waits once one has waited in vain: whoever holds the lock is frozen, and callers are to hear of that."""
_OPENING_S = 10.0
"""How long the file is waited for before there is anybody to tell: many servers may make it at once."""
_AGAIN_S = (0.005, 0.02)
_APPLICATION = 0x6D6F6131
"""``moa1``: tells our file from any other."""
_NAMED = {
    sqlite3.SQLITE_FULL: (JournalFull, "has no room left"),
    sqlite3.SQLITE_CORRUPT: (JournalCorrupted, "is corrupted"),
    sqlite3.SQLITE_NOTADB: (JournalCorrupted, "is no SQLite database"),
}
_BASE = 0xFF
"""The part of an extended error code that names its kind."""

_T = TypeVar("_T")
Operation = Callable[[sqlite3.Connection], _T]


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn the driver's errors into the house's."""
    try:
        yield
    except sqlite3.Error as error:
        kind, what = _NAMED.get(_code(error), (JournalUnavailable, "cannot be used"))
        raise kind(f"journal {path} {what}: {error}") from error


def _code(error: sqlite3.Error) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _BASE


def connect(path: Path, *, durable: bool = True) -> sqlite3.Connection:
    """Return a connection in write-ahead mode; not durable means that a power cut may take the last commits."""
    with ExitStack() as stack:
        # Any thread may use it, one at a time. Without an isolation level it is we who say where a commit begins.
        opened = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
        connection = stack.enter_context(closing(opened))
        connection.row_factory = sqlite3.Row
        _write_ahead(connection)
        connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA foreign_keys = ON")
        stack.pop_all()  # it is the caller's to close, unless one of these failed
    return connection


def _write_ahead(connection: sqlite3.Connection) -> None:
    # While another process does the same to a new file, or writes to it, SQLite refuses at once: it waits for no lock
    # that it would have to wait for while it holds one itself.
    too_late = time.monotonic() + _OPENING_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if _code(error) != sqlite3.SQLITE_BUSY or time.monotonic() > too_late:
                raise
            time.sleep(random.uniform(*_AGAIN_S))  # noqa: S311 - guards nothing
        else:
            return


class LockWait:
    """How long a connection waits for locks: as long as others' commits may take, but hardly at all while one is held.

    It is held once it was waited for in vain, until it is had.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._is_short = False

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Learn from what becomes of an operation that may have to wait for a lock."""
        try:
            yield
        except sqlite3.Error as error:
            self._wait(short=_code(error) == sqlite3.SQLITE_BUSY)
            raise
        self._wait(short=False)

    def _wait(self, *, short: bool) -> None:
        if short != self._is_short:
            seconds = _HELD_S if short else _BUSY_S
            self._connection.execute(f"PRAGMA busy_timeout = {round(seconds * 1000)}")
            self._is_short = short


class SqliteStore:
    """A file, with a thread that writes to it and one that reads. Entering it creates or migrates the file."""

    def __init__(self, path: Path, health: Reachability, *, durable: bool) -> None:
        self._path = path
        self._health = health
        self._durable = durable
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            with named_errors(self._path):
                await asyncio.to_thread(migrate_sqlite, self._path)
                writing = await asyncio.to_thread(connect, self._path, durable=self._durable)
                stack.callback(writing.close)
                self._reading = await asyncio.to_thread(connect, self._path)
                stack.callback(self._reading.close)
            self._lock_wait = LockWait(self._reading)
            self._writer = SqliteThread(writing, stack.enter_context(ThreadPoolExecutor(1, "journal-writer")))
            self._reader = stack.enter_context(ThreadPoolExecutor(1, "journal-reader"))
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def write(self, operation: Operation[_T]) -> _T:
        """Carry an operation out that changes the file, and return what it returned, once it is durable."""
        try:
            with named_errors(self._path):
                done = await self._writer.run(operation)
        except JournalUnavailable:
            self._health.failed()
            raise
        self._health.succeeded()
        return done

    async def read(self, operation: Operation[_T]) -> _T:
        """Carry an operation out that only reads. In write-ahead mode it waits for no writer."""

        def tried() -> _T:
            with self._lock_wait.tried():
                return operation(self._reading)

        with named_errors(self._path):
            return await asyncio.wrap_future(self._reader.submit(tried))


@dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    done: Future[Any] = field(default_factory=Future)


class SqliteThread:
    """A thread and its connection. What waits while one commit is under way goes into the next one together."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Write through a connection that nobody else uses, on a pool of one thread."""
        self._connection = connection
        self._lock_wait = LockWait(connection)
        self._thread = thread
        self._waiting: deque[_Job] = deque()

    async def run(self, operation: Operation[_T]) -> _T:
        """Carry an operation out and return what it returned, once it is durable.

        If it raises, it is undone, and the others are not; if the store fails, all of them are.
        """
        job = _Job(operation)
        self._waiting.append(job)
        self._thread.submit(self._commit_waiting)
        result: _T = await asyncio.wrap_future(job.done)
        return result

    def _commit_waiting(self) -> None:
        if not self._waiting:  # an earlier commit has taken them along
            return
        try:
            with self._lock_wait.tried():
                # Takes the file's lock now: a transaction that asks for it later may be refused without waiting.
                self._connection.execute("BEGIN IMMEDIATE")
        except BaseException as error:  # noqa: BLE001 - carried to those who wait in the event loop
            for job in self._taken():
                _settle(job, error)
            return
        jobs = self._taken()  # those too that came while the lock was waited for
        try:
            outcomes = [self._attempt(job) for job in jobs]
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - as above
            if self._connection.in_transaction:  # after some failures SQLite has rolled back by itself
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
            for job in jobs:
                _settle(job, error)
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                _settle(job, outcome)

    def _taken(self) -> list[_Job]:
        jobs: list[_Job] = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        return jobs

    def _attempt(self, job: _Job) -> object:
        self._connection.execute("SAVEPOINT operation")
        try:
            outcome = job.operation(self._connection)
        except sqlite3.Error:
            raise
        except BaseException as error:  # noqa: BLE001 - carried to the one who waits in the event loop
            self._connection.execute("ROLLBACK TO operation")
            outcome = error
        self._connection.execute("RELEASE operation")
        return outcome


def _settle(job: _Job, outcome: object) -> None:
    if not job.done.set_running_or_notify_cancel():  # whoever waited was cancelled; it is done all the same
        return
    if isinstance(outcome, BaseException):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)


def migrate_sqlite(path: Path) -> int:
    """Create the file, or bring its schema up to this server; return the number of the newest step."""
    steps = steps_of("sqlite")
    newest = steps[-1].number
    with named_errors(path), closing(connect(path)) as connection:
        connection.execute(f"PRAGMA busy_timeout = {round(_OPENING_S * 1000)}")
        connection.execute("BEGIN")
        number, serves = _schema(connection, path)
        connection.execute("COMMIT")
        if number < newest:  # else the lock is not asked for: whoever holds it may be frozen
            connection.execute("BEGIN IMMEDIATE")
            number, serves = _schema(connection, path)
            check(max(number, newest), serves, newest)
            if not number:
                connection.execute(f"PRAGMA application_id = {_APPLICATION}")
                connection.execute("CREATE TABLE steps (number INTEGER PRIMARY KEY, serves INTEGER NOT NULL)")
            for step in steps[number:]:
                for statement in _statements(step.sql):
                    connection.execute(statement)
                connection.execute("INSERT INTO steps VALUES (?, ?)", (step.number, step.serves))
            connection.execute("COMMIT")
    check(max(number, newest), serves, newest)
    return max(number, newest)


def _schema(connection: sqlite3.Connection, path: Path) -> tuple[int, int]:
    """Return the newest step that was taken, and which servers it serves; of an empty file, zeros."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    if application == _APPLICATION:
        number, serves = connection.execute("SELECT max(number), max(serves) FROM steps").fetchone()
        return number, serves
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables:
        raise JournalCorrupted(f"journal {path} is a database of something else")
    return 0, 0


def _statements(sql: str) -> Iterator[str]:
    """Yield the statements one by one: run as a script they would each be a transaction of their own."""
    statement = ""
    for line in sql.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
