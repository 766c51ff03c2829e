"""Hears from PostgreSQL which runs have news. Only a hint: what is missed is found by looking."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.model import Secret
from moa_server.journal.followers import Followers
from moa_server.journal.postgres_store import connected, named_errors

CHANNEL = "moa_runs"
_MOST_BYTES = 7000
"""A notification can hold a little under 8000."""
_AGAIN_S = 2.0


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


@asynccontextmanager
async def listening(dsn: str | Secret, followers: Followers) -> AsyncIterator[None]:
    """Wake followers at every notification while the context is open."""
    task = asyncio.create_task(_listen_for_ever(dsn, followers), name="journal listener")
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _listen_for_ever(dsn: str | Secret, followers: Followers) -> None:
    while True:
        with suppress(JournalUnavailable), named_errors():
            await _listen(dsn, followers)
        await asyncio.sleep(_AGAIN_S)


async def _listen(dsn: str | Secret, followers: Followers) -> None:
    ended = asyncio.Event()
    connection = await connected(dsn, timeout=_AGAIN_S, command_timeout=_AGAIN_S)
    try:
        connection.add_termination_listener(lambda _connection: ended.set())
        await connection.add_listener(CHANNEL, lambda *heard: followers.wake(str(heard[3]).split()))
        await ended.wait()
    finally:
        connection.terminate()
