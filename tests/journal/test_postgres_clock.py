"""The database's clock is set to another time, or another server with a clock of its own takes its place."""

import asyncio

import asyncpg
import pytest

from moa_server.domain.run import RunRecord
from moa_server.journal.postgres import PostgresJournal
from moa_server.journal.postgres_store import migrate_postgres
from moa_server.journal.store_clock import StoreClock
from tests.journal.clock import HandClock
from tests.journal.examples import deltas, submission
from tests.journal.postgres import Postgres

OWNERSHIP_S = 1.0
PATIENCE_S = 30.0
HOUR_S = 3600
# It stands before the real one for whoever says no more than its name, as the journal's statements and schema do.
OWN_CLOCK = """
CREATE SCHEMA own;
CREATE TABLE own.step AS SELECT interval '0' AS by;
CREATE FUNCTION own.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE
  AS 'SELECT pg_catalog.clock_timestamp() + by FROM own.step';
ALTER DATABASE stepping SET search_path = own, pg_catalog, public;
"""


@pytest.fixture
async def stepping(postgres: Postgres) -> str:
    """A database whose clock can be set."""
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("DROP DATABASE IF EXISTS stepping WITH (FORCE)")
    await connection.execute("CREATE DATABASE stepping")
    await connection.close()
    dsn = postgres.dsn.replace("/postgres?", "/stepping?")
    connection = await asyncpg.connect(dsn)
    await connection.execute(OWN_CLOCK)
    await connection.close()
    await migrate_postgres(dsn)
    return dsn


async def step(dsn: str, seconds: float) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("UPDATE own.step SET by = by + make_interval(secs => $1)", seconds)
    await connection.close()


async def for_a_while(alive: PostgresJournal, looking: PostgresJournal) -> list[RunRecord]:
    """Let longer than an ownership pass, in which one owner writes and another looks for silent ones."""
    claimed: list[RunRecord] = []
    until = asyncio.get_running_loop().time() + 1.5 * OWNERSHIP_S
    while asyncio.get_running_loop().time() < until:
        claimed += await looking.claim("b", 10)
        await alive.write("a", [])
        await asyncio.sleep(OWNERSHIP_S / 20)
    return claimed


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_living_owner_is_not_robbed(stepping: str, step_s: float) -> None:
    async with (
        PostgresJournal(stepping, ownership_s=OWNERSHIP_S) as first,
        PostgresJournal(stepping, ownership_s=OWNERSHIP_S) as second,
    ):
        await first.submit(submission(), "a")
        assert not await for_a_while(first, second)
        await step(stepping, step_s)
        assert not await for_a_while(first, second)
        assert not (await first.write("a", [deltas(1)])).lost


async def test_an_owner_that_died_before_the_clock_was_set_back_is_followed(stepping: str) -> None:
    async with (
        PostgresJournal(stepping, ownership_s=OWNERSHIP_S) as first,
        PostgresJournal(stepping, ownership_s=OWNERSHIP_S) as second,
    ):
        await first.submit(submission(), "a")
        await first.write("a", [deltas(1)])
        await step(stepping, -HOUR_S)
        async with asyncio.timeout(PATIENCE_S):
            claimed: list[RunRecord] = []
            while not claimed:
                claimed += await second.claim("b", 10)
                await asyncio.sleep(OWNERSHIP_S / 20)
        assert [record.run_id for record in claimed] == ["r1"]


@pytest.mark.parametrize(("step_s", "is_noticed"), [(0, False), (0.2, False), (-0.2, False), (2, True), (-2, True)])
def test_a_step_is_noticed_and_a_slow_answer_is_none(step_s: float, is_noticed: bool) -> None:  # noqa: FBT001
    here = HandClock()
    store = StoreClock(here.monotonic)
    for is_slow in (False, True, False):
        asked = store.asked()
        told = here.seconds + 5
        here.advance(3 if is_slow else 0)
        assert not store.was_set(told, asked)
    assert store.was_set(here.seconds + 5 + step_s, store.asked()) is is_noticed
