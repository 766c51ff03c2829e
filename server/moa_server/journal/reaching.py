"""Finds out whether a journal's store can be reached, and waits until it can."""

import asyncio

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal
from moa_server.journal.store_errors import JournalCorrupted, JournalSealed, JournalTooNew

_AGAIN_S = 0.5
_BEYOND_WAITING = (JournalCorrupted, JournalSealed, JournalTooNew)

_logger = structlog.get_logger(__name__)


async def is_reached(journal: Journal) -> bool:
    """Tell whether the store answers.

    Raises:
        JournalCorrupted, JournalSealed, JournalTooNew: it does, and this server can never work with it.
    """
    try:
        await journal.find("")
    except _BEYOND_WAITING:
        raise
    except JournalUnavailable as error:
        _logger.warning("journal.not_reached", detail=error.detail)
        return False
    return True


async def until_reached(journal: Journal) -> None:
    """Wait until the store answers, or has been brought up to this server."""
    while True:
        try:
            await journal.find("")
        except JournalUnavailable:
            await asyncio.sleep(_AGAIN_S)
        else:
            _logger.info("journal.reached")
            return
