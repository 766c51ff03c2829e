"""Answers the calls of the contract: reads what is asked, lets the engine do it, writes what came of it."""

from collections.abc import AsyncGenerator, Awaitable
from contextlib import aclosing
from typing import Final, TypeVar

from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceServicer
from moa_server.domain.errors import DeadlineExceeded, ShuttingDown
from moa_server.domain.event import BEGINNING, Cursor, Event, LayerClosed, RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.limits import Limits
from moa_server.domain.proposal import LayerResult
from moa_server.domain.run import RunRecord, Ticket
from moa_server.engine import Engine, RunStatus
from moa_server.service.call import Context, current
from moa_server.service.status import EndedBadly, was_cancelled
from moa_server.service.wire.events import write_event, write_heartbeat
from moa_server.service.wire.plans import write_mixture, write_plan
from moa_server.service.wire.requests import Asked, Named, read_ask, read_layer, read_name_of_run, read_query
from moa_server.service.wire.runs import write_answer, write_layer, write_run

_BY_CALLER: Final = "caller"
_ROUNDING_S: Final = 0.001
"""The transport counts in milliseconds and rounds up: a deadline that is past arrives with as much as this left."""

Response = TypeVar("Response", pb.SynthesizeResponse, pb.WatchRunResponse)


class Handlers(MoaServiceServicer):
    """Answers the calls of the contract."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def Query(self, request: pb.QueryRequest, context: Context) -> pb.QueryResponse:
        """Start a run and return its answer when it has ended."""
        record = await self._start(read_ask(request, self._limits))
        layers = dict[int, LayerResult]()
        async with aclosing(self._engine.watch(record.run_id, BEGINNING)) as events:
            async for event in events:
                if event is None:
                    continue
                match event.fact:
                    case LayerClosed(layer):
                        layers[layer.index] = layer
                    case RunFailed() as failed:
                        raise EndedBadly(record.run_id, failed)
                    case RunCancelled() as cancelled:
                        raise was_cancelled(record.run_id, cancelled)
                    case RunSucceeded(answer, usage) as succeeded:
                        return pb.QueryResponse(
                            run=write_run(RunStatus(record, event.cursor, usage, succeeded)),
                            answer=write_answer(answer),
                            layers=[write_layer(layers[index]) for index in sorted(layers)],
                        )
        raise _gone(record.run_id)

    def Synthesize(
        self, request: pb.SynthesizeRequest, context: Context
    ) -> AsyncGenerator[pb.SynthesizeResponse, None]:
        """Start a run and stream its events."""
        asked = read_ask(request, self._limits)
        return self._stream(self._start(asked), asked.after, pb.SynthesizeResponse)

    def WatchRun(self, request: pb.WatchRunRequest, context: Context) -> AsyncGenerator[pb.WatchRunResponse, None]:
        """Stream the events of a run that is there."""
        named = read_name_of_run(request)
        return self._stream(self._find(named), named.after, pb.WatchRunResponse)

    async def LayerResult(self, request: pb.LayerResultRequest, context: Context) -> pb.LayerResultResponse:
        """Return a closed layer."""
        asked = read_layer(request)
        record = await self._find(Named(asked.run_id))
        layer = await self._engine.layer_result(record.run_id, asked.index, asked.wait_s)
        return pb.LayerResultResponse(layer=write_layer(layer))

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        """Cancel a run and return how it ended."""
        record = await self._find(read_name_of_run(request))
        await self._engine.cancel(record.run_id, _BY_CALLER)
        return pb.CancelRunResponse(run=write_run(await self._engine.status(record.run_id)))

    async def ExplainPlan(self, request: pb.ExplainPlanRequest, context: Context) -> pb.ExplainPlanResponse:
        """Return what would be carried out."""
        query = read_query(request, self._limits)
        self._check_mixture(query.mixture)
        return pb.ExplainPlanResponse(plan=write_plan(self._engine.explain(query)))

    async def ListMixtures(self, request: pb.ListMixturesRequest, context: Context) -> pb.ListMixturesResponse:
        """Return the mixtures that the caller may use."""
        caller = current().caller
        views = [view for view in self._engine.mixtures() if caller.may_use(view.name)]
        return pb.ListMixturesResponse(mixtures=[write_mixture(view) for view in views])

    async def _stream(
        self, opening: Awaitable[RunRecord], after: Cursor, response_of: type[Response]
    ) -> AsyncGenerator[Response, None]:
        """Yield a response for each event of a run, and a heartbeat whenever nothing has happened for a while.

        After the end of a run there are none. It is the only generator between the engine and the transport: every
        piece of every text passes through each that there is.

        Raises:
            ShuttingDown: nothing more is heard of the run here, and it has not ended.
        """
        run_id = (await opening).run_id
        last: Event | None = None
        async with aclosing(self._engine.watch(run_id, after)) as events:
            async for event in events:
                response = response_of()
                if event is None:
                    write_heartbeat(run_id, after if last is None else last.cursor, response.event)
                else:
                    last = event
                    write_event(event, response.event)
                yield response
        if last is not None and not last.is_terminal:
            raise _gone(run_id)

    async def _start(self, asked: Asked) -> RunRecord:
        call = current()
        self._check_mixture(asked.query.mixture)
        left = call.time_left
        if left is not None and left <= _ROUNDING_S:
            raise DeadlineExceeded("the deadline was over before the run could start")
        ticket = Ticket(
            caller=call.caller.name,
            request_id=asked.request_id,
            fingerprint=asked.fingerprint,
            detached=asked.detached,
            proposal_deltas=asked.proposal_deltas,
            traceparent=call.traceparent,
        )
        return await self._engine.start(asked.query, ticket, left)

    async def _find(self, named: Named) -> RunRecord:
        return await self._engine.find(current().caller.name, run_id=named.run_id, request_id=named.request_id)

    def _check_mixture(self, mixture: str) -> None:
        caller = current().caller
        if caller.mixtures is not None:  # else every call would ask for the views of all mixtures
            default = (view.name for view in self._engine.mixtures() if view.is_default)
            caller.check_mixture(mixture or next(default, ""))


def _gone(run_id: str) -> ShuttingDown:
    return ShuttingDown(f"run {run_id} is carried on elsewhere; watch it there", metadata={"run_id": run_id})
