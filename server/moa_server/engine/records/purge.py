"""Removes what is past its retention, in small steps."""

import asyncio

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal

_PAUSE_S = 1.0

_logger = structlog.get_logger(__name__)


async def purge_for_ever(journal: Journal) -> None:
    """Purge now and then; go on at once while there is something to remove."""
    while True:
        try:
            removed = await journal.purge()
        except JournalUnavailable as error:
            _logger.warning("journal.unavailable", detail=error.detail)
            removed = 0
        await asyncio.sleep(0 if removed else _PAUSE_S)
