"""Says how a run ended."""

from grpc import StatusCode

from moa.errors import MoaError, RunCancelled, StreamCut
from moa.reasons import of_run
from moa.status import Status
from moa.v1.event_pb2 import Event
from moa.v1.run_pb2 import Answer

TERMINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled"})


def is_terminal(event: Event) -> bool:
    """Return whether nothing follows this event."""
    return event.WhichOneof("fact") in TERMINAL


def answer_of(event: Event | None) -> Answer:
    """Return the answer that a terminal event carries, or raise why there is none."""
    if event is not None and event.HasField("run_succeeded"):
        return event.run_succeeded.answer
    raise error_of(event)


def error_of(event: Event | None) -> MoaError:
    """Build the error that an end without an answer stands for."""
    if event is not None and event.HasField("run_failed"):
        return of_run(event.run_failed.failure, event.run_id)
    if event is not None and event.HasField("run_cancelled"):
        facts = {"run_id": event.run_id, "by": event.run_cancelled.by}
        status = Status(StatusCode.CANCELLED, RunCancelled.usual_reason(), facts)
        return RunCancelled(f"run {event.run_id} was cancelled by {event.run_cancelled.by}", status)
    return StreamCut("the stream was left before its terminal event")
