import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import asyncpg
import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import BEGINNING
from moa_server.journal.codec import Codec
from moa_server.journal.postgres import PostgresJournal
from moa_server.journal.postgres_store import migrate_postgres
from moa_server.journal.seal import AesSeal
from moa_server.journal.store_errors import JournalTooNew, JournalTooOld
from tests.journal.examples import deltas, submission, whole
from tests.journal.postgres import Postgres

# A killed server recovers before it takes connections, for longer than other tests last beside busy neighbours.
pytestmark = pytest.mark.timeout(180)

_T = TypeVar("_T")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Postgres]:
    """A server that may be killed."""
    with Postgres() as server:
        asyncio.run(migrate_postgres(server.dsn))
        yield server


@pytest.fixture
async def empty_database(postgres: Postgres) -> str:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("DROP DATABASE IF EXISTS empty WITH (FORCE)")
    await connection.execute("CREATE DATABASE empty")
    await connection.close()
    return postgres.dsn.replace("/postgres?", "/empty?")


@dataclass
class Rotated:
    """A connection string that changes."""

    dsn: str

    def reveal(self) -> str:
        return self.dsn


async def until_it_answers(operation: Callable[[], Awaitable[_T]]) -> _T:
    """Try again as the engine does."""
    async with asyncio.timeout(60):
        while True:
            with suppress(JournalUnavailable):
                return await operation()
            await asyncio.sleep(0.02)


async def test_a_killed_store_loses_nothing_that_was_confirmed(own_postgres: Postgres) -> None:
    async with PostgresJournal(own_postgres.dsn, ownership_s=0.5) as journal:
        await journal.submit(submission("k1", "k1"), "a")
        await journal.write("a", [deltas(3, run_id="k1")])
        own_postgres.kill()
        with pytest.raises(JournalUnavailable):
            await journal.write("a", [deltas(3, run_id="k1", first=4)])
        with pytest.raises(JournalUnavailable):
            await journal.read("k1", BEGINNING, 10)
        own_postgres.start()
        written = await until_it_answers(lambda: journal.write("a", [deltas(3, run_id="k1", first=4)]))
        assert (written.lost, written.behind) == (frozenset(), ())
        assert len(await journal.read("k1", BEGINNING, 10)) == 6


async def test_nobody_is_robbed_because_the_store_was_away(own_postgres: Postgres) -> None:
    """After an outage longer than the ownership time every owner looks silent to the store."""
    async with PostgresJournal(own_postgres.dsn) as first, PostgresJournal(own_postgres.dsn) as second:
        await first.submit(submission("o1", "o1"), "a")
        connection = await asyncpg.connect(own_postgres.dsn)
        await connection.execute("UPDATE moa_owners SET renewed = renewed - interval '9 seconds'")
        await connection.close()
        assert not await second.claim("b", 10)
        assert not (await first.write("a", [deltas(1, run_id="o1")])).lost


async def test_a_frozen_store_is_unavailable_in_time_and_comes_back(own_postgres: Postgres) -> None:
    async with PostgresJournal(own_postgres.dsn, operation_s=0.3) as journal:
        await journal.submit(submission("f1", "f1"), "a")
        own_postgres.signal(signal.SIGSTOP)
        try:
            async with asyncio.timeout(10):
                for _ in range(3):
                    with pytest.raises(JournalUnavailable):
                        await journal.write("a", [deltas(2, run_id="f1")])
        finally:
            own_postgres.signal(signal.SIGCONT)
        written = await until_it_answers(lambda: journal.write("a", [deltas(4, run_id="f1")]))
        assert (written.lost, written.behind) == (frozenset(), ())
        assert [event.sequence for event in await journal.read("f1", BEGINNING, 10)] == [1, 2, 3, 4]


async def test_a_journal_may_be_entered_while_the_store_is_down(own_postgres: Postgres) -> None:
    own_postgres.kill()
    async with PostgresJournal(own_postgres.dsn) as journal:
        with pytest.raises(JournalUnavailable, match="cannot be reached"):
            await journal.submit(submission("d1", "d1"), "a")
        own_postgres.start()
        assert (await until_it_answers(lambda: journal.submit(submission("d1", "d1"), "a"))).created


async def test_a_connection_string_that_has_changed_is_used_from_the_next_connection_on(postgres_dsn: str) -> None:
    secret = Rotated("postgresql://moa:old@127.0.0.1:1/moa")
    async with PostgresJournal(secret) as journal:
        with pytest.raises(JournalUnavailable, match="cannot be reached"):
            await journal.find("r1")
        secret.dsn = postgres_dsn
        assert await journal.find("nobody's") is None


async def test_a_write_of_which_the_confirmation_was_lost_is_recognised(postgres_dsn: str) -> None:
    async with PostgresJournal(postgres_dsn) as journal:
        await journal.submit(submission("c1", "c1"), "a")
        await asyncio.gather(*(journal.write("a", [whole("c1")]) for _ in range(5)))
        assert len(await journal.read("c1", BEGINNING, 10)) == 4


