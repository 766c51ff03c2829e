"""Writes the events of all runs of this server into the journal, in group commits that also renew its ownership."""

import asyncio
from collections.abc import Callable
from dataclasses import replace

import structlog

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import SHOWN_AT_ONCE
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Append, Journal, Written
from moa_server.engine.records.run_log import RunLog

_RETRY_S = 0.2
_CURRENT_SHARE = 0.8
"""No paid call starts when the last renewal is older than this share of the ownership time."""
_COMPANY_S = 0.001
"""How long events wait for others where a commit is dear: not in the memory of the process."""
_COMPANY_A_RUN = 0.5
_MOST_COMPANY_S = 0.03
"""Many runs wait for one another a little longer, so that they take no more commits than a few do."""
_RENEWALS = 3
"""How often ownership is renewed within its time."""
_logger = structlog.get_logger(__name__)


class Writer:
    """The one writer of this server's runs."""

    def __init__(self, journal: Journal, ownership: Ownership, on_written: Callable[[Written], None]) -> None:
        """Write for the owner, whose ownership lasts for its time after each write.

        Events that were shown already wait a while for company, the others a moment or, where there are many runs, a
        little longer, so that what is brought forth at once takes one commit; ``on_written`` hears of runs that were
        lost or are to be cancelled.
        """
        self._journal = journal
        self._ownership = ownership
        self._company_s = _COMPANY_S if journal.is_shared else 0.0
        self._on_written = on_written
        self._logs: dict[str, RunLog] = {}
        self._dirty: dict[str, RunLog] = {}
        self._urgent = asyncio.Event()
        self._lazy: asyncio.TimerHandle | None = None
        self._renewed = float("-inf")
        self._renewal = asyncio.Event()
        self._asked = float("-inf")
        self._is_cut_off = False

    def adopt(self, log: RunLog) -> None:
        """Write for a run from now on."""
        self._logs[log.run_id] = log

    def drop(self, log: RunLog) -> None:
        """Write no more for a run."""
        for logs in (self._logs, self._dirty):
            if logs.get(log.run_id) is log:
                del logs[log.run_id]

    def note(self, log: RunLog, *, urgent: bool) -> None:
        """Take notice of new events; urgent ones are written at once, the others with the next commit."""
        self._dirty[log.run_id] = log
        if urgent:
            self._urgent.set()
        elif self._lazy is None:
            self._lazy = asyncio.get_running_loop().call_later(self._ownership.lazy_s, self._urgent.set)

    @property
    def may_spend(self) -> bool:
        """Whether the ownership was renewed so lately that no other server can have claimed the runs.

        Where the journal is not shared, nobody can.
        """
        if not self._journal.is_shared:
            return True
        age = asyncio.get_running_loop().time() - self._renewed
        return age < self._ownership.ownership_s * _CURRENT_SHARE

    async def until_it_may_spend(self) -> None:
        """Wait until no other server can have claimed the runs."""
        while not self.may_spend:
            await self._renewal.wait()

    async def until_known(self, log: RunLog) -> None:
        """Wait until whoever takes a run over would know all that was told of it, where the journal is shared."""
        if self._journal.is_shared:
            self.note(log, urgent=True)
            await log.durable()

    @property
    def least_renewal_s(self) -> float:
        """After which the ownership is renewed at the latest, also by a submission."""
        return self._ownership.ownership_s / _RENEWALS

    @property
    def renewed_at(self) -> float:
        """When the ownership was renewed last, by ``time.monotonic``; any thread may ask."""
        return self._renewed

    def renewed(self, at: float) -> None:
        """Note that the ownership was renewed no earlier than at that moment."""
        self._renewed = max(self._renewed, at)
        self._renewal.set()
        self._renewal = asyncio.Event()

    def renew_now(self) -> None:
        """Renew the ownership now, and so hear what is asked of its runs."""
        if self._logs:
            self._urgent.set()

    async def write_for_ever(self) -> None:
        """Commit whenever there is something to write, and in time to keep the ownership."""
        while True:
            await self._something_to_do()
            try:
                await self._commit()
                self._is_cut_off = False
            except JournalUnavailable as error:
                if not self._is_cut_off:
                    _logger.warning("journal.unavailable", detail=error.detail, open_runs=len(self._logs))
                self._is_cut_off = True
                self._urgent.set()
                await asyncio.sleep(_RETRY_S)

    async def flush(self) -> None:
        """Wait until everything noted so far is durable."""
        for log in list(self._logs.values()):
            self.note(log, urgent=True)
            await log.durable()

    async def _something_to_do(self) -> None:
        try:
            async with asyncio.timeout(self.least_renewal_s):
                await self._urgent.wait()
        except TimeoutError:
            return
        await asyncio.sleep(min(self._company_s * max(1.0, len(self._logs) * _COMPANY_A_RUN), _MOST_COMPANY_S))

    async def _commit(self) -> None:
        self._urgent.clear()
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if not self._logs:
            return
        began = asyncio.get_running_loop().time()
        dirty, self._dirty = self._dirty, {}
        batch = [(log, Append(log.run_id, log.epoch, log.pending())) for log in self._asked_for(dirty, began)]
        try:
            written = await self._journal.write(self._ownership.owner, [append for _, append in batch])
        except BaseException:
            self._dirty = {**dirty, **self._dirty}
            self._asked = float("-inf")
            raise
        self.renewed(began)
        refused = written.lost.union(run_id for run_id, _ in written.behind)
        for log, append in batch:
            if append.events and log.run_id not in refused:
                log.settle(append.events[-1].sequence)
        for run_id, sequence in written.behind:  # what a store has lost in a failover is sent once more
            behind = self._logs.get(run_id)
            if behind is not None:
                behind.rewind(sequence)
                self.note(behind, urgent=True)
        # Of a run that has come back meanwhile, an earlier epoch was lost.
        lost_logs = (log for log, _ in batch if log.run_id in written.lost)
        lost = frozenset(log.run_id for log in lost_logs if self._logs.get(log.run_id) is log)
        if lost or written.cancelled:
            self._on_written(replace(written, lost=lost))

    def _asked_for(self, dirty: dict[str, RunLog], now: float) -> list[RunLog]:
        """Return whose events are written; now and then all, since a run without news may have been lost too."""
        if now - self._asked < self.least_renewal_s / 2:
            return [*dirty.values()]
        self._asked = now
        return [*{**self._logs, **dirty}.values()]


def is_urgent(fact: object) -> bool:
    """Whether a watcher waits for the journal to have this fact."""
    return not isinstance(fact, SHOWN_AT_ONCE)
