"""A run that this server owns: supervises its carrying-out and writes its end."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

import structlog
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from moa_server.domain.errors import DeadlineExceeded, InternalError, MoaError, RunAbandoned
from moa_server.domain.event import RunCancelled, RunFailed, RunSucceeded, Terminal
from moa_server.domain.proposal import AgentFailure
from moa_server.domain.run import RunRecord
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
    setting: RunContext
    carrying: Carrier
    on_end: Callable[["OpenRun", Terminal | None], None]
    """Called once, with the end, or with None when the run is no longer this server's."""
    at_once: Terminal | None = None
    """The end of a run that is not carried out at all."""
    _task: asyncio.Task[None] | None = None
    _cancelled_by: str = ""
    _given_up: bool = False
    _has_begun: bool = False
    _is_decided: bool = False
    """Whether its end is known, and only has to be written."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def begin(self, group: asyncio.TaskGroup) -> None:
        """Carry the run out as a task of the group."""
        self._task = group.create_task(self._supervise(), name=f"run {self.record.run_id}")

    def cancel(self, by: str) -> None:
        """Cancel everything under the run, and end it as cancelled, unless it has come to its end already."""
        if not self._cancelled_by and not self._is_decided:
            self._cancelled_by = by
            self._stop()

    def give_up(self) -> None:
        """Cancel everything under the run and write nothing more: it has another owner, or is to get one."""
        self._given_up = True
        self._stop()

    def _stop(self) -> None:
        """A task that has not begun yet sees for itself that it is to stop."""
        if self._has_begun and self._task is not None:
            self._task.cancel()

    async def _supervise(self) -> None:
        structlog.contextvars.bind_contextvars(run_id=self.record.run_id, mixture=self.record.plan.mixture)
        end: Terminal | None = None
        self._has_begun = True
        try:
            end = await self._spanned()
            self._is_decided = True
            self.setting.tell(end)
            await self.setting.log.durable()
        except asyncio.CancelledError:
            if not self._given_up:
                raise
            end = None
        finally:
            self.on_end(self, end)
            self.ended.set()

    async def _spanned(self) -> Terminal:
        plan = self.record.plan
        attributes: dict[str, str | int] = {
            names.OPERATION_NAME: names.INVOKE_WORKFLOW,
            names.WORKFLOW_NAME: plan.mixture,
            names.RUN_ID: self.record.run_id,
            names.RUN_EPOCH: self.record.epoch,
            names.STRATEGY: plan.strategy,
        }
        parent = self._trace_of_the_asker() if self.record.epoch > 1 else None
        with _tracer.start_as_current_span(names.run_span(plan.mixture), parent, attributes=attributes) as span:
            end = await self._end()
            if isinstance(end, RunFailed):
                span.set_status(StatusCode.ERROR, end.reason)
                span.set_attribute(names.ERROR_TYPE, end.reason)
            if isinstance(end, RunSucceeded) and end.answer.degradations:
                reasons = sorted({str(degradation.reason) for degradation in end.answer.degradations})
                span.set_attribute(names.DEGRADATIONS, reasons)
            return end

    def _trace_of_the_asker(self) -> Context:
        """A run that was taken over stays in the trace it was begun in."""
        return _traces.extract({"traceparent": self.record.ticket.traceparent})

    async def _end(self) -> Terminal:
        """Carry the run out, and make its end a fact."""
        limit = asyncio.timeout_at(self.setting.deadline)
        try:
            async with limit:
                return self._end_before_the_start() or await self.carrying.to_the_end()
        except TimeoutError:
            if not limit.expired():
                raise
            return self._failed(DeadlineExceeded("the run was not done by its deadline"))
        except MoaError as error:
            return self._failed(error)
        except asyncio.CancelledError as error:
            error.__traceback__ = None  # its frames hold the error in turn: 50 KiB that only the collector would find
            return self._after_cancel()
        except Exception:
            _logger.exception("run.broke")
            return self._failed(InternalError("the server failed while it carried the run out"))

    def _end_before_the_start(self) -> Terminal | None:
        if self._given_up:
            raise asyncio.CancelledError
        if self._cancelled_by:
            return RunCancelled(self._cancelled_by, self.setting.purse.spent)
        return self.at_once

    def _after_cancel(self) -> Terminal:
        task = asyncio.current_task()
        if self._given_up or not self._cancelled_by or task is None:
            raise asyncio.CancelledError
        task.uncancel()
        return RunCancelled(self._cancelled_by, self.setting.purse.spent)

    def _failed(self, error: MoaError) -> RunFailed:
        return failed(error, self.carrying.failures, self.setting)


def failed(error: MoaError, failures: tuple[AgentFailure, ...], setting: RunContext) -> RunFailed:
    """Return an error as the end of a run."""
    return RunFailed(
        error.reason(),
        error.detail,
        failures,
        setting.answer.text,
        setting.purse.spent,
        tuple(error.metadata.items()),
    )


def abandoned(record: RunRecord, setting: RunContext) -> RunFailed:
    """Return the end of a run that has lost too many owners."""
    error = RunAbandoned("the run has lost too many owners", metadata={"epoch": str(record.epoch)})
    return failed(error, (), setting)
