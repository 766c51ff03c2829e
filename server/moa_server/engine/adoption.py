"""Takes over the runs of servers that have gone silent, and carries them on from what the journal tells."""

import asyncio
from collections.abc import Callable

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import BEGINNING, Event
from moa_server.domain.journal import Journal
from moa_server.domain.run import RunRecord
from moa_server.engine.history import History

_BATCH = 500
_LOOKS = 8
"""How often, within the ownership time, silent runs are looked for."""

_logger = structlog.get_logger(__name__)


async def adopt_for_ever(
    journal: Journal,
    owner: str,
    *,
    ownership_s: float,
    room: Callable[[], int],
    carry_on: Callable[[RunRecord, History], None],
) -> None:
    """Claim what others have left, as long as there is room, and carry it on."""
    while True:
        await asyncio.sleep(ownership_s / _LOOKS)
        try:
            for record in await journal.claim(owner, room()) if room() > 0 else ():
                _logger.info("run.adopted", run_id=record.run_id, epoch=record.epoch)
                carry_on(record, History.of(await read_all(journal, record.run_id)))
        except JournalUnavailable as error:
            _logger.warning("journal.unavailable", detail=error.detail)


async def read_all(journal: Journal, run_id: str) -> list[Event]:
    """Return everything the journal has of a run."""
    events: list[Event] = []
    while batch := await journal.read(run_id, events[-1].cursor if events else BEGINNING, _BATCH):
        events.extend(batch)
    return events
