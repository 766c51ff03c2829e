"""A run that this server owns: supervises its carrying-out and writes its end."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field

import structlog
from opentelemetry import trace
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from moa_server.domain.errors import DeadlineExceeded, InternalError, MoaError
from moa_server.domain.event import CancelledBy, RunCancelled, RunFailed, RunSucceeded, Terminal
from moa_server.domain.run import RunRecord, task_name
from moa_server.engine.runs.carrier import Carrier
from moa_server.engine.runs.run_context import RunContext
from moa_server.telemetry import names

_tracer = trace.get_tracer("moa_server.engine")
_traces = TraceContextTextMapPropagator()
_logger = structlog.get_logger(__name__)


@dataclass(slots=True, eq=False)
class OpenRun:
    """A run under way."""

    record: RunRecord
    context: RunContext
    work: Carrier | MoaError
    """What carries it out; or why it is not carried out at all, and ends at once."""
    on_end: Callable[["OpenRun", Terminal | None], None]
    """Called once, with the end, or with None when the run is no longer this server's."""
    _group: asyncio.TaskGroup | None = None
    _task: asyncio.Task[None] | None = None
    _cancelled_by: CancelledBy | None = None
    _is_given_up: bool = False
    _has_begun: bool = False
    _is_decided: bool = False
    """Whether its end is known, and only has to be written."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_settled(self) -> bool:
        """Whether it is not as it was taken over: it was begun here, or has closed a layer here."""
        return self.record.epoch == 1 or self.context.log.has_closed_a_layer

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Carry the run out as a task of the group."""
        self._group = group
        self._task = group.create_task(self._supervise(), name=task_name(self.record.run_id))

    def beside(self, work: Coroutine[None, None, None]) -> None:
        """Have something done beside the run, by the group that carries it."""
        if self._group is not None:
            self._group.create_task(work, name=task_name(self.record.run_id, "beside"))

    def cancel(self, by: CancelledBy) -> None:
        """Cancel everything under the run, and end it as cancelled, unless it has come to its end already."""
        if self._cancelled_by is None and not self._is_decided:
            self._cancelled_by = by
            self._stop()

    def give_up(self) -> None:
        """Cancel everything under the run and write nothing more: it has another owner, or is to get one."""
        self._is_given_up = True
        self._stop()

    def _stop(self) -> None:
        # A task that has not begun yet sees for itself that it is to stop; cancelled, it would end without a word.
        if self._has_begun and self._task is not None:
            self._task.cancel()

    async def _supervise(self) -> None:
        plan = self.record.plan
        structlog.contextvars.bind_contextvars(run_id=self.record.run_id, mixture=plan.mixture)
        attributes: dict[str, str | int] = {
            names.OPERATION_NAME: names.INVOKE_WORKFLOW,
            names.WORKFLOW_NAME: plan.mixture,
            names.RUN_ID: self.record.run_id,
            names.RUN_EPOCH: self.record.epoch,
            names.STRATEGY: plan.strategy,
        }
        # A run that was taken over stays in the trace it was begun in.
        taken_over = self.record.epoch > 1
        parent = _traces.extract({"traceparent": self.record.ticket.traceparent}) if taken_over else None
        end: Terminal | None = None
        self._has_begun = True
        try:
            with _tracer.start_as_current_span(names.run_span(plan.mixture), parent, attributes=attributes) as span:
                end = await self._carry_out()
                if isinstance(end, RunFailed):
                    span.set_status(StatusCode.ERROR, end.reason)
                    span.set_attribute(names.ERROR_TYPE, end.reason)
                if isinstance(end, RunSucceeded) and end.answer.degradations:
                    reasons = sorted({str(degradation.reason) for degradation in end.answer.degradations})
                    span.set_attribute(names.DEGRADATIONS, reasons)
            self._is_decided = True
            self.context.tell(end)
            await self.context.log.durable()
        except asyncio.CancelledError:
            if not self._is_given_up:
                raise
            end = None
        finally:
            self.on_end(self, end)
            self.ended.set()

    async def _carry_out(self) -> Terminal:
        """Carry the run out, and make its end a fact."""
        limit = asyncio.timeout_at(self.context.deadline)
        try:
            async with limit:
                return await self._do_work()
        except MoaError as error:
            return self._failed(error)
        except asyncio.CancelledError as error:
            error.__traceback__ = None  # its frames hold the error in turn: 50 KiB that only the collector would find
            task = asyncio.current_task()
            if self._is_given_up or self._cancelled_by is None or task is None:
                raise asyncio.CancelledError from None
            task.uncancel()
            return RunCancelled(self._cancelled_by, self.context.spending.spent)
        except Exception as error:
            if isinstance(error, TimeoutError) and limit.expired():
                return self._failed(DeadlineExceeded("the run was not done by its deadline"))
            _logger.exception("run.broke")
            return self._failed(InternalError("the server failed while it carried the run out"))

    async def _do_work(self) -> Terminal:
        # What was asked before the task had begun has cancelled nothing yet.
        if self._is_given_up:
            raise asyncio.CancelledError
        if self._cancelled_by is not None:
            return RunCancelled(self._cancelled_by, self.context.spending.spent)
        if isinstance(self.work, MoaError):
            raise self.work
        return await self.work.to_the_end()

    def _failed(self, error: MoaError) -> RunFailed:
        failures, withheld = (self.work.failures, self.work.withheld) if isinstance(self.work, Carrier) else ((), "")
        return RunFailed(
            error.reason(),
            error.detail,
            failures,
            self.context.answer_text or withheld,
            self.context.spending.spent,
            tuple(error.metadata.items()),
        )
