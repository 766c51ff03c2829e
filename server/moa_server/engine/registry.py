"""Keeps the runs that are open on this server: opens them, carries them on after others, and lets them go."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

import structlog

from moa_server.domain.errors import MoaError, NotOffered, RunAbandoned, RunQuarantined
from moa_server.domain.event import (
    CancelledBy,
    Fact,
    RunAdopted,
    RunCancelled,
    RunFailed,
    RunStarted,
    RunSucceeded,
    Terminal,
)
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Clock, Journal, Written
from moa_server.domain.run import RunRecord, RunTrial
from moa_server.engine.audience import Audience
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.estimates import Estimates
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.records.history import History
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.writer import Writer
from moa_server.engine.runs.carrier import Carrier
from moa_server.engine.runs.open_run import OpenRun
from moa_server.engine.runs.run_context import RunContext, ServerContext
from moa_server.engine.runs.spending import Spending

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
        self._clock = clock
        self._default_time_s = limits.run_time.default_s
        self._most_owners = ownership.most_owners
        self._catalogue = catalogue
        self._open: dict[str, OpenRun] = {}
        self._unsettled: set[OpenRun] = set()
        """Of those that were taken over; it may hold some that have settled since."""
        self._group: asyncio.TaskGroup | None = None
        self._emptied = asyncio.Event()
        self.writer = Writer(journal, ownership, self._hear_of)
        self.audience = Audience(journal, limits.abandon_grace_s, self._open.get)
        self._shared = ServerContext(self.writer, clock, limits.gather_window_s, on_fact)

    @property
    def estimates(self) -> Estimates:
        """What was learned of how endpoints count tokens."""
        return self._shared.estimates

    def __len__(self) -> int:
        return len(self._open)

    def log(self, run_id: str) -> RunLog | None:
        """Return the log of a run that is open here."""
        run = self._open.get(run_id)
        return None if run is None else run.context.log

    def get(self, run_id: str) -> OpenRun | None:
        """Return a run that is open here."""
        return self._open.get(run_id)

    def run_ids(self) -> list[str]:
        """Return which runs are open here; any thread may ask."""
        return [*self._open]

    def unsettled(self) -> Sequence[RunRecord]:
        """Return the runs that were taken over and have neither closed a layer here nor ended."""
        self._unsettled = {run for run in self._unsettled if not (run.ended.is_set() or run.is_settled)}
        return [run.record for run in self._unsettled]

    @asynccontextmanager
    async def carrying(self) -> AsyncGenerator[None, None]:
        """Carry runs out for as long as the context lasts; those that are still open then are given up."""
        async with asyncio.TaskGroup() as group:
            self._group = group
            writing = group.create_task(self.writer.write_for_ever(), name="writer")
            try:
                yield
            finally:
                self.let_go()
                await self.emptied()
                writing.cancel()

    def open(self, record: RunRecord, history: History, asked_at: float) -> None:
        """Carry a run out, from where its history ends, that the journal was asked for at that moment."""
        if self._group is None:
            raise RuntimeError("runs are opened within carrying() only")
        former = self._open.get(record.run_id)
        if former is not None:  # it was lost, and has come back before its loss was heard of
            former.give_up()
            self.audience.stop_waiting(record.run_id)
        run = self._made(record, history, asked_at)
        self._open[record.run_id] = run
        self.writer.adopt(run.context.log)
        # A submission may find that the ownership was renewed a little earlier, and leave it so.
        self.writer.renewed(asked_at if record.epoch > 1 else asked_at - self.writer.least_renewal_s)
        if not history.started:  # an owner can be lost before it has written anything
            run.context.tell(RunStarted(record.ticket.request_id, record.plan))
        if record.epoch > 1:
            run.context.tell(RunAdopted(len(history.closed), record.after_loss))
            self._unsettled.add(run)
        run.begin(self._group)
        if record.cancel_asked:
            run.cancel(CancelledBy(record.cancel_asked))
        self.audience.wait_for_watchers(run)

    def _made(self, record: RunRecord, history: History, asked_at: float) -> OpenRun:
        plan, catalogue = record.plan, self._catalogue()
        time_s = self._default_time_s if plan.budget.time_s is None else plan.budget.time_s
        lost = UpperBounds(catalogue.models, self._shared.estimates).lost_calls(history.lost, plan)
        context = RunContext(
            server=self._shared,
            plan=plan,
            models=catalogue.models,
            log=RunLog(record.run_id, record.epoch, self._clock),
            spending=Spending(plan.budget, history.known, lost, history.set_aside),
            # Its age was told then, which can be long ago where the journal could not be read since.
            deadline=asked_at + time_s - record.age_s,
            proposal_deltas=record.ticket.proposal_deltas,
            told=Counter(history.degraded),
        )
        strategy = catalogue.strategies.get(plan.strategy)
        work: Carrier | MoaError
        told = {"run_id": record.run_id, "epoch": str(record.epoch)}
        if record.trial is RunTrial.FAILED:
            work = RunQuarantined("the run held its server until that ended itself, twice", metadata=told)
        elif self._most_owners is not None and record.owners_lost >= self._most_owners:
            work = RunAbandoned("the run has lost too many owners", metadata=told)
        elif strategy is None:
            work = NotOffered(f"this server has no strategy {plan.strategy}")
        else:
            work = Carrier(context, strategy, history)
        return OpenRun(record, context, work, self._closed)

    def let_go(self) -> list[str]:
        """Give all runs up, and return which."""
        runs = [*self._open.values()]
        for run in runs:
            run.give_up()
        return [run.record.run_id for run in runs]

    def cancel_all(self, by: CancelledBy) -> None:
        """Cancel every open run."""
        for run in [*self._open.values()]:
            run.cancel(by)

    async def emptied(self) -> None:
        """Wait until no run is open."""
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    def _closed(self, run: OpenRun, end: Terminal | None) -> None:
        run_id = run.record.run_id
        self.writer.drop(run.context.log)
        if self._open.get(run_id) is run:  # else it has come back already, under its next epoch
            del self._open[run_id]
            self.audience.stop_waiting(run_id)
        run.context.log.leave()
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
                run.cancel(CancelledBy(by))


def _log_end(run: OpenRun, end: Terminal | None) -> None:
    logger = _logger.bind(run_id=run.record.run_id, mixture=run.record.plan.mixture)
    usage = run.context.spending.spent
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