async def test_two_appends_of_one_run_in_a_write_are_both_kept(postgres_dsn: str) -> None:
    async with PostgresJournal(postgres_dsn) as journal:
        await journal.submit(submission("t1", "t1"), "a")
        await journal.write("a", [deltas(2, run_id="t1"), deltas(2, run_id="t1", first=3)])
        assert [event.sequence for event in await journal.read("t1", BEGINNING, 10)] == [1, 2, 3, 4]


async def test_a_long_log_is_read_to_its_end(postgres_dsn: str) -> None:
    async with PostgresJournal(postgres_dsn) as journal:
        await journal.submit(submission("l1", "l1"), "a")
        for first in range(1, 251):
            await journal.write("a", [deltas(1, run_id="l1", first=first)])
        assert [event.sequence for event in await journal.read("l1", BEGINNING, 1000)] == list(range(1, 251))


async def test_a_database_without_the_schema_says_how_to_make_it(empty_database: str) -> None:
    async with PostgresJournal(empty_database) as journal:
        with pytest.raises(JournalTooOld, match="moa-server migrate"):
            await journal.find("r1")


async def test_many_migrations_at_once_make_one_schema(empty_database: str) -> None:
    assert len(set(await asyncio.gather(*(migrate_postgres(empty_database) for _ in range(12))))) == 1
    async with PostgresJournal(empty_database) as journal:
        assert (await journal.submit(submission(), "a")).created


async def test_a_schema_that_needs_newer_servers_is_refused(empty_database: str) -> None:
    newest = await migrate_postgres(empty_database)
    connection = await asyncpg.connect(empty_database)
    await connection.execute("INSERT INTO moa_steps VALUES ($1, $1)", newest + 1)
    await connection.close()
    with pytest.raises(JournalTooNew):
        await migrate_postgres(empty_database)
    async with PostgresJournal(empty_database) as journal:
        with pytest.raises(JournalTooNew, match=f"step {newest + 1}"):
            await journal.find("r1")


async def test_owners_clocks_do_not_matter(postgres_dsn: str) -> None:
    """No moment of a server's is written or compared: what the store says of a run's age is its own."""
    async with PostgresJournal(postgres_dsn) as journal:
        await journal.submit(submission("w1", "w1"), "a")
        await journal.write("a", [whole("w1")])
        connection = await asyncpg.connect(postgres_dsn)
        fresh = await connection.fetchval(
            "SELECT created > now() - interval '1 minute' AND ended >= created FROM moa_runs WHERE run_id = 'w1'"
        )
        await connection.close()
        assert fresh


async def test_a_claim_of_which_the_answer_was_lost_is_made_good(postgres_dsn: str) -> None:
    """Else its runs would be nobody's for as long as their owner lives."""
    secret = Rotated("postgresql://nobody@127.0.0.1:1/nothing")
    async with PostgresJournal(postgres_dsn) as other, PostgresJournal(secret) as journal:
        with pytest.raises(JournalUnavailable):
            await journal.claim("heir", 10)
        await other.submit(submission("lost", "lost"), "a")
        await other.release("a", ["lost"])
        assert ("lost", 2) in [(record.run_id, record.epoch) for record in await other.claim("heir", 100)]
        secret.dsn = postgres_dsn
        assert ("lost", 3) in [(record.run_id, record.epoch) for record in await journal.claim("heir", 100)]
        assert not await journal.claim("heir", 100)


async def test_a_run_that_cannot_be_read_holds_no_other_up(postgres_dsn: str) -> None:
    sealing = Codec(AesSeal([b"k" * 32]))
    async with PostgresJournal(postgres_dsn, codec=sealing) as sealed, PostgresJournal(postgres_dsn) as journal:
        await sealed.submit(submission("sealed", "sealed"), "a")
        await journal.submit(submission("plain", "plain"), "a")
        await journal.release("a", ["sealed", "plain"])
        claimed = {record.run_id for record in await journal.claim("reader", 100)}
        assert claimed & {"sealed", "plain"} == {"plain"}
        again = {record.run_id for record in await journal.claim("reader", 100)}
        assert "sealed" not in again, "it is left at once, and never claimed here again"
        assert "sealed" in {record.run_id for record in await sealed.claim("other", 100)}, "but by others"


@pytest.mark.parametrize("dsn", ["postgresql://user:hunter2/x@host/moa", "hunter2"])
async def test_a_connection_string_that_makes_no_sense_is_unavailable_and_not_quoted(dsn: str) -> None:
    async with PostgresJournal(Rotated(dsn)) as journal:
        with pytest.raises(JournalUnavailable) as refused:
            await journal.find("r1")
    assert "hunter2" not in str(refused.value)
