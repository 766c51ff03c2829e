"""Answers the calls of the contract from a script."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
from google.protobuf.message import Message

from moa.errors import MoaError, Unreachable
from moa.outcome import answer_of
from moa.status import DETAILS_KEY, pack
from moa.testing.ledger import Ledger, Recorded
from moa.v1 import event_pb2 as ev
from moa.v1 import moa_service_pb2 as pb
from moa.v1.moa_service_pb2_grpc import MoaServiceServicer
from moa.v1.plan_pb2 import Mixture, Plan
from moa.v1.run_pb2 import Cursor

Note = Callable[[str, Message, grpc.ServicerContext], None]


class ScriptedServicer(MoaServiceServicer):
    """The contract, played from a ledger."""

    def __init__(self, ledger: Ledger, note: Note, mixtures: list[Mixture], plan: Plan) -> None:
        self._ledger = ledger
        self._note = note
        self._mixtures = mixtures
        self._plan = plan

    def Query(self, request: pb.QueryRequest, context: grpc.ServicerContext) -> pb.QueryResponse:
        """Play the whole run and return its end."""
        with self._call("Query", request, context):
            recorded = self._ledger.start(request.request_id, request.query.SerializeToString(deterministic=True))
            events = list(self._play(recorded, Cursor(), context))
            answer = answer_of(events[-1] if events else None)
            layers = [each.layer_closed.layer for each in events if each.HasField("layer_closed")]
            return pb.QueryResponse(run=recorded.summary(), answer=answer, layers=layers)

    def Synthesize(
        self, request: pb.SynthesizeRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.SynthesizeResponse]:
        """Start the run and play its events."""
        with self._call("Synthesize", request, context):
            recorded = self._ledger.start(request.request_id, request.query.SerializeToString(deterministic=True))
            for event in self._stream(recorded, request.after, context):
                yield pb.SynthesizeResponse(event=event)

    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchRunResponse]:
        """Play a run's events after a place."""
        with self._call("WatchRun", request, context):
            recorded = self._ledger.find(request.run_id, request.request_id)
            for event in self._stream(recorded, request.after, context):
                yield pb.WatchRunResponse(event=event)

    def LayerResult(self, request: pb.LayerResultRequest, context: grpc.ServicerContext) -> pb.LayerResultResponse:
        """Return a closed layer."""
        with self._call("LayerResult", request, context):
            return pb.LayerResultResponse(layer=self._ledger.find(request.run_id).layer(request.index))

    def CancelRun(self, request: pb.CancelRunRequest, context: grpc.ServicerContext) -> pb.CancelRunResponse:
        """End an open run."""
        with self._call("CancelRun", request, context):
            recorded = self._ledger.find(request.run_id, request.request_id)
            if not recorded.ended:
                self._ledger.extend(recorded, [ev.RunCancelled(by="caller")])
            return pb.CancelRunResponse(run=recorded.summary())

    def ExplainPlan(self, request: pb.ExplainPlanRequest, context: grpc.ServicerContext) -> pb.ExplainPlanResponse:
        """Return the plan that was set."""
        with self._call("ExplainPlan", request, context):
            return pb.ExplainPlanResponse(plan=self._plan)

    def ListMixtures(self, request: pb.ListMixturesRequest, context: grpc.ServicerContext) -> pb.ListMixturesResponse:
        """Return the mixtures that were set."""
        with self._call("ListMixtures", request, context):
            return pb.ListMixturesResponse(mixtures=self._mixtures)

    @contextmanager
    def _call(self, method: str, request: Message, context: grpc.ServicerContext) -> Iterator[None]:
        self._note(method, request, context)
        context.add_callback(self._ledger.wake)
        try:
            if self._ledger.refusals:
                raise self._ledger.refusals.popleft()
            yield
        except MoaError as error:
            _abort(error, context)

    def _stream(self, recorded: Recorded, place: Cursor, context: grpc.ServicerContext) -> Iterator[ev.Event]:
        cut = self._ledger.cuts.popleft() if self._ledger.cuts else None
        try:
            for count, event in enumerate(self._play(recorded, place, context)):
                if count == cut:
                    raise Unreachable("the fake cut the connection")
                yield event
        finally:
            if not context.is_active():
                self._ledger.leave()

    def _play(self, recorded: Recorded, place: Cursor, context: grpc.ServicerContext) -> Iterator[ev.Event]:
        for event in self._ledger.follow(recorded, place):
            if not context.is_active():
                return
            if event is not None:
                yield event


def _abort(error: MoaError, context: grpc.ServicerContext) -> None:
    # Unless the error says when to come back, the channel is told not to: what is scripted once is to be seen once.
    # Nor is 0 ever sent: the core then neither repeats the call nor ends it.
    pause = -1 if error.retry_after is None else max(1, round(error.retry_after * 1000))
    trailers: tuple[tuple[str, str | bytes], ...] = (("grpc-retry-pushback-ms", str(pause)),)
    if error.reason:
        trailers += ((DETAILS_KEY, pack(error.status, error.message)),)
    context.set_trailing_metadata(trailers)
    context.abort(error.code, error.message)
