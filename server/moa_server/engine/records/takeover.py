"""Takes over the runs of servers that have gone silent, and carries them on from what the journal tells."""

import asyncio
import random
from collections.abc import Callable, Sequence

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.ports import Journal
from moa_server.domain.run import RunRecord, RunTrial
from moa_server.engine.records.history import History
from moa_server.engine.records.run_reader import read_all

_LOOKS = 8
"""How often, within the ownership time, silent runs are looked for."""
_LONGEST_LOOK_S = 0.15
"""Runs that a stopping server lets go of wait no longer for another."""
_SPREAD = (0.6, 1.0)
"""Of that time, so that servers look by turns."""
_MOST_AT_ONCE = 16
"""So that several servers share what one has left."""
_AFTER_LOSS_S = 1.0
"""How long those that were claimed from silent owners are carried on before more are: one of them may hold this server
too, and then takes no more along than these."""

_logger = structlog.get_logger(__name__)


class Takeover:
    """Claims what others have left, as long as there is room, and carries it on."""

    def __init__(
        self,
        journal: Journal,
        owner: str,
        *,
        ownership_s: float,
        room: Callable[[], int],
        can_carry_on: Callable[[RunRecord], bool],
        unsettled: Callable[[], Sequence[RunRecord]],
        carry_on: Callable[[RunRecord, History, float], None],
    ) -> None:
        """Claim for ``owner``; ``carry_on`` is given a run, what it has behind it, and when it was claimed.

        What this server cannot carry on, or cannot read, is left to others at once, and never claimed here again.
        ``unsettled`` returns those of them that have not come any further yet.
        """
        self._journal = journal
        self._owner = owner
        self._pause_s = min(ownership_s / _LOOKS, _LONGEST_LOOK_S)
        self._room = room
        self._can_carry_on = can_carry_on
        self._unsettled = unsettled
        self._carry_on = carry_on
        self._doubtful: list[str] = []
        self._unread: list[tuple[RunRecord, float]] = []
        """Claimed, and not carried on yet because the journal could not be read."""
        self._is_cut_off = False

    def doubt(self, run_id: str) -> None:
        """Let go of a run that may or may not have been registered for this server, which does not carry it out."""
        self._doubtful.append(run_id)

    def left(self) -> list[str]:
        """Return the runs that are, or may be, this server's, and that it does not carry out."""
        return [*self._doubtful, *(record.run_id for record, _ in self._unread)]

    async def look_for_ever(self) -> None:
        """Look now and then, and at once again while there is more."""
        while True:
            try:
                pause_s = await self._adopt()
                self._is_cut_off = False
            except JournalUnavailable as error:
                pause_s = self._pause_s
                if not self._is_cut_off:
                    _logger.warning("journal.unavailable", detail=error.detail)
                self._is_cut_off = True
            await asyncio.sleep(pause_s * random.uniform(*_SPREAD))  # noqa: S311 - guards nothing

    async def _adopt(self) -> float:
        """Claim what there is up to a number, and carry it on; return how long to wait before looking again."""
        if doubtful := [*self._doubtful]:
            await self._journal.release(self._owner, doubtful)
            del self._doubtful[: len(doubtful)]  # others may have joined them meanwhile
        limit = min(self._room() - len(self._unread), _MOST_AT_ONCE)
        claimed_at = asyncio.get_running_loop().time()
        unsettled = [*self._unsettled(), *(record for record, _ in self._unread)]
        claimed: Sequence[RunRecord] = ()
        if limit > 0 and not any(record.trial is RunTrial.OPEN for record in unsettled):
            # A trial that goes wrong takes nobody along whose call is being paid for the second time.
            claimed = await self._journal.claim(self._owner, limit, trial=not unsettled)
        self._unread += ((record, claimed_at) for record in claimed)
        while self._unread:
            record, at = self._unread[0]
            self._unread.append(self._unread.pop(0))  # one that cannot be read does not hold up the others
            history = await self._history_of(record)
            self._unread.pop()
            if history is None:
                continue
            told = {"after_loss": record.after_loss, "on_trial": record.trial is RunTrial.OPEN}
            _logger.info("run.adopted", run_id=record.run_id, epoch=record.epoch, **told)
            self._carry_on(record, history, at)
        if not claimed or len(claimed) < limit:
            return self._pause_s
        return _AFTER_LOSS_S if any(record.after_loss for record in claimed) else 0.0

    async def _history_of(self, record: RunRecord) -> History | None:
        """Return what a claimed run has behind it, or leave the run to servers that can read it."""
        if not self._can_carry_on(record):
            await self._leave(record, f"this server has no strategy {record.plan.strategy}")
            return None
        try:
            return History.of(await read_all(self._journal, record.run_id, strict=True))
        except JournalUnavailable as error:
            if error.passes:
                raise
            await self._leave(record, error.detail)
            return None

    async def _leave(self, record: RunRecord, detail: str) -> None:
        await self._journal.leave(self._owner, [record.run_id])
        _logger.warning("run.left_to_others", run_id=record.run_id, detail=detail)
