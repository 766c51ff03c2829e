"""Speaks, by way of the journal, with the servers that carry out what is watched or cancelled here."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal

_TIMES = 4
"""How often, within the time after which nobody counts as watching, a watcher is told of."""

_logger = structlog.get_logger(__name__)


async def hear_for_ever(journal: Journal, owner: str, hear: Callable[[], None]) -> None:
    """Call ``hear`` whenever something may have been asked of this server's runs."""
    async with aclosing(journal.follow(owner)) as news:
        async for _ in news:
            hear()


async def tell_watched_for_ever(journal: Journal, run_ids: Callable[[], Sequence[str]], grace_s: float) -> None:
    """Tell the owners of runs that are watched here that they are."""
    while True:
        await asyncio.sleep(grace_s / _TIMES)
        watched = run_ids()
        if watched:
            try:
                await journal.note_watched(watched)
            except JournalUnavailable as error:
                _logger.debug("journal.unavailable", detail=error.detail)
