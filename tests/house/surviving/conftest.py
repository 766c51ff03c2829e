import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import pytest

from moa_server.journal.postgres_store import migrate_postgres
from tests.house.surviving.fleet import Fleet, fleet_on
from tests.journal.postgres import Postgres

pytest.register_assert_rewrite("tests.house.surviving.watcher")


@pytest.fixture(scope="session")
def house_postgres() -> Iterator[Postgres]:
    """A server of these tests alone, which they may kill."""
    with Postgres() as server:
        yield server


@pytest.fixture
def database(house_postgres: Postgres) -> str:
    """A database of the test's own."""
    name = f"moa_{uuid4().hex}"

    house_postgres.start()  # the test before may have left it dead

    async def made() -> None:
        connection = await asyncpg.connect(house_postgres.dsn)
        await connection.execute(f"CREATE DATABASE {name}")
        await connection.close()
        await migrate_postgres(named(house_postgres.dsn, name))

    asyncio.run(made())
    return named(house_postgres.dsn, name)


def named(dsn: str, name: str) -> str:
    return dsn.replace("/postgres?", f"/{name}?")


def on_sqlite(_folder: Path) -> dict[str, Any]:
    return {"sqlite": {"path": "runs.db"}}


def on_postgres(folder: Path, dsn: str) -> dict[str, Any]:
    (folder / "dsn").write_text(dsn)
    return {"postgres": {"dsn": {"file": "dsn"}}}


@pytest.fixture(params=["sqlite", "postgres"])
async def fleet(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[Fleet]:
    """Servers on one file, and on one database."""
    if request.param == "sqlite":
        journal = on_sqlite(tmp_path)
    else:
        journal = on_postgres(tmp_path, await asyncio.to_thread(request.getfixturevalue, "database"))
    async with fleet_on(tmp_path, journal) as made:
        yield made


@pytest.fixture
async def postgres_fleet(tmp_path: Path, database: str) -> AsyncIterator[Fleet]:
    async with fleet_on(tmp_path, on_postgres(tmp_path, database)) as made:
        yield made


@pytest.fixture
async def sqlite_fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    async with fleet_on(tmp_path, on_sqlite(tmp_path)) as made:
        yield made
