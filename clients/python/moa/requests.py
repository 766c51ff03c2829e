"""Writes the requests that name a run or a plan."""

from google.protobuf.duration_pb2 import Duration

from moa.query_form import QueryOptions, Question, query
from moa.v1.moa_service_pb2 import CancelRunRequest, ExplainPlanRequest, LayerResultRequest, WatchRunRequest
from moa.v1.run_pb2 import Cursor


def watch(run_id: str, request_id: str, after: Cursor | None) -> WatchRunRequest:
    """Name a run by the server's id, else by the caller's, and a place in it."""
    if run_id:
        return WatchRunRequest(run_id=run_id, after=after)
    return WatchRunRequest(request_id=request_id, after=after)


def cancel(run_id: str, request_id: str) -> CancelRunRequest:
    """Name a run by the server's id, else by the caller's."""
    return CancelRunRequest(run_id=run_id) if run_id else CancelRunRequest(request_id=request_id)


def layer_result(run_id: str, index: int, wait: float | None) -> LayerResultRequest:
    """Name a layer, and how long to wait for it."""
    request = LayerResultRequest(run_id=run_id, index=index)
    if wait is not None:
        request.wait.CopyFrom(_duration(wait))
    return request


def explain(question: Question, options: QueryOptions) -> ExplainPlanRequest:
    """Write the request for a plan."""
    return ExplainPlanRequest(query=query(question, options))


def _duration(seconds: float) -> Duration:
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration
