"""Keeps the runs that this server owns: opens them, carries them on after others, and lets them go."""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import structlog

from moa_server.domain.clock import Clock
from moa_server.domain.event import Fact, RunAdopted, RunCancelled, RunFailed, RunStarted, RunSucceeded, Terminal
from moa_server.domain.journal import Journal, Written
from moa_server.domain.limits import EngineLimits
from moa_server.domain.run import RunRecord
from moa_server.engine.carrying import Carrying
from moa_server.engine.catalogue import Catalogue
from moa_server.engine.estimates import Estimates
from moa_server.engine.history import History
from moa_server.engine.log import RunLog
from moa_server.engine.open_run import OpenRun, abandoned
from moa_server.engine.purse import Purse
from moa_server.engine.scribe import Scribe
from moa_server.engine.setting import RunSetting

_logger = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ownership:
    """How this server owns runs."""

    owner: str
    """Its name, never used again."""
    seconds: float = 5.0
    """How long an ownership lasts without being renewed."""
    lazy_s: float = 0.1
    """How long events that were shown already may wait to be written."""
    most_epochs: int = 5
    """A run that lost more owners than this is given up."""


class Registry:
    """The open runs of this server."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        limits: EngineLimits,
        ownership: Ownership,
        catalogue: Callable[[], Catalogue],
        *,
        on_fact: Callable[[str, Fact], None],
    ) -> None:
        """Keep runs in ``journal``; what is opened now uses what ``catalogue`` returns now."""
        self._on_fact = on_fact
        self._clock = clock
        self._limits = limits
        self._ownership = ownership
        self._catalogue = catalogue
        self._open: dict[str, OpenRun] = {}
        self._group: asyncio.TaskGroup | None = None
        self._emptied = asyncio.Event()
        self._abandoning: dict[str, asyncio.TimerHandle] = {}
        self._estimates = Estimates()
        self._journal = journal
        self.scribe = Scribe(
            journal,
            ownership.owner,
            ownership_s=ownership.seconds,
            lazy_s=ownership.lazy_s,
            on_written=self._hear_of,
        )

    def __len__(self) -> int:
        return len(self._open)

    def log(self, run_id: str) -> RunLog | None:
        """Return the log of a run that is open here."""
        run = self._open.get(run_id)
        return None if run is None else run.setting.log

    def get(self, run_id: str) -> OpenRun | None:
        """Return a run that is open here."""
        return self._open.get(run_id)

    @asynccontextmanager
    async def carrying(self) -> AsyncGenerator[None, None]:
        """Carry runs out for as long as the context lasts; those that are still open then are given up."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            writer = group.create_task(self.scribe.write_for_ever(), name="scribe")
            try:
                yield
            finally:
                for run in [*self._open.values()]:
                    run.give_up()
                await self.emptied()
                writer.cancel()

    def open(self, record: RunRecord, history: History) -> None:
        """Carry a run out, from where its history ends."""
        run = self._opened(record, history)
        self._open[record.run_id] = run
        self.scribe.adopt(run.setting.log)
        self.scribe.renewed()
        first: Fact = RunStarted(record.ticket.request_id, record.plan)
        run.setting.tell(first if record.epoch == 1 else RunAdopted(len(history.closed)))
        if self._group is None:
            raise RuntimeError("runs are opened within carrying() only")
        run.begin(self._group)
        if record.cancel_asked:
            run.cancel(record.cancel_asked)
        self._abandon_later(run)

    def enter(self, run_id: str) -> None:
        """Count a watcher in."""
        run = self._open.get(run_id)
        if run is not None:
            run.watchers += 1
            timer = self._abandoning.pop(run_id, None)
            if timer is not None:
                timer.cancel()

    def leave(self, run_id: str) -> None:
        """Count a watcher out."""
        run = self._open.get(run_id)
        if run is not None:
            run.watchers -= 1
            self._abandon_later(run)

    def let_go(self) -> list[str]:
        """Give all runs up, and return which."""
        runs = [*self._open.values()]
        for run in runs:
            run.give_up()
        return [run.record.run_id for run in runs]

    def cancel_all(self, by: str) -> None:
        """Cancel every open run."""
        for run in [*self._open.values()]:
            run.cancel(by)

    async def emptied(self) -> None:
        """Wait until no run is open."""
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    def _opened(self, record: RunRecord, history: History) -> OpenRun:
        plan, catalogue = record.plan, self._catalogue()
        time_s = self._limits.default_time_s if plan.budget.time_s is None else plan.budget.time_s
        setting = RunSetting(
            run_id=record.run_id,
            plan=plan,
            models=catalogue.models,
            purse=Purse(plan.budget, history.spent),
            log=RunLog(record.run_id, record.epoch, self._clock),
            scribe=self.scribe,
            clock=self._clock,
            deadline=asyncio.get_running_loop().time() + time_s - record.age_s,
            gather_s=self._limits.gather_s,
            estimates=self._estimates,
            may_spend=self._may_spend,
            on_fact=self._on_fact,
            proposal_deltas=record.ticket.proposal_deltas,
        )
        carrying = Carrying(setting, catalogue.strategies[plan.strategy], history)
        if record.epoch > self._ownership.most_epochs:
            return OpenRun(record, setting, carrying, self._closed, at_once=abandoned(record, setting))
        return OpenRun(record, setting, carrying, self._closed)

    def _may_spend(self) -> bool:
        """Whether no other server can have claimed the runs: nobody can where the journal is not shared."""
        return not self._journal.is_shared or self.scribe.is_current

    def _abandon_later(self, run: OpenRun) -> None:
        """Cancel a run once nobody has watched it for the grace period."""
        run_id = run.record.run_id
        if run.watchers == 0 and not run.record.ticket.detached and run_id not in self._abandoning:
            later = asyncio.get_running_loop().call_later
            self._abandoning[run_id] = later(self._limits.abandon_grace_s, run.cancel, "abandoned")

    def _closed(self, run: OpenRun, end: Terminal | None) -> None:
        run_id = run.record.run_id
        self._open.pop(run_id, None)
        self.scribe.drop(run.setting.log)
        timer = self._abandoning.pop(run_id, None)
        if timer is not None:
            timer.cancel()
        run.setting.log.leave()
        self._emptied.set()
        _log_end(run, end)

    def _hear_of(self, written: Written) -> None:
        for run_id in written.lost:
            run = self._open.get(run_id)
            if run is not None:
                _logger.warning("run.lost", run_id=run_id)
                run.give_up()
        for run_id, by in written.cancelled:
            run = self._open.get(run_id)
            if run is not None:
                run.cancel(by)


def _log_end(run: OpenRun, end: Terminal | None) -> None:
    logger = _logger.bind(run_id=run.record.run_id, mixture=run.record.plan.mixture)
    usage = run.setting.purse.spent
    counts = {"calls": usage.calls, "tokens": usage.tokens, "cost_nanousd": usage.cost_nanousd}
    match end:
        case RunSucceeded(answer):
            logger.info("run.succeeded", degradations=len(answer.degradations), **counts)
        case RunFailed(reason, detail):
            logger.warning("run.failed", reason=reason, detail=detail, **counts)
        case RunCancelled(by):
            logger.info("run.cancelled", by=by, **counts)
        case None:
            logger.info("run.left", **counts)
