"""One thread that writes to an SQLite file, many operations in one commit."""

import asyncio
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

_T = TypeVar("_T")
Operation = Callable[[sqlite3.Connection], _T]


@dataclass(slots=True)
class _Job:
    operation: Operation[Any]
    done: Future[Any] = field(default_factory=Future)


class SqliteThread:
    """A thread and its connection. What waits while one commit is under way goes into the next one together."""

    def __init__(self, connection: sqlite3.Connection, thread: ThreadPoolExecutor) -> None:
        """Write through a connection that nobody else uses, on a pool of one thread."""
        self._connection = connection
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
        jobs = []
        while self._waiting:
            jobs.append(self._waiting.popleft())
        if jobs:
            self._commit(jobs)

    def _commit(self, jobs: list[_Job]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(job) for job in jobs]
            self._connection.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - carried to those who wait in the event loop
            self._undo()
            for job in jobs:
                _settle(job, error)
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                _settle(job, outcome)

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

    def _undo(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")


def _settle(job: _Job, outcome: object) -> None:
    if not job.done.set_running_or_notify_cancel():
        return
    if isinstance(outcome, BaseException):
        job.done.set_exception(outcome)
    else:
        job.done.set_result(outcome)
