"""Keeps the runs that this server owns: opens them, carries them on after others, and lets them go."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

import structlog

from moa_server.domain.errors import JournalUnavailable, NotOffered
from moa_server.domain.event import Fact, RunAdopted, RunCancelled, RunFailed, RunStarted, RunSucceeded, Terminal
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Clock, Journal, Written
from moa_server.domain.run import RunRecord
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.worst_case import lost_calls
from moa_server.engine.records.history import History
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.writer import Writer
from moa_server.engine.runs.carrier import Carrier
from moa_server.engine.runs.estimates import Estimates
from moa_server.engine.runs.open_run import OpenRun, abandoned, failed
from moa_server.engine.runs.run_context import RunContext
from moa_server.engine.runs.spending import Spending

_COMPANY_S = 0.001
"""How long events wait for others where a commit is dear: not in the memory of the process."""

_logger = structlog.get_logger(__name__)


class Registry:
    """The open runs of this server."""

    def __init__(
        self,
        journal: Journal,
        clock: Clock,
        limits: Limits,
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
        self._watching: Counter[str] = Counter()
        self._group: asyncio.TaskGroup | None = None
        self._emptied = asyncio.Event()
        self._abandoning: dict[str, asyncio.TimerHandle] = {}
        self._estimates = Estimates()
        self._journal = journal
        self.scribe = Writer(
            journal,
            ownership.owner,
            ownership_s=ownership.ownership_s,
            lazy_s=ownership.lazy_s,
            company_s=_COMPANY_S if journal.is_shared else 0.0,
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

    def open(self, record: RunRecord, history: History, owned_at: float) -> None:
        """Carry a run out, from where its history ends; the journal confirmed the ownership no earlier than then."""
        former = self._open.get(record.run_id)
        if former is not None:  # it was lost, and has come back before its loss was heard of
            former.give_up()
            self._stop_abandoning(record.run_id)
        run = self._opened(record, history)
        self._open[record.run_id] = run
        self.scribe.adopt(run.setting.log)
        self.scribe.renewed(owned_at)
        if not history.started:  # an owner can be lost before it has written anything
            run.setting.tell(RunStarted(record.ticket.request_id, record.plan))
        if record.epoch > 1:
            run.setting.tell(RunAdopted(len(history.closed)))
        if self._group is None:
            raise RuntimeError("runs are opened within carrying() only")
        run.begin(self._group)
        if record.cancel_asked:
            run.cancel(record.cancel_asked)
        self._abandon_later(run)

    def enter(self, run_id: str) -> None:
        """Count a watcher in."""
        self._watching[run_id] += 1
        self._stop_abandoning(run_id)

    def leave(self, run_id: str) -> None:
        """Count a watcher out."""
        self._watching[run_id] -= 1
        if self._watching[run_id] <= 0:
            del self._watching[run_id]
        run = self._open.get(run_id)
        if run is not None:
            self._abandon_later(run)

    def watched_elsewhere(self) -> list[str]:
        """Return the runs that are watched here and not carried out here."""
        return [run_id for run_id in self._watching if run_id not in self._open]

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
        time_s = self._limits.run_time.default_s if plan.budget.time_s is None else plan.budget.time_s
        setting = RunContext(
            run_id=record.run_id,
            plan=plan,
            models=catalogue.models,
            purse=Spending(plan.budget, history.known, lost_calls(history.lost, plan, catalogue.models)),
            log=RunLog(record.run_id, record.epoch, self._clock),
            scribe=self.scribe,
            clock=self._clock,
            deadline=asyncio.get_running_loop().time() + time_s - record.age_s,
            gather_s=self._limits.gather_window_s,
            estimates=self._estimates,
            may_spend=self._may_spend,
            until_it_may=self._until_it_may,
            on_fact=self._on_fact,
            proposal_deltas=record.ticket.proposal_deltas,
        )
        strategy = catalogue.strategies.get(plan.strategy)
        carrying = Carrier(setting, strategy or next(iter(catalogue.strategies.values())), history)
        if record.epoch > self._ownership.most_owners:
            return OpenRun(record, setting, carrying, self._closed, at_once=abandoned(record, setting))
        if strategy is None:
            error = NotOffered(f"this server has no strategy {plan.strategy}")
            return OpenRun(record, setting, carrying, self._closed, at_once=failed(error, (), setting))
        return OpenRun(record, setting, carrying, self._closed)

    def _may_spend(self) -> bool:
        """Whether no other server can have claimed the runs: nobody can where the journal is not shared."""
        return not self._journal.is_shared or self.scribe.is_current

    async def _until_it_may(self) -> None:
        if self._journal.is_shared:
            await self.scribe.until_current()

    def _abandon_later(self, run: OpenRun) -> None:
        """Cancel a run once nobody has watched it for the grace period."""
        run_id = run.record.run_id
        if not self._watching[run_id] and not run.record.ticket.detached and run_id not in self._abandoning:
            self._abandon_in(self._limits.abandon_grace_s, run)

    def _abandon_in(self, seconds: float, run: OpenRun) -> None:
        later = asyncio.get_running_loop().call_later
        self._abandoning[run.record.run_id] = later(seconds, self._begin_to_abandon, run)

    def _stop_abandoning(self, run_id: str) -> None:
        timer = self._abandoning.pop(run_id, None)
        if timer is not None:
            timer.cancel()

    def _begin_to_abandon(self, run: OpenRun) -> None:
        if self._group is not None:
            self._group.create_task(self._abandon(run), name="abandon")

    async def _abandon(self, run: OpenRun) -> None:
        """Cancel a run unless somebody watches it on another server, or has come back."""
        run_id, grace_s = run.record.run_id, self._limits.abandon_grace_s
        timer = self._abandoning.get(run_id)
        if timer is None:  # a watcher came between the timer and this task
            return
        left_s = await self._left_of_grace(run_id)
        if self._open.get(run_id) is not run or self._abandoning.get(run_id) is not timer:
            return
        if left_s > 0:
            self._abandon_in(min(left_s, grace_s), run)
        else:
            run.cancel("abandoned")

    async def _left_of_grace(self, run_id: str) -> float:
        if not self._journal.is_shared:
            return 0.0
        try:
            record = await self._journal.find(run_id)
        except JournalUnavailable:
            return self._limits.abandon_grace_s
        return 0.0 if record is None else self._limits.abandon_grace_s - record.unwatched_s

    def _closed(self, run: OpenRun, end: Terminal | None) -> None:
        run_id = run.record.run_id
        self.scribe.drop(run.setting.log)
        if self._open.get(run_id) is run:
            del self._open[run_id]
            self._stop_abandoning(run_id)
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
