from dataclasses import dataclass
from typing import Any

import grpc
import pytest

from moa.v1 import moa_service_pb2 as pb
from moa_server.domain.operation import KnownCaller
from moa_server.security import Callers
from tests.service.conftest import Serve, Served, ask, query
from tests.service.refusals import refusal, refusal_of_stream


@dataclass
class Token:
    value: str

    def reveal(self) -> str:
        return self.value


KNOWN = Callers(
    [
        KnownCaller("billing", Token("b"), ("other",)),
        KnownCaller("search", Token("s")),
    ]
)


def bearing(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


BILLING, SEARCH = bearing("b"), bearing("s")


@pytest.fixture
async def served(serve: Serve) -> Served:
    up: Served = await serve(callers=KNOWN)
    return up


@pytest.mark.parametrize("metadata", [(), bearing("wrong"), (("authorization", "Basic eDp4"),), bearing("")])
async def test_who_is_not_known_gets_nothing(served: Served, metadata: tuple[tuple[str, str], ...]) -> None:
    stub = served.stub
    for call in (
        stub.Query(ask(), metadata=metadata),
        stub.ListMixtures(pb.ListMixturesRequest(), metadata=metadata),
        stub.ExplainPlan(pb.ExplainPlanRequest(), metadata=metadata),
        stub.CancelRun(pb.CancelRunRequest(), metadata=metadata),
        stub.LayerResult(pb.LayerResultRequest(), metadata=metadata),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
    refused = await refusal_of_stream(stub.WatchRun(pb.WatchRunRequest(), metadata=metadata))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED
    reflection: Any = served.channel.stream_stream("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo")
    refused = await refusal_of_stream(reflection(iter([b""]), metadata=metadata))
    assert refused.code is grpc.StatusCode.UNAUTHENTICATED


async def test_who_is_known_is_answered(served: Served) -> None:
    assert (await served.stub.Query(ask(), metadata=SEARCH)).answer.text == "from boss"


async def test_a_caller_uses_and_sees_only_its_mixtures(served: Served) -> None:
    listed = await served.stub.ListMixtures(pb.ListMixturesRequest(), metadata=BILLING)
    assert [mixture.name for mixture in listed.mixtures] == ["other"]
    asked = pb.QueryRequest(query=query(mixture="other"))
    assert (await served.stub.Query(asked, metadata=BILLING)).answer.text == "from boss"
    for mixture in ("", "mix", "no-such-mixture"):
        refused = await refusal(served.stub.Query(pb.QueryRequest(query=query(mixture=mixture)), metadata=BILLING))
        assert (refused.code, refused.reason) == (grpc.StatusCode.PERMISSION_DENIED, "PERMISSION_DENIED")
        explain = pb.ExplainPlanRequest(query=query(mixture=mixture))
        assert (await refusal(served.stub.ExplainPlan(explain, metadata=BILLING))).reason == "PERMISSION_DENIED"


async def test_another_callers_run_is_as_if_it_were_not(served: Served) -> None:
    run_id = (await served.stub.Query(ask(request_id="r"), metadata=SEARCH)).run.run_id
    stub = served.stub
    for call in (
        stub.LayerResult(pb.LayerResultRequest(run_id=run_id), metadata=BILLING),
        stub.CancelRun(pb.CancelRunRequest(run_id=run_id), metadata=BILLING),
        stub.CancelRun(pb.CancelRunRequest(request_id="r"), metadata=BILLING),
    ):
        refused = await refusal(call)
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")
    for request in (pb.WatchRunRequest(run_id=run_id), pb.WatchRunRequest(request_id="r")):
        refused = await refusal_of_stream(stub.WatchRun(request, metadata=BILLING))
        assert (refused.code, refused.reason) == (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND")


async def test_request_ids_are_each_callers_own(served: Served) -> None:
    mine = pb.QueryRequest(query=query(mixture="other"), request_id="r")
    first = await served.stub.Query(mine, metadata=SEARCH)
    second = await served.stub.Query(mine, metadata=BILLING)
    assert first.run.run_id != second.run.run_id
