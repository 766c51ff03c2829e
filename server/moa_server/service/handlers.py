"""Answers the calls of the contract: reads what is asked, lets the engine do it, writes what came of it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceServicer
from moa_server.domain.errors import DeadlineExceeded
from moa_server.domain.event import RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.limits import Limits
from moa_server.domain.run import RunRecord, Ticket
from moa_server.engine import Engine, RunStatus
from moa_server.service.call import Context, RpcCall, current
from moa_server.service.ended_badly import ended_badly, was_cancelled
from moa_server.service.run_stream import follow, outcome_of
from moa_server.service.wire.plans import write_mixture, write_plan
from moa_server.service.wire.proposals import write_answer, write_layer
from moa_server.service.wire.requests import (
    Asked,
    Named,
    read_ask,
    read_layer,
    read_name_of_run,
    read_query,
)
from moa_server.service.wire.runs import write_run

_BY_CALLER = "caller"


class Handlers(MoaServiceServicer):
    """Answers the calls of the contract."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self._limits = limits

    async def Query(self, request: pb.QueryRequest, context: Context) -> pb.QueryResponse:
        """Start a run and return its answer when it has ended."""
        record = await self._start(read_ask(request, self._limits))
        outcome = await outcome_of(self._engine, record.run_id)
        match outcome.terminal:
            case RunFailed():
                raise ended_badly(record.run_id, outcome.terminal)
            case RunCancelled():
                raise was_cancelled(record.run_id, outcome.terminal)
            case RunSucceeded(answer=answer, usage=usage):
                status = RunStatus(record, outcome.cursor, usage, outcome.terminal)
                layers = [write_layer(layer) for layer in outcome.layers]
                return pb.QueryResponse(run=write_run(status), answer=write_answer(answer), layers=layers)

    async def Synthesize(
        self, request: pb.SynthesizeRequest, context: Context
    ) -> AsyncGenerator[pb.SynthesizeResponse, None]:
        """Start a run and stream its events."""
        asked = read_ask(request, self._limits)
        record = await self._start(asked)
        async with aclosing(follow(self._engine, record.run_id, asked.after, pb.SynthesizeResponse)) as responses:
            async for response in responses:
                yield response

    async def WatchRun(
        self, request: pb.WatchRunRequest, context: Context
    ) -> AsyncGenerator[pb.WatchRunResponse, None]:
        """Stream the events of a run that is there."""
        named = read_name_of_run(request)
        record = await self._find(named)
        async with aclosing(follow(self._engine, record.run_id, named.after, pb.WatchRunResponse)) as responses:
            async for response in responses:
                yield response

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
        self._check_mixture(query.mixture, current())
        return pb.ExplainPlanResponse(plan=write_plan(self._engine.explain(query)))

    async def ListMixtures(self, request: pb.ListMixturesRequest, context: Context) -> pb.ListMixturesResponse:
        """Return the mixtures that the caller may use."""
        caller = current().caller
        views = [view for view in self._engine.mixtures() if caller.may_use(view.name)]
        return pb.ListMixturesResponse(mixtures=[write_mixture(view) for view in views])

    async def _start(self, asked: Asked) -> RunRecord:
        call = current()
        self._check_mixture(asked.query.mixture, call)
        left = call.time_left
        if left is not None and left <= 0:
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

    def _check_mixture(self, mixture: str, call: RpcCall) -> None:
        if call.caller.mixtures is not None:
            call.caller.check_mixture(mixture or self._default_mixture())

    def _default_mixture(self) -> str:
        return next((view.name for view in self._engine.mixtures() if view.is_default), "")
