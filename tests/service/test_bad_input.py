import asyncio
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import run_pb2
from moa.v1.plan_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_UNSPECIFIED,
    ROLE_USER,
    Budget,
    Image,
    LayerOverride,
    Message,
    Overrides,
    Part,
    Query,
    Sampling,
)
from tests.service.conftest import Serve, Served, query
from tests.service.refusals import Refusal, refusal, refusal_of_stream

NAN, INF = float("nan"), float("inf")


def said(role: Any, *texts: str) -> Message:  # noqa: ANN401 - any number
    return Message(role=role, parts=[Part(text=text) for text in texts])


USER = said(ROLE_USER, "hello")


def with_sampling(**fields: Any) -> Query:  # noqa: ANN401
    return Query(messages=[USER], overrides=Overrides(sampling=Sampling(**fields)))


def with_overrides(**fields: Any) -> Query:  # noqa: ANN401
    return Query(messages=[USER], overrides=Overrides(**fields))


def with_parts(*parts: Part) -> Query:
    return Query(messages=[Message(role=ROLE_USER, parts=parts)])


SAMPLING = "query.overrides.sampling"
BUDGET = "query.overrides.budget"
WRONG_QUERIES: dict[str, tuple[Query, str]] = {
    "no message": (Query(), "query.messages"),
    "too many messages": (Query(messages=[USER] * 6), "query.messages"),
    "no role": (Query(messages=[said(ROLE_UNSPECIFIED, "x"), USER]), "query.messages[0].role"),
    "a role of the future": (Query(messages=[said(99, "x"), USER]), "query.messages[0].role"),
    "a late system": (Query(messages=[USER, said(ROLE_SYSTEM, "x"), USER]), "query.messages[1].role"),
    "only a system": (Query(messages=[said(ROLE_SYSTEM, "x")]), "query.messages[0].role"),
    "the assistant last": (Query(messages=[USER, said(ROLE_ASSISTANT, "x")]), "query.messages[1].role"),
    "no parts": (Query(messages=[said(ROLE_USER)]), "query.messages[0].parts"),
    "an empty part": (with_parts(Part()), "query.messages[0].parts[0]"),
    "an empty text": (with_parts(Part(text="a"), Part(text="")), "query.messages[0].parts[1].text"),
    "a large message": (Query(messages=[said(ROLE_USER, "x" * 1001)]), "query.messages[0]"),
    "a large message of wide characters": (Query(messages=[said(ROLE_USER, "é" * 600)]), "query.messages[0]"),
    "an image without data": (
        with_parts(Part(image=Image(media_type="image/png"))),
        "query.messages[0].parts[0].image.data",
    ),
    "an image that is none": (
        with_parts(Part(image=Image(media_type="text/html", data=b"x"))),
        "query.messages[0].parts[0].image.media_type",
    ),
    "a long name": (Query(messages=[USER], mixture="m" * 200), "query.mixture"),
    "an unprintable name": (Query(messages=[USER], mixture="m\n"), "query.mixture"),
    "temperature too high": (with_sampling(temperature=2.1), f"{SAMPLING}.temperature"),
    "temperature too low": (with_sampling(temperature=-0.1), f"{SAMPLING}.temperature"),
    "temperature no number": (with_sampling(temperature=NAN), f"{SAMPLING}.temperature"),
    "top_p zero": (with_sampling(top_p=0), f"{SAMPLING}.top_p"),
    "top_p too high": (with_sampling(top_p=1.1), f"{SAMPLING}.top_p"),
    "top_p no number": (with_sampling(top_p=NAN), f"{SAMPLING}.top_p"),
    "max_tokens zero": (with_sampling(max_tokens=0), f"{SAMPLING}.max_tokens"),
    "max_tokens negative": (with_sampling(max_tokens=-1), f"{SAMPLING}.max_tokens"),
    "presence penalty": (with_sampling(presence_penalty=2.5), f"{SAMPLING}.presence_penalty"),
    "frequency penalty endless": (with_sampling(frequency_penalty=-INF), f"{SAMPLING}.frequency_penalty"),
    "an effort of the future": (with_sampling(reasoning_effort=99), f"{SAMPLING}.reasoning_effort"),
    "no tokens to reason": (with_sampling(reasoning_tokens=0), f"{SAMPLING}.reasoning_tokens"),
    "all tokens to reason": (with_sampling(reasoning_tokens=9, max_tokens=9), f"{SAMPLING}.reasoning_tokens"),
    "too many stops": (with_sampling(stop=["a"] * 5), f"{SAMPLING}.stop"),
    "an empty stop": (with_sampling(stop=["a", ""]), f"{SAMPLING}.stop[1]"),
    "a layer of nobody": (with_overrides(layers=[LayerOverride()]), "query.overrides.layers[0].agents"),
    "an agent without a name": (
        with_overrides(layers=[LayerOverride(agents=["one", ""])]),
        "query.overrides.layers[0].agents[1]",
    ),
    "too many layers": (with_overrides(layers=[LayerOverride(agents=["one"])] * 16), "query.overrides.layers"),
    "too many agents": (
        with_overrides(layers=[LayerOverride(agents=["one"] * 65)]),
        "query.overrides.layers[0].agents",
    ),
    "negative calls": (with_overrides(budget=Budget(calls=-1)), f"{BUDGET}.calls"),
    "negative tokens": (with_overrides(budget=Budget(tokens=-1)), f"{BUDGET}.tokens"),
    "negative money": (with_overrides(budget=Budget(cost_nanousd=-1)), f"{BUDGET}.cost_nanousd"),
    "negative time": (with_overrides(budget=Budget(time=Duration(seconds=-1))), f"{BUDGET}.time"),
    "time out of range": (with_overrides(budget=Budget(time=Duration(seconds=2**62))), f"{BUDGET}.time"),
    "half a schema": (with_overrides(response_schema='{"type": '), "query.overrides.response_schema"),
    "a schema that is a list": (with_overrides(response_schema="[1]"), "query.overrides.response_schema"),
    "a schema too deep": (with_overrides(response_schema="[" * 5000), "query.overrides.response_schema"),
}


