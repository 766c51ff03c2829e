"""Answers the calls of the contract from scripted runs, and says to the channels that ask that the fake is well."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from moa.errors import MoaError, NotOffered, Unreachable
from moa.status import DETAILS_KEY, pack
from moa.testing.runs import FakeRun, FakeRuns
from moa.translation import answer_of
from moa.v1 import event_pb2 as ev
from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceServicer
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import CANCELLED_BY_CALLER, Cursor

_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse(status=SERVING), whose package is no dependency of ours

Note = Callable[[str, Message, grpc.ServicerContext], None]


class ScriptedServicer(MoaServiceServicer):
    """The contract, played from scripted runs."""

    def __init__(self, runs: FakeRuns, note: Note, mixtures: list[Mixture], plan: Plan) -> None:
        self._runs = runs
        self._note = note
        self._mixtures = mixtures
        self._plan = plan

    def Query(self, request: pb.QueryRequest, context: grpc.ServicerContext) -> pb.QueryResponse:
        """Play the whole run and return its end."""
        with self._call("Query", request, context):
            run = self._runs.start(request.request_id, request.query.SerializeToString(deterministic=True))
            events = list(self._play(run, Cursor(), context))
            answer = answer_of(events[-1] if events else None, run.run_id)
            return pb.QueryResponse(run=run.summary(), answer=answer, layers=run.layers().values())

    def Synthesize(
        self, request: pb.SynthesizeRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SynthesizeResponse]:
        """Start the run and play its events."""
        with self._call("Synthesize", request, context):
            run = self._runs.start(request.request_id, request.query.SerializeToString(deterministic=True))
            yield pb.SynthesizeResponse(run_id=run.run_id, heartbeat_period=self._heartbeat_period())
            for events in self._stream(run, request.after, context):
                yield pb.SynthesizeResponse(run_id=run.run_id, events=events)

    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchRunResponse]:
        """Play a run's events after a place."""
        with self._call("WatchRun", request, context):
            run = self._runs.find(request.run_id, request.request_id)
            yield pb.WatchRunResponse(run_id=run.run_id, heartbeat_period=self._heartbeat_period())
            for events in self._stream(run, request.after, context):
                yield pb.WatchRunResponse(run_id=run.run_id, events=events)

    def LayerResult(self, request: pb.LayerResultRequest, context: grpc.ServicerContext) -> pb.LayerResultResponse:
        """Return a closed layer."""
        with self._call("LayerResult", request, context):
            run = self._runs.find(request.run_id, request.request_id)
            return pb.LayerResultResponse(layer=run.layer(request.index))

    def CancelRun(self, request: pb.CancelRunRequest, context: grpc.ServicerContext) -> pb.CancelRunResponse:
        """End an open run."""
        with self._call("CancelRun", request, context):
            run = self._runs.find(request.run_id, request.request_id)
            if not run.ended:
                self._runs.extend(run, [ev.RunCancelled(by=CANCELLED_BY_CALLER)])
            return pb.CancelRunResponse(run=run.summary())

    def ExplainPlan(self, request: pb.ExplainPlanRequest, context: grpc.ServicerContext) -> pb.ExplainPlanResponse:
        """Return the plan that was set."""
        with self._call("ExplainPlan", request, context):
            return pb.ExplainPlanResponse(plan=self._plan)

    def ListMixtures(self, request: pb.ListMixturesRequest, context: grpc.ServicerContext) -> pb.ListMixturesResponse:
        """Return the mixtures that were set."""
        with self._call("ListMixtures", request, context):
            return pb.ListMixturesResponse(mixtures=self._mixtures)

    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        """Say that this is not offered."""
        with self._call("GetRun", request, context):
            raise NotOffered("GetRun is not offered")

    def ListRuns(self, request: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        """Say that this is not offered."""
        with self._call("ListRuns", request, context):
            raise NotOffered("ListRuns is not offered")

    def RecordOutcome(
        self, request: pb.RecordOutcomeRequest, context: grpc.ServicerContext
    ) -> pb.RecordOutcomeResponse:
        """Say that this is not offered."""
        with self._call("RecordOutcome", request, context):
            raise NotOffered("RecordOutcome is not offered")

    def GetQuota(self, request: pb.GetQuotaRequest, context: grpc.ServicerContext) -> pb.GetQuotaResponse:
        """Say that this is not offered."""
        with self._call("GetQuota", request, context):
            raise NotOffered("GetQuota is not offered")

    def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: grpc.ServicerContext
    ) -> pb.GetServerInfoResponse:
        """Say that this is not offered."""
        with self._call("GetServerInfo", request, context):
            raise NotOffered("GetServerInfo is not offered")

    @contextmanager
    def _call(self, method: str, request: Message, context: grpc.ServicerContext) -> Iterator[None]:
        self._note(method, request, context)
        context.add_callback(self._runs.wake)
        try:
            if self._runs.refusals:
                raise self._runs.refusals.popleft()
            yield
        except MoaError as error:
            # Unless the error says when to come back, the channel is told not to: what is scripted once is to be seen
            # once. Nor is 0 ever sent: the core then neither repeats the call nor ends it.
            pause = -1 if error.retry_after is None else max(1, round(error.retry_after * 1000))
            trailers: tuple[tuple[str, str | bytes], ...] = (("grpc-retry-pushback-ms", str(pause)),)
            if error.reason:
                trailers += ((DETAILS_KEY, pack(error.status, error.message)),)
            context.set_trailing_metadata(trailers)
            context.abort(error.code, error.message)

    def _heartbeat_period(self) -> Duration:
        period = Duration()
        period.FromNanoseconds(round(self._runs.heartbeat_period * 1e9))
        return period

    def _stream(self, run: FakeRun, place: Cursor, context: grpc.ServicerContext) -> Iterator[list[ev.Event]]:
        cut = self._runs.cuts.popleft() if self._runs.cuts else None
        try:
            for count, event in enumerate(self._play(run, place, context)):
                if count == cut:
                    raise Unreachable("the fake cut the connection")
                yield [event] if event.WhichOneof("fact") else []  # none is a heartbeat
        finally:
            if not context.is_active():
                self._runs.leave()

    def _play(self, run: FakeRun, place: Cursor, context: grpc.ServicerContext) -> Iterator[ev.Event]:
        for event in self._runs.follow(run, place):
            if not context.is_active():
                return
            if event is not None:
                yield event


def always_healthy(runs: FakeRuns) -> grpc.GenericRpcHandler:
    """Return the handler of the health service's Watch."""

    def watch(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(runs.wake)
        yield _SERVING
        with runs.changed:
            runs.changed.wait_for(lambda: not context.is_active())

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
    )
