"""Structured answers over real sockets: schemas that are refused, and checks that hold nobody up."""

import asyncio
import json

import grpc
import pytest

from moa import AsyncClient
from moa.v1 import moa_service_pb2 as pb
from moa.v1 import plan_pb2
from moa.v1.error_pb2 import ERROR_REASON_ANSWER_MISMATCH, ERROR_REASON_MODEL_UNREACHABLE
from moa_server.domain.errors import ModelUnreachable
from tests.engine.fakes import FakeModel, failing, saying, spec
from tests.service.conftest import Serve, query
from tests.service.refusals import refusal, refusal_of_stream

TOO_COSTLY = {
    "unique objects": {"type": "array", "items": {"type": "object"}, "uniqueItems": True},
    "unevaluated properties": {"anyOf": [{"anyOf": [{"unevaluatedProperties": False}]}]},
    "references that double": {
        "$defs": {**{f"s{n}": {"allOf": [{"$ref": f"#/$defs/s{n + 1}"}] * 2} for n in range(40)}, "s40": {}},
        "$ref": "#/$defs/s0",
    },
}
NUMBERS = {"type": "array", "items": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}


def asked(schema: object) -> plan_pb2.Query:
    return query(overrides=plan_pb2.Overrides(response_schema=json.dumps(schema)))


@pytest.mark.parametrize("schema", TOO_COSTLY.values(), ids=TOO_COSTLY)
async def test_a_schema_that_costs_too_much_is_refused_before_anything_is_called(serve: Serve, schema: object) -> None:
    served = await serve()
    stub, wanted = served.stub, asked(schema)
    for refused in (
        await refusal(stub.Query(pb.QueryRequest(query=wanted))),
        await refusal_of_stream(stub.Synthesize(pb.SynthesizeRequest(query=wanted))),
        await refusal(stub.ExplainPlan(pb.ExplainPlanRequest(query=wanted))),
    ):
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_TOO_COSTLY")
        assert refused.fields == ["query.overrides.response_schema"] == [refused.metadata["field"]]
        assert {"limit", "needed", "allowed"} <= refused.metadata.keys()
    assert all(model.asked == [] for model in served.models.values())


async def test_others_are_served_while_a_large_answer_is_checked(serve: Serve) -> None:
    boss = FakeModel(spec("boss"), saying(json.dumps([1] * 150_000)))
    served = await serve({"one": FakeModel(spec("one")), "boss": boss})
    run = asyncio.ensure_future(served.stub.Query(pb.QueryRequest(query=asked(NUMBERS))))
    await boss.finished.wait()
    served_meanwhile = 0
    while not run.done():
        await served.stub.ListMixtures(pb.ListMixturesRequest())
        served_meanwhile += not run.done()
    assert len((await run).answer.text) > 150_000
    assert served_meanwhile >= 5


async def test_a_caller_is_told_why_a_repair_failed_and_has_the_first_text(serve: Serve) -> None:
    boss = FakeModel(spec("boss"), saying('["1"]'), failing(ModelUnreachable("boss could not be connected to")))
    served = await serve({"one": FakeModel(spec("one")), "boss": boss})
    async with AsyncClient(served.target) as client:
        events = [event async for event in client.synthesize(asked(NUMBERS))]
    failed = events[-1].run_failed.failure
    assert failed.reason == ERROR_REASON_ANSWER_MISMATCH
    assert failed.detail.endswith("its repair failed: boss could not be connected to")
    assert failed.partial_text == '["1"]'
    assert [failure.reason for failure in failed.failures] == [ERROR_REASON_MODEL_UNREACHABLE]