@pytest.fixture
async def served(serve: Serve) -> Served:
    up: Served = await serve()
    return up


def check_invalid(refused: Refusal, field: str) -> None:
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    assert field in refused.fields
    assert field in refused.sentence
    assert refused.metadata["field"] == field
    assert not refused.sentence.endswith(".")


@pytest.mark.parametrize("what", WRONG_QUERIES)
async def test_a_query_that_breaks_a_rule_is_refused_and_the_field_is_named(served: Served, what: str) -> None:
    wrong, field = WRONG_QUERIES[what]
    check_invalid(await refusal(served.stub.Query(pb.QueryRequest(query=wrong))), field)
    check_invalid(await refusal_of_stream(served.stub.Synthesize(pb.SynthesizeRequest(query=wrong))), field)
    check_invalid(await refusal(served.stub.ExplainPlan(pb.ExplainPlanRequest(query=wrong))), field)
    assert all(model.asked == [] for model in served.models.values())
    assert served.engine.open_runs() == 0


@pytest.mark.parametrize("request_id", ["x" * 129, "tab\there", "line\n", "höher", "\0"])
async def test_a_request_id_is_short_and_plain(served: Served, request_id: str) -> None:
    check_invalid(await refusal(served.stub.Query(pb.QueryRequest(query=query(), request_id=request_id))), "request_id")


async def test_a_request_without_a_query_is_refused(served: Served) -> None:
    check_invalid(await refusal(served.stub.Query(pb.QueryRequest())), "query")


CURSORS = {
    "after.sequence": run_pb2.Cursor(epoch=1, sequence=-1),
    "after.epoch": run_pb2.Cursor(epoch=-1, sequence=1),
}


@pytest.mark.parametrize("field", CURSORS)
async def test_a_place_before_the_beginning_is_refused(served: Served, field: str) -> None:
    after = CURSORS[field]
    watch = pb.WatchRunRequest(run_id="r", after=after)
    check_invalid(await refusal_of_stream(served.stub.WatchRun(watch)), field)
    stream = pb.SynthesizeRequest(query=query(), after=after)
    check_invalid(await refusal_of_stream(served.stub.Synthesize(stream)), field)


async def test_a_sequence_without_an_epoch_is_refused(served: Served) -> None:
    watch = pb.WatchRunRequest(run_id="r", after=run_pb2.Cursor(sequence=3))
    check_invalid(await refusal_of_stream(served.stub.WatchRun(watch)), "after.epoch")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.WatchRunRequest(), "run_id"),
        (pb.WatchRunRequest(run_id=""), "run_id"),
        (pb.WatchRunRequest(request_id=""), "request_id"),
    ],
)
async def test_a_watcher_names_its_run(served: Served, request_: pb.WatchRunRequest, field: str) -> None:
    check_invalid(await refusal_of_stream(served.stub.WatchRun(request_)), field)


