import asyncio
import os
import shutil
import socket
import tempfile
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import BEGINNING
from moa_server.journal.postgres import PostgresJournal
from tests.journal.examples import deltas, submission

SETTINGS = """
[databases]
postgres = host={host} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 2
"""


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
async def pooled_dsn(postgres_dsn: str) -> AsyncIterator[str]:
    """The same database behind a pooler that gives every transaction another connection."""
    pooler = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if pooler is None:
        pytest.skip("takes pgbouncer")
    port = free_port()
    host = parse_qs(urlsplit(postgres_dsn).query)["host"][0]
    text = SETTINGS.format(host=host, port=port)
    with tempfile.TemporaryDirectory(prefix="moa-pooler-") as folder:
        settings = opened_to_all(Path(folder), text)
        command = [pooler, "-q", *as_owner_of(Path(host)), str(settings)]
        process = await asyncio.create_subprocess_exec(*command)
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
        process.terminate()
        await process.wait()


def as_owner_of(folder: Path) -> list[str]:
    """Let a pooler that root starts be who may open the store's socket."""
    return ["-u", folder.owner()] if os.geteuid() == 0 else []


def opened_to_all(folder: Path, text: str) -> Path:
    """Write the settings where a pooler without root's rights can read them."""
    folder.chmod(0o755)
    settings = folder / "pooler.ini"
    settings.write_text(text)
    return settings


async def until_up(journal: PostgresJournal) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                await journal.find("nothing")
            except JournalUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_everything_works_behind_a_pooler_in_transaction_mode(pooled_dsn: str) -> None:
    async with (
        PostgresJournal(pooled_dsn, transaction_pooling=True) as first,
        PostgresJournal(pooled_dsn, transaction_pooling=True) as second,
    ):
        await until_up(first)

        async def carry(number: int) -> None:
            run_id, journal = f"p{number}", (first, second)[number % 2]
            assert (await journal.submit(submission(run_id, run_id), run_id)).created
            for place in range(1, 6):
                await journal.write(run_id, [deltas(1, run_id=run_id, first=place)])
            assert len(await journal.read(run_id, BEGINNING, 10)) == 5

        await asyncio.gather(*(carry(number) for number in range(20)))
        await first.release("p0", ["p0"])
        assert [record.run_id for record in await second.claim("p1", 10)] == ["p0"]
