from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import timedelta

import asyncpg
import pytest

from moa_server.domain.limits import Retention
from moa_server.domain.ports import Journal
from moa_server.journal.postgres import PostgresJournal
from moa_server.journal.reachability import Reachability
from tests.journal.clock import HandClock
from tests.journal.contract import OWNERSHIP_S, JournalContract

PAST = (
    "UPDATE moa_owners SET renewed = renewed - $1::interval",
    "UPDATE moa_runs SET created = created - $1::interval, ended = ended - $1::interval",
    "UPDATE moa_runs SET watched = watched - $1::interval",
)


class OneDatabase:
    """Servers share a database; time passes in its rows."""

    def __init__(self, dsn: str, stack: AsyncExitStack, *, transaction_pooling: bool) -> None:
        self._dsn = dsn
        self._stack = stack
        self._transaction_pooling = transaction_pooling
        self._clock = HandClock()

    async def journal(self, retention: Retention | None = None) -> Journal:
        journal = PostgresJournal(
            self._dsn,
            retention or Retention(),
            transaction_pooling=self._transaction_pooling,
            health=Reachability(OWNERSHIP_S, self._clock.monotonic),
        )
        return await self._stack.enter_async_context(journal)

    async def pass_time(self, seconds: float) -> None:
        self._clock.advance(seconds)
        connection = await asyncpg.connect(self._dsn)
        for change in PAST:
            await connection.execute(change, timedelta(seconds=seconds))
        await connection.close()


@pytest.fixture(params=[False, True], ids=["direct", "transaction-pooling"])
async def store(postgres_dsn: str, request: pytest.FixtureRequest) -> AsyncIterator[OneDatabase]:
    connection = await asyncpg.connect(postgres_dsn)
    await connection.execute("TRUNCATE moa_owners, moa_fallen, moa_runs, moa_plans, moa_events")
    await connection.close()
    async with AsyncExitStack() as stack:
        yield OneDatabase(postgres_dsn, stack, transaction_pooling=request.param)


class TestPostgresJournal(JournalContract):
    pass