async def test_a_cancellation_names_its_run(served: Served) -> None:
    check_invalid(await refusal(served.stub.CancelRun(pb.CancelRunRequest())), "run_id")


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (pb.LayerResultRequest(), "run_id"),
        (pb.LayerResultRequest(run_id="r", index=-1), "index"),
        (pb.LayerResultRequest(run_id="r", wait=Duration(seconds=-5)), "wait"),
        (pb.LayerResultRequest(run_id="r", wait=Duration(nanos=-5)), "wait"),
    ],
)
async def test_a_layer_is_named_in_full(served: Served, request_: pb.LayerResultRequest, field: str) -> None:
    check_invalid(await refusal(served.stub.LayerResult(request_)), field)


async def test_everything_that_is_wrong_is_named_at_once(served: Served) -> None:
    wrong = with_sampling(temperature=9, top_p=9, max_tokens=-9)
    refused = await refusal(served.stub.Query(pb.QueryRequest(query=wrong, request_id="\n")))
    assert refused.fields == [f"{SAMPLING}.temperature", f"{SAMPLING}.top_p", f"{SAMPLING}.max_tokens", "request_id"]
    assert refused.sentence.endswith("and 3 more")


async def test_a_thousand_faults_still_fit_into_a_status(served: Served) -> None:
    stops = with_overrides(
        layers=[LayerOverride(agents=["", "\n"] * 30)] * 15, sampling=Sampling(stop=["", "x" * 300, "", ""])
    )
    refused = await refusal(served.stub.Query(pb.QueryRequest(query=stops)))
    assert refused.reason == "INVALID_REQUEST"
    assert len(refused.packed) < 4096
    assert refused.fields[-1] == "…"


async def test_a_request_over_its_limit_is_refused_and_named(served: Served) -> None:
    large = Query(messages=[USER], overrides=Overrides(response_schema=" " * 12_000))
    check_invalid(await refusal(served.stub.Query(pb.QueryRequest(query=large))), "query")


async def test_a_request_far_over_its_limit_is_not_even_read(served: Served) -> None:
    huge = Query(messages=[said(ROLE_USER, "x" * 100_000)])
    refused = await refusal(served.stub.Query(pb.QueryRequest(query=huge)))
    assert refused.code is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("raw", [b"\xff\xff\xff", b"\x0a\x05abc", b"\x12\x02\xff\xfe"])
async def test_bytes_that_are_no_request_are_refused(served: Served, raw: bytes) -> None:
    for name in ("Query", "LayerResult"):
        method: Any = served.channel.unary_unary(f"/moa.v1.MoaService/{name}")
        refused = await refusal(method(raw))
        assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")
    stream: Any = served.channel.unary_stream("/moa.v1.MoaService/Synthesize")
    refused = await refusal_of_stream(stream(raw))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_REQUEST")


async def test_an_override_that_is_not_allowed_is_refused(served: Served) -> None:
    wanted = with_overrides(layers=[LayerOverride(agents=["one"])])
    refused = await refusal(served.stub.Query(pb.QueryRequest(query=wanted)))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "OVERRIDE_REFUSED")


HOSTILE: dict[str, tuple[tuple[str, str | bytes], ...]] = {
    "garbage": (("traceparent", "~ garbage"), ("tracestate", "=,=,==")),
    "zeros": (("traceparent", "00-" + "0" * 32 + "-" + "0" * 16 + "-01"),),
    "binary": (("traceparent-bin", b"\xff\x00\xfe"), ("grpc-trace-bin", b"\x00" * 40)),
    "a huge one": (("authorization", "Bearer " + "x" * 4000),),
    "many": tuple(("baggage", f"k{i}=v{i}") for i in range(50)),
    "twice": (("traceparent", "a"), ("traceparent", "b")),
}


@pytest.mark.parametrize("metadata", HOSTILE)
async def test_hostile_metadata_harms_nothing(served: Served, metadata: str) -> None:
    response = await served.stub.Query(pb.QueryRequest(query=query()), metadata=HOSTILE[metadata])
    assert response.answer.text == "from boss"


async def test_metadata_beyond_all_measure_is_refused_by_the_transport(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError):
        await served.stub.Query(pb.QueryRequest(query=query()), metadata=(("authorization", "x" * 100_000),))
    assert (await served.stub.Query(pb.QueryRequest(query=query()))).answer.text == "from boss"


async def test_a_deadline_that_is_over_starts_nothing(served: Served) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await served.stub.Query(pb.QueryRequest(query=query(), request_id="late"), timeout=0)
    assert refused.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.sleep(0)
    assert all(model.asked == [] for model in served.models.values())
