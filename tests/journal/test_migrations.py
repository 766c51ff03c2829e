"""Stores that an older server has filled, and that it goes on working with beside this one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from moa_server.domain.ports import Journal
from moa_server.domain.run import RunTrial
from moa_server.journal import migrations, postgres_store, sqlite_store
from moa_server.journal.codec import Codec
from moa_server.journal.postgres import PostgresJournal
from moa_server.journal.sqlite import SqliteJournal
from tests.journal.examples import PLAN, submission
from tests.journal.postgres import Postgres

TICKET, KEPT_PLAN = Codec().ticket(submission().ticket), Codec().plan(PLAN)


@pytest.fixture
async def old_database(postgres: Postgres) -> str:
    connection = await asyncpg.connect(postgres.dsn)
    await connection.execute("DROP DATABASE IF EXISTS old WITH (FORCE)")
    await connection.execute("CREATE DATABASE old")
    await connection.close()
    return postgres.dsn.replace("/postgres?", "/old?")


def only_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let migrations know what the first server knew."""
    for store in (sqlite_store, postgres_store):
        monkeypatch.setattr(store, "steps_of", lambda kind: migrations.steps_of(kind)[:1])


async def check_old_run(journal: Journal) -> None:
    """What the older server kept is read, and claimed with no suspicion from what it did not count."""
    found = await journal.find("r1")
    assert found is not None
    assert (found.plan, found.owners_lost, found.trial) == (PLAN, 0, RunTrial.NONE)
    await journal.release("old", ["r1"])
    (claimed,) = await journal.claim("new", 10)
    assert (claimed.epoch, claimed.owners_lost, claimed.after_loss) == (2, 0, False)


def write_as_the_first_server(path: Path) -> None:
    with closing(sqlite3.connect(path)) as old:
        old.execute("INSERT INTO owners VALUES (?, ?) ON CONFLICT DO UPDATE SET renewed = excluded.renewed", ("old", 1))
        old.execute(
            "INSERT INTO runs (run_id, caller, request_id, fingerprint, ticket, owner, epoch, last_sequence, state,"
            " bytes, created) VALUES ('r1', 'ann', 'q1', 'f', ?, 'old', 1, 0, 'running', 1, 1)",
            (TICKET,),
        )
        old.execute("INSERT INTO plans VALUES ('r1', ?)", (KEPT_PLAN,))
        old.execute("INSERT INTO events VALUES ('r1', 1, 1, x'00')")
        old.commit()


async def test_a_file_that_an_older_server_filled_is_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.db"
    with monkeypatch.context() as patched:
        only_first(patched)
        sqlite_store.migrate_sqlite(path)
    write_as_the_first_server(path)
    async with SqliteJournal(path) as journal:
        await check_old_run(journal)


async def test_an_older_server_goes_on_with_a_file_that_was_brought_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "runs.db"
    sqlite_store.migrate_sqlite(path)
    with monkeypatch.context() as patched:
        only_first(patched)
        sqlite_store.migrate_sqlite(path)
    write_as_the_first_server(path)
    async with SqliteJournal(path) as journal:
        await check_old_run(journal)


OLD_RUN = """
INSERT INTO moa_runs (run_id, caller, request_id, fingerprint, ticket, owner, bytes)
VALUES ('r1', 'ann', 'q1', 'f', $1, 'old', 1)
"""


@pytest.mark.parametrize("first", ["filled", "brought up"])
async def test_a_database_serves_an_older_server_before_it_is_brought_up_and_after(
    old_database: str, monkeypatch: pytest.MonkeyPatch, first: str
) -> None:
    if first == "brought up":
        await postgres_store.migrate_postgres(old_database)
    with monkeypatch.context() as patched:
        only_first(patched)
        await postgres_store.migrate_postgres(old_database)
    connection = await asyncpg.connect(old_database)
    await connection.execute("INSERT INTO moa_owners (owner) VALUES ('old')")
    await connection.execute(OLD_RUN, TICKET)
    await connection.execute("INSERT INTO moa_plans SELECT 'r1', $1", KEPT_PLAN)
    await connection.execute("INSERT INTO moa_events SELECT 'r1', 1, 1, 'x'")
    await connection.close()
    await postgres_store.migrate_postgres(old_database)
    async with PostgresJournal(old_database) as journal:
        await check_old_run(journal)
