"""Speaks with PostgreSQL: connections, time limits, notices, the schema's steps, and names for what is wrong."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Self

import asyncpg

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.model import Secret
from moa_server.journal.followers import Followers
from moa_server.journal.migrations import check, steps_of
from moa_server.journal.reachability import Reachability
from moa_server.journal.store_errors import JournalCorrupted, JournalFull, JournalTooOld

CHANNEL = "moa_runs"
_CONNECTIONS = 4
_LISTEN_AGAIN_S = 2.0
_MOST_BYTES = 7000
"""A notification can hold a little under 8000."""
_NAMED = {
    "53100": (JournalFull, "has no room left"),
    "XX001": (JournalCorrupted, "is corrupted"),
    "XX002": (JournalCorrupted, "is corrupted"),
    "42P01": (JournalTooOld, "is not set up: moa-server migrate"),
    "3F000": (JournalTooOld, "is not set up: moa-server migrate"),
}
_STEPS = "CREATE TABLE IF NOT EXISTS moa_steps (number int PRIMARY KEY, serves int NOT NULL)"
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


async def connected(dsn: str | Secret, **how: Any) -> Any:  # noqa: ANN401 - the driver's terms, and its connection
    """Connect once, by the connection string as it is now: one that is kept in a file may have changed.

    Raises:
        JournalUnavailable: the connection string makes no sense. It is not quoted, since it holds a password.
    """
    try:
        return await asyncpg.connect(dsn if isinstance(dsn, str) else dsn.reveal(), **how)
    except ValueError:
        raise JournalUnavailable("the connection string of the PostgreSQL journal cannot be understood") from None


class PostgresStore:
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
            connect=lambda *_, **how: connected(self._dsn, **how),
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

    async def fetch(self, statement: str, *terms: object) -> list[Any]:
        """Carry one statement out, as a transaction of its own."""
        try:
            # The pool's own limits are for connecting and for one command; the operation waits for a connection too.
            with named_errors():
                async with (
                    asyncio.timeout(self._operation_s),
                    self._pool.acquire() as connection,
                    connection.transaction() if self._transaction_pooling else nullcontext(),
                ):
                    rows: list[Any] = await connection.fetch(statement, *terms)
        except JournalUnavailable as error:
            self._health.failed()
            if getattr(error.__cause__, "sqlstate", None) == _READ_ONLY:
                await self._pool.expire_connections()  # so that the next one finds who was promoted in its place
            raise
        self._health.succeeded()
        return rows

    async def listen(self, followers: Followers) -> None:
        """Wake followers at every notification until cancelled. It is only a hint: what is missed is found by looking.

        It takes a connection of its own, since the pool gives one to whoever asks next.
        """
        ended = asyncio.Event()
        while True:
            with suppress(JournalUnavailable), named_errors():
                ended.clear()
                connection = await connected(self._dsn, timeout=_LISTEN_AGAIN_S, command_timeout=_LISTEN_AGAIN_S)
                try:
                    connection.add_termination_listener(lambda _connection: ended.set())
                    await connection.add_listener(CHANNEL, lambda *heard: followers.wake(str(heard[3]).split()))
                    await ended.wait()
                finally:
                    connection.terminate()
            await asyncio.sleep(_LISTEN_AGAIN_S)


def payloads(run_ids: list[str]) -> list[str]:
    """Return what is to be notified for these runs, in as few notifications as can hold them."""
    texts, text = [], ""
    for run_id in run_ids:
        longer = f"{text} {run_id}" if text else run_id
        if len(longer.encode()) > _MOST_BYTES:
            texts.append(text)
            longer = run_id
        text = longer
    return [text for text in (*texts, text) if text and len(text.encode()) <= _MOST_BYTES]


async def migrate_postgres(dsn: str | Secret) -> int:
    """Create the schema, or bring it up to this server; return the number of the newest step.

    Servers of the version before may be at work. Several may do this at once.
    """
    steps = steps_of("postgres")
    newest = steps[-1].number
    with named_errors():
        connection = await connected(dsn, statement_cache_size=0)
        try:
            # Even ``IF NOT EXISTS`` fails when two make it at once; the other migration has then just done it.
            with suppress(asyncpg.UniqueViolationError, asyncpg.DuplicateTableError, asyncpg.DuplicateObjectError):
                await connection.execute(_STEPS)
            async with connection.transaction():
                await connection.execute("LOCK TABLE moa_steps IN EXCLUSIVE MODE")
                number, serves = await _schema(connection)
                check(max(number, newest), serves, newest)
                for step in steps[number:]:
                    await connection.execute(step.sql)
                    await connection.execute("INSERT INTO moa_steps VALUES ($1, $2)", step.number, step.serves)
        finally:
            await connection.close()
    return max(number, newest)


async def _schema(connection: Any) -> tuple[int, int]:  # noqa: ANN401 - the driver's connection, plain or of a pool
    row = await connection.fetchrow("SELECT coalesce(max(number), 0), coalesce(max(serves), 0) FROM moa_steps")
    return row[0], row[1]


async def _check_schema(connection: Any) -> None:  # noqa: ANN401 - as above
    # The driver prepares and executes in two round trips, which a pooler keeps together only in a transaction.
    async with connection.transaction():
        number, serves = await _schema(connection)
    check(number, serves, steps_of("postgres")[-1].number)


async def _leave_alone(_connection: Any) -> None:  # noqa: ANN401 - as above
    """Spare the round trip that would clear what we never set."""
