"""Speaks with PostgreSQL: connections, time limits, the schema's steps, and names for what is wrong."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import asyncpg

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.model import Secret
from moa_server.journal.migrations import check, steps_of
from moa_server.journal.reachability import Reachability
from moa_server.journal.store_errors import JournalCorrupted, JournalFull, JournalTooOld

_CONNECTIONS = 4
_NAMED = {
    "53100": (JournalFull, "has no room left"),
    "XX001": (JournalCorrupted, "is corrupted"),
    "XX002": (JournalCorrupted, "is corrupted"),
    "42P01": (JournalTooOld, "is not set up: moa-server migrate"),
    "3F000": (JournalTooOld, "is not set up: moa-server migrate"),
}
_READ_ONLY = "25006"
"""What a store says that has been demoted to a standby."""


@contextmanager
def named_errors() -> Iterator[None]:
    """Turn the driver's errors into the house's."""
    try:
        yield
    except asyncpg.PostgresError as error:
        kind, what = _NAMED.get(error.sqlstate or "", (JournalUnavailable, "cannot be used"))
        raise kind(f"the PostgreSQL journal {what}: {error}") from error
    except (OSError, TimeoutError, asyncpg.InterfaceError, asyncpg.InternalClientError) as error:
        raise JournalUnavailable(
            f"the PostgreSQL journal cannot be reached: {str(error) or type(error).__name__}"
        ) from error


def revealed(dsn: str | Secret) -> str:
    """Return a connection string as it is now: one that is kept in a file may have changed."""
    return dsn if isinstance(dsn, str) else dsn.reveal()


async def connected(dsn: str | Secret, **how: Any) -> Any:  # noqa: ANN401 - the driver's terms, and its connection
    """Connect once.

    Raises:
        JournalUnavailable: the connection string makes no sense. It is not quoted, since it holds a password.
    """
    try:
        return await asyncpg.connect(revealed(dsn), **how)
    except ValueError:
        raise JournalUnavailable("the connection string of the PostgreSQL journal cannot be understood") from None


class Store:
    """A pool of connections. Entering it does not need the store to be there."""

    def __init__(
        self, dsn: str | Secret, health: Reachability, *, transaction_pooling: bool, operation_s: float
    ) -> None:
        """Reach ``dsn``, and give every operation ``operation_s`` seconds.

        Behind a pooler in transaction mode every operation is a transaction and no statement is prepared ahead, which
        costs round trips: a statement prepared on one connection would be missing on the next.
        """
        self._dsn = dsn
        self._health = health
        self._transaction_pooling = transaction_pooling
        self._operation_s = operation_s

    async def __aenter__(self) -> Self:
        self._pool = await asyncpg.create_pool(
            connect=self._connect,
            min_size=0,
            max_size=_CONNECTIONS,
            statement_cache_size=0 if self._transaction_pooling else 100,
            max_cached_statement_lifetime=0,
            timeout=self._operation_s,
            command_timeout=self._operation_s,
            init=_check_schema,
            reset=_leave_alone,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._pool.terminate()

    async def _connect(self, *_: object, **how: Any) -> Any:  # noqa: ANN401 - the pool's own terms
        return await connected(self._dsn, **how)

    async def fetch(self, statement: str, *terms: object) -> list[Any]:
        """Carry one statement out, as a transaction of its own."""
        try:
            with named_errors():
                rows = await self._fetch(statement, terms)
        except JournalUnavailable:
            self._health.failed()
            raise
        self._health.succeeded()
        return rows

    async def _fetch(self, statement: str, terms: tuple[object, ...]) -> list[Any]:
        try:
            async with asyncio.timeout(self._operation_s), self._pool.acquire() as connection:
                async with connection.transaction() if self._transaction_pooling else nullcontext():
                    rows: list[Any] = await connection.fetch(statement, *terms)
                return rows
        except asyncpg.PostgresError as error:
            if error.sqlstate == _READ_ONLY:
                await self._pool.expire_connections()
            raise


async def migrate_postgres(dsn: str) -> int:
    """Create the schema, or bring it up to this server; return the number of the newest step.

    Servers of the version before may be at work. Several may do this at once.
    """
    with named_errors():
        connection = await connected(dsn, statement_cache_size=0)
        try:
            await _prepare(connection)
            async with connection.transaction():
                await connection.execute("LOCK TABLE moa_steps IN EXCLUSIVE MODE")
                return await _climb(connection)
        finally:
            await connection.close()


async def _prepare(connection: Any) -> None:  # noqa: ANN401 - the driver's connection, plain or of a pool
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS moa_steps (number int PRIMARY KEY, serves int NOT NULL)")
    except (asyncpg.UniqueViolationError, asyncpg.DuplicateTableError):
        return  # another migration has just done it


async def _climb(connection: Any) -> int:  # noqa: ANN401 - as above
    steps = steps_of("postgres")
    newest = steps[-1].number
    number, serves = await _schema(connection)
    check(max(number, newest), serves, newest)
    for step in steps[number:]:
        await connection.execute(step.sql)
        await connection.execute("INSERT INTO moa_steps VALUES ($1, $2)", step.number, step.serves)
    return max(number, newest)


async def _schema(connection: Any) -> tuple[int, int]:  # noqa: ANN401 - as above
    row = await connection.fetchrow("SELECT coalesce(max(number), 0), coalesce(max(serves), 0) FROM moa_steps")
    return row[0], row[1]


async def _check_schema(connection: Any) -> None:  # noqa: ANN401 - as above
    async with connection.transaction():
        number, serves = await _schema(connection)
    check(number, serves, steps_of("postgres")[-1].number)


async def _leave_alone(_connection: Any) -> None:  # noqa: ANN401 - as above
    """Spare the round trip that would clear what we never set."""
