"""Every status becomes its own exception."""

import copy
import pickle

import grpc
import pytest

import moa
from moa.errors import MoaError
from moa.status import Status, Violation, unpack
from moa.testing import FakeMoa
from moa.translation import BY_REASON, error_of, of_agent
from moa.v1.error_pb2 import (
    ERROR_REASON_MODEL_TIMEOUT,
    ERROR_REASON_QUORUM_MISSED,
    ERROR_REASON_UNSPECIFIED,
    ErrorReason,
)
from moa.v1.event_pb2 import Event, RunCancelled
from moa.v1.run_pb2 import AgentFailure, RunFailure
from tests.client.either import Either

REASONS = [
    name.removeprefix("ERROR_REASON_")
    for name in ErrorReason.DESCRIPTOR.values_by_name
    if name != "ERROR_REASON_UNSPECIFIED"
]
BARE = {
    grpc.StatusCode.CANCELLED: moa.CallCancelled,
    grpc.StatusCode.UNKNOWN: moa.ServerError,
    grpc.StatusCode.INVALID_ARGUMENT: moa.InvalidRequest,
    grpc.StatusCode.DEADLINE_EXCEEDED: moa.DeadlineExceeded,
    grpc.StatusCode.NOT_FOUND: moa.RequestError,
    grpc.StatusCode.ALREADY_EXISTS: moa.RequestError,
    grpc.StatusCode.PERMISSION_DENIED: moa.PermissionDenied,
    grpc.StatusCode.RESOURCE_EXHAUSTED: moa.LimitError,
    grpc.StatusCode.FAILED_PRECONDITION: moa.RequestError,
    grpc.StatusCode.ABORTED: moa.ServerError,
    grpc.StatusCode.OUT_OF_RANGE: moa.RequestError,
    grpc.StatusCode.UNIMPLEMENTED: moa.NotOffered,
    grpc.StatusCode.INTERNAL: moa.InternalError,
    grpc.StatusCode.UNAVAILABLE: moa.Unreachable,
    grpc.StatusCode.DATA_LOSS: moa.ServerError,
    grpc.StatusCode.UNAUTHENTICATED: moa.Unauthenticated,
}


def camel(reason: str) -> str:
    return "".join(word.capitalize() for word in reason.split("_"))


@pytest.mark.parametrize("reason", REASONS)
async def test_each_reason_is_the_exception_of_its_name(client: Either, fake: FakeMoa, reason: str) -> None:
    kind = getattr(moa, camel(reason))
    fake.refuses(kind("the thing went wrong"))
    with pytest.raises(kind, match=r"^the thing went wrong$") as caught:
        await client.call("mixtures")
    assert type(caught.value) is kind
    assert (caught.value.reason, caught.value.code) == (reason, kind.usual_code)


def test_every_reason_has_one_exception_and_nothing_else_has() -> None:
    assert set(BY_REASON) == set(REASONS)


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_a_bare_code_is_typed_too(client: Either, fake: FakeMoa, code: grpc.StatusCode) -> None:
    fake.refuses(MoaError("no details", Status(code)))
    with pytest.raises(BARE[code]) as caught:
        await client.call("mixtures")
    assert type(caught.value) is BARE[code]
    assert (caught.value.reason, caught.value.code) == ("", code)


async def test_a_reason_of_a_newer_server_falls_back_to_its_code(client: Either, fake: FakeMoa) -> None:
    fake.refuses(MoaError("hm", Status(grpc.StatusCode.NOT_FOUND, "AGENT_ON_HOLIDAY")))
    with pytest.raises(moa.RequestError) as caught:
        await client.call("mixtures")
    assert caught.value.reason == "AGENT_ON_HOLIDAY"


async def test_everything_the_server_said_is_on_the_error(client: Either, fake: FakeMoa) -> None:
    status = Status(
        grpc.StatusCode.INVALID_ARGUMENT,
        "INVALID_REQUEST",
        {"field": "query.messages", "trace_id": "4bf9"},
        (Violation("query.messages", "is empty"), Violation("query.mixture", "is too long")),
        1.5,
    )
    fake.refuses(moa.InvalidRequest("query.messages is empty", status))
    with pytest.raises(moa.InvalidRequest) as caught:
        await client.call("query", "")
    error = caught.value
    assert str(error) == "query.messages is empty"
    assert error.metadata == {"field": "query.messages", "trace_id": "4bf9"}
    assert error.violations == status.violations
    assert (error.retry_after, error.trace_id) == (1.5, "4bf9")


async def test_query_raises_how_the_run_failed(client: Either, fake: FakeMoa) -> None:
    failures = [AgentFailure(agent="fast", model="small", reason=ERROR_REASON_MODEL_TIMEOUT, detail="silent for 3 s")]
    fake.fails(
        RunFailure(
            reason=ERROR_REASON_QUORUM_MISSED, detail="1 of 2 agents answered", failures=failures, partial_text="Hal"
        )
    )
    with pytest.raises(moa.QuorumMissed, match="1 of 2") as caught:
        await client.call("query", "hello")
    assert caught.value.partial_text == "Hal"
    cause = caught.value.causes[0]
    assert isinstance(cause, moa.ModelTimeout)
    assert cause.metadata == {"agent": "fast", "model": "small"}


def test_a_failure_without_a_known_reason_is_still_typed() -> None:
    assert type(of_agent(AgentFailure(agent="fast", reason=ERROR_REASON_UNSPECIFIED))) is moa.ModelError
    newer = AgentFailure.FromString(AgentFailure(agent="fast").SerializeToString() + b"\x20\xe7\x07")
    assert of_agent(newer).reason == "999"


@pytest.mark.parametrize("garbage", [b"\xff\xff\xff", b"", "text"])
def test_details_that_are_no_status_count_as_nothing_said(garbage: bytes | str) -> None:
    status = unpack(grpc.StatusCode.NOT_FOUND, [("grpc-status-details-bin", garbage)])
    assert (status.code, status.reason) == (grpc.StatusCode.NOT_FOUND, "")


def test_errors_survive_pickling_and_copying() -> None:
    error = moa.RunNotFound("run 7f3 not found", Status(grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND", {"run_id": "7f3"}))
    for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error)):  # noqa: S301 - our own bytes
        assert (type(twin), str(twin), twin.metadata) == (moa.RunNotFound, "run 7f3 not found", {"run_id": "7f3"})


def test_who_cancelled_a_run_may_be_known_to_a_newer_server_alone() -> None:
    by_another = RunCancelled.FromString(b"\x08\xe7\x07")
    error = error_of(Event(run_cancelled=by_another), "r-1")
    assert isinstance(error, moa.RunCancelled)
    assert error.metadata == {"run_id": "r-1", "by": "999"}
