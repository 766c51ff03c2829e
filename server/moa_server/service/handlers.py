"""Answers the calls of the contract: reads what is asked, lets the engine do it, writes what came of it."""

from collections.abc import AsyncGenerator, Awaitable, Iterable
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceServicer
from moa.v1.run_pb2 import LayerResult
from moa_server.domain import proposal as domain
from moa_server.domain.answer import Answer
from moa_server.domain.errors import DeadlineExceeded, ShuttingDown
from moa_server.domain.event import BEGINNING, CancelledBy, Cursor, RunCancelled, RunFailed, RunSucceeded
from moa_server.domain.limits import Limits
from moa_server.domain.run import RunRecord, Ticket
from moa_server.engine import ClosedLayers, Engine, RunStatus
from moa_server.service.call import Context, current
from moa_server.service.status import EndedBadly, was_cancelled
from moa_server.service.wire.layers import write_layer
from moa_server.service.wire.offer import not_offered
from moa_server.service.wire.pages import MOST_BYTES, fitting, messages_of
from moa_server.service.wire.plans import write_duration, write_mixture, write_plan
from moa_server.service.wire.requests import (
    Asked,
    Named,
    read_ask,
    read_layer,
    read_mixtures_page,
    read_name_of_run,
    read_query,
)
from moa_server.service.wire.runs import write_answer, write_run

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
        closed, layers = ClosedLayers(), dict[int, domain.LayerResult]()
        async with aclosing(self._engine.watch(record.run_id, BEGINNING)) as news:
            async for events in news:
                for event in events:
                    layer = closed.hear(event.fact)
                    if layer is not None:
                        layers[layer.index] = layer
                    match event.fact:
                        case RunFailed() as failed:
                            raise EndedBadly(record.run_id, failed)
                        case RunCancelled() as cancelled:
                            raise was_cancelled(record.run_id, cancelled)
                        case RunSucceeded(answer, usage) as succeeded:
                            status = RunStatus(record, event.cursor, usage, succeeded, event.time, answer.degradations)
                            return _response(status, answer, [layers[index] for index in sorted(layers)])
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
        record = await self._find(asked.run)
        layer = write_layer(await self._engine.layer_result(record.run_id, asked.index, asked.wait_s))
        proposals, token = fitting(layer.proposals, asked.page)
        page = LayerResult(summary=layer.summary, proposals=proposals)
        if not asked.page.first:
            page.failures.extend(layer.failures)
        return pb.LayerResultResponse(layer=page, next_page_token=token)

    async def CancelRun(self, request: pb.CancelRunRequest, context: Context) -> pb.CancelRunResponse:
        """Cancel a run and return how it ended."""
        record = await self._find(read_name_of_run(request))
        await self._engine.cancel(record.run_id, CancelledBy.CALLER)
        return pb.CancelRunResponse(run=write_run(await self._engine.status(record.run_id)))

    async def ExplainPlan(self, request: pb.ExplainPlanRequest, context: Context) -> pb.ExplainPlanResponse:
        """Return what would be carried out."""
        query = read_query(request, self._limits)
        self._check_mixture(query.mixture)
        return pb.ExplainPlanResponse(plan=write_plan(self._engine.explain(query)))

    async def ListMixtures(self, request: pb.ListMixturesRequest, context: Context) -> pb.ListMixturesResponse:
        """Return the mixtures that the caller may use."""
        caller = current().caller
        page = read_mixtures_page(request)
        written = [write_mixture(view) for view in self._engine.mixtures() if caller.may_use(view.name)]
        mixtures, token = fitting(written, page)
        return pb.ListMixturesResponse(mixtures=mixtures, next_page_token=token)

    async def GetRun(self, request: pb.GetRunRequest, context: Context) -> pb.GetRunResponse:
        """Say that this is not offered yet."""
        raise not_offered("GetRun")

    async def ListRuns(self, request: pb.ListRunsRequest, context: Context) -> pb.ListRunsResponse:
        """Say that this is not offered yet."""
        raise not_offered("ListRuns")

    async def RecordOutcome(self, request: pb.RecordOutcomeRequest, context: Context) -> pb.RecordOutcomeResponse:
        """Say that this is not offered yet."""
        raise not_offered("RecordOutcome")

    async def GetQuota(self, request: pb.GetQuotaRequest, context: Context) -> pb.GetQuotaResponse:
        """Say that this is not offered yet."""
        raise not_offered("GetQuota")

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:
        """Say that this is not offered yet."""
        raise not_offered("GetServerInfo")

    async def _stream(
        self, opening: Awaitable[RunRecord], after: Cursor, response_of: type[Response]
    ) -> AsyncGenerator[Response, None]:
        """Yield the events of a run as they are ready, and a message without any whenever there are none for a while.

        The first message comes as soon as the run is known. After the end of a run there are none. It is the only
        asynchronous generator between the engine and the transport: every piece of every text passes through each.

        Raises:
            ShuttingDown: nothing more is heard of the run here, and it has not ended.
        """
        run_id = (await opening).run_id
        yield response_of(run_id=run_id, heartbeat_period=write_duration(self._limits.heartbeat_s))
        ended = False
        async with aclosing(self._engine.watch(run_id, after)) as news:
            async for events in news:
                for message in messages_of(events, partial(response_of, run_id=run_id)):
                    yield message
                ended = ended or (bool(events) and events[-1].is_terminal)
        if not ended:
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


def _response(status: RunStatus, answer: Answer, layers: Iterable[domain.LayerResult]) -> pb.QueryResponse:
    """Return how a run ended, with its layers where these fit a message."""
    response = pb.QueryResponse(run=write_run(status), answer=write_answer(answer))
    written = pb.QueryResponse(layers=map(write_layer, layers))
    if response.ByteSize() + written.ByteSize() <= MOST_BYTES:
        response.MergeFrom(written)
    else:
        response.left_out.append("layers")
    return response


def _gone(run_id: str) -> ShuttingDown:
    return ShuttingDown(f"run {run_id} is carried on elsewhere; watch it there", metadata={"run_id": run_id})
