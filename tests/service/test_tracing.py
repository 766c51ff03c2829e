import asyncio
from collections.abc import Iterator

import grpc
import pytest
from opentelemetry.trace import SpanKind, StatusCode

from moa.v1 import moa_service_pb2 as pb
from moa_server.domain.errors import ModelTimeout
from moa_server.telemetry import names
from tests.engine.fakes import FakeModel, failing, saying, spec
from tests.service.conftest import Serve, ask, synthesize
from tests.service.refusals import refusal
from tests.service.scripted import ScriptedEngine, silent
from tests.telemetry.spans import Spans, measure, measured, recorded

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
QUERY = "moa.v1.MoaService/Query"
LENGTHS = {"one": 30, "two": 10, "boss": 30}


@pytest.fixture
def spans() -> Iterator[Spans]:
    measure()
    with recorded() as found:
        yield found


async def test_the_callers_trace_goes_on_through_the_run_to_its_agents(serve: Serve, spans: Spans) -> None:
    served = await serve()
    await served.stub.Query(ask(), metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"),))
    await served.channel.close()
    (server,) = await spans.ended(QUERY)
    assert server.kind is SpanKind.SERVER
    assert server.parent is not None
    assert f"{server.parent.span_id:016x}" == SPAN
    contexts = [span.get_span_context() for span in spans.all()]
    assert {f"{context.trace_id:032x}" for context in contexts if context} == {TRACE}
    assert None not in contexts
    assert spans.children_of(server) == ["invoke_workflow mix"]
    (run,) = spans.named("invoke_workflow mix")
    assert spans.children_of(run) == ["layer 0", "layer 1"]
    (layer,) = spans.named("layer 0")
    assert spans.children_of(layer) == ["invoke_agent one", "invoke_agent two"]


async def test_a_runs_span_tells_how_long_the_answer_is_beside_what_it_was_written_from(
    serve: Serve, spans: Spans
) -> None:
    served = await serve({name: FakeModel(spec(name), saying("x" * size)) for name, size in LENGTHS.items()})
    await served.stub.Query(ask())
    await served.channel.close()
    (run,) = spans.named("invoke_workflow mix")
    assert (run.attributes or {})[names.LENGTH_RATIO] == 1.5


async def test_a_call_is_described_as_the_conventions_have_it(serve: Serve, spans: Spans) -> None:
    served = await serve()
    await served.stub.Query(ask())
    (server,) = await spans.ended(QUERY)
    assert dict(server.attributes or {}) == {
        names.RPC_SYSTEM: "grpc",
        names.RPC_METHOD: QUERY,
        names.RPC_STATUS: "OK",
        names.CALLER: "anonymous",
    }
    assert server.status.status_code is StatusCode.UNSET


async def test_a_refusal_is_the_callers_and_a_failure_is_ours(serve: Serve, spans: Spans) -> None:
    served = await serve({"one": FakeModel(spec("one"), failing(ModelTimeout("x"))), "boss": FakeModel(spec("boss"))})
    await refusal(served.stub.Query(pb.QueryRequest()))
    await refusal(served.stub.Query(ask()))
    refused, failed = await spans.ended(QUERY, 2)
    assert (refused.attributes or {})[names.ERROR_TYPE] == "INVALID_ARGUMENT"
    assert refused.status.status_code is StatusCode.UNSET
    assert (failed.attributes or {})[names.ERROR_TYPE] == "UNAVAILABLE"
    assert failed.status.status_code is StatusCode.ERROR


async def test_a_fault_is_quoted_by_its_trace_and_its_text_is_in_no_span(serve: Serve, spans: Spans) -> None:
    served = await serve(engine=ScriptedEngine(refuse=RuntimeError("secret-42")))
    refused = await refusal(served.stub.Query(ask(), metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"),)))
    assert refused.metadata["trace_id"] == TRACE
    (server,) = await spans.ended(QUERY)
    assert "secret" not in server.to_json()


async def test_a_caller_that_left_is_seen(serve: Serve, spans: Spans) -> None:
    engine = ScriptedEngine(silent)
    served = await serve(engine=engine)
    call = served.stub.Synthesize(synthesize())
    await call.read()
    call.cancel()
    await asyncio.wait_for(engine.left.wait(), 10)
    (server,) = await spans.ended("moa.v1.MoaService/Synthesize")
    assert (server.attributes or {})[names.RPC_STATUS] == "CANCELLED"


@pytest.mark.usefixtures("spans")
async def test_the_trace_of_the_call_is_kept_with_the_run(serve: Serve) -> None:
    engine = ScriptedEngine(silent)
    served = await serve(engine=engine)
    call = served.stub.Synthesize(synthesize(), metadata=(("traceparent", f"00-{TRACE}-{SPAN}-01"),))
    await call.read()
    call.cancel()
    ((_, ticket, _),) = engine.started
    version, trace_id, span_id, flags = ticket.traceparent.split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert span_id != SPAN


async def test_a_trace_that_its_caller_does_not_sample_is_not_sampled_here(serve: Serve, spans: Spans) -> None:
    served = await serve()
    await served.stub.Query(ask(), metadata=(("traceparent", f"00-{TRACE}-{SPAN}-00"),))
    assert spans.all() == ()


@pytest.mark.parametrize("traceparent", ["nonsense", f"00-{'0' * 32}-{SPAN}-01", f"ff-{TRACE}-{SPAN}-01"])
async def test_a_trace_that_is_none_begins_anew(serve: Serve, spans: Spans, traceparent: str) -> None:
    served = await serve()
    await served.stub.Query(ask(), metadata=(("traceparent", traceparent),))
    (server,) = await spans.ended(QUERY)
    assert server.parent is None


@pytest.mark.usefixtures("spans")
async def test_how_long_calls_took_is_counted(serve: Serve) -> None:
    served = await serve()
    await served.stub.ListMixtures(pb.ListMixturesRequest())
    await refusal(served.stub.ExplainPlan(pb.ExplainPlanRequest()))
    assert await calls_counted("moa.v1.MoaService/ListMixtures", "OK", None) >= 1
    assert await calls_counted("moa.v1.MoaService/ExplainPlan", "INVALID_ARGUMENT", "INVALID_ARGUMENT") >= 1


async def calls_counted(*kind: str | None) -> int:
    """How many calls of a kind were counted; a caller has its status a moment before the call is."""
    while True:
        for attributes, point in measured(names.RPC_SERVER_DURATION):
            found = (attributes[names.RPC_METHOD], attributes[names.RPC_STATUS], attributes.get(names.ERROR_TYPE))
            if found == kind:
                return int(point.count)
        await asyncio.sleep(0.001)


async def test_probes_are_not_traced(serve: Serve, spans: Spans) -> None:
    served = await serve(engine=ScriptedEngine())
    await served.channel.unary_unary("/grpc.health.v1.Health/Check")(b"")
    with pytest.raises(grpc.aio.AioRpcError):
        await served.channel.unary_unary("/moa.v1.MoaService/Nope")(b"")
    assert spans.all() == ()
