import asyncio
from collections.abc import Iterator

import pytest

from moa_server.journal.postgres_store import migrate_postgres
from tests.journal.postgres import Postgres

pytest.register_assert_rewrite("tests.journal.contract")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    with Postgres() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_dsn(postgres: Postgres) -> str:
    """A database with the journal's schema, whose rows the tests share."""
    asyncio.run(migrate_postgres(postgres.dsn))
    return postgres.dsn
