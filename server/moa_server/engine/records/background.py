"""What goes on beside the runs for as long as the server lives: news of other servers, news for them, and the purge."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal

_TIMES = 4
"""How often, within the time after which nobody counts as watching, a watcher is told of."""
_PURGE_PAUSE_S = 1.0

_logger = structlog.get_logger(__name__)


async def hear_of_requests(journal: Journal, owner: str, hear: Callable[[], None]) -> None:
    """Call ``hear`` whenever something may have been asked of this server's runs, for ever."""
    async with aclosing(journal.follow(owner)) as news:
        async for _ in news:
            hear()


async def tell_of_watchers(journal: Journal, run_ids: Callable[[], Sequence[str]], grace_s: float) -> None:
    """Tell the owners of runs that are watched here that they are, now and then, for ever."""
    while True:
        await asyncio.sleep(grace_s / _TIMES)
        watched = run_ids()
        if watched:
            try:
                await journal.note_watched(watched)
            except JournalUnavailable as error:
                _logger.debug("journal.unavailable", detail=error.detail)


async def purge(journal: Journal) -> None:
    """Remove what is past its retention, in small steps, for ever; at once again while there is more of it."""
    while True:
        try:
            removed = await journal.purge()
        except JournalUnavailable as error:
            _logger.warning("journal.unavailable", detail=error.detail)
            removed = 0
        await asyncio.sleep(0 if removed else _PURGE_PAUSE_S)
