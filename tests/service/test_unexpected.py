import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import grpc
import pytest

from moa.v1 import moa_service_pb2 as pb
from moa_server.domain.errors import BudgetTooSmall, MoaError, Overloaded, QuotaExceeded, ShuttingDown
from moa_server.domain.event import AnswerDelta, Cursor, Event
from tests.service.conftest import NO_GRACE, Serve, ask, synthesize
from tests.service.refusals import refusal, refusal_of_stream
from tests.service.scripted import ScriptedEngine, cut, endless, event, silent


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("cannot even be printed")


FAULTS = [
    RuntimeError("secret-42"),
    KeyError("secret-42"),
    Unprintable(),
    TimeoutError("secret-42"),
    MoaError("secret-42"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: type(fault).__name__)
async def test_the_text_of_a_fault_never_leaves_the_house(serve: Serve, fault: Exception) -> None:
    served = await serve(engine=ScriptedEngine(refuse=fault))
    for refused in (
        await refusal(served.stub.Query(ask())),
        await refusal_of_stream(served.stub.Synthesize(synthesize())),
    ):
        assert refused.code is grpc.StatusCode.INTERNAL
        assert "secret" not in refused.sentence + str(refused.packed)
        assert refused.reason == "INTERNAL_ERROR"
        assert len(refused.metadata["trace_id"]) == 32


async def test_a_fault_in_the_middle_of_a_stream_ends_it_with_a_typed_status(serve: Serve) -> None:
    async def breaks(_run_id: str, _after: Cursor) -> AsyncIterator[Event]:
        yield event(1, AnswerDelta("first"))
        raise RuntimeError("secret-42")

    served = await serve(engine=ScriptedEngine(breaks))
    call = served.stub.Synthesize(synthesize())
    assert (await call.read()).run_id == "run"
    assert (await call.read()).events[0].answer_delta.text == "first"
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call.read()
    assert refused.value.code() is grpc.StatusCode.INTERNAL
    assert "secret" not in (refused.value.details() or "")


async def test_a_leaked_cancellation_is_a_fault_and_not_silence(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(refuse=asyncio.CancelledError()))
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")
    refused = await refusal_of_stream(served.stub.Synthesize(synthesize()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_ERROR")


async def test_the_watch_is_closed_when_the_caller_leaves(serve: Serve) -> None:
    engine = ScriptedEngine(silent)
    served = await serve(engine=engine)
    call = served.stub.Synthesize(synthesize())
    await call.read()
    await call.read()
    assert engine.watching == 1
    call.cancel()
    await asyncio.wait_for(engine.left.wait(), 10)
    assert engine.watching == 0


async def test_the_watch_is_closed_when_the_caller_of_a_query_leaves(serve: Serve) -> None:
    engine = ScriptedEngine(silent)
    served = await serve(engine=engine)
    with pytest.raises(grpc.aio.AioRpcError) as late:
        await served.stub.Query(ask(), timeout=0.1)
    assert late.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    await asyncio.wait_for(engine.left.wait(), 10)


async def test_a_caller_that_vanishes_while_it_is_written_to_leaves_nothing_behind(serve: Serve) -> None:
    engine = ScriptedEngine(endless)
    served = await serve(engine=engine)
    async with grpc.aio.insecure_channel(served.target) as channel:
        method: Any = channel.unary_stream("/moa.v1.MoaService/Synthesize")
        call = method(synthesize().SerializeToString())
        await call.read()
    await asyncio.wait_for(engine.left.wait(), 10)
    assert engine.watching == 0


async def test_a_caller_that_does_not_read_is_let_go_and_harms_no_other(serve: Serve) -> None:
    engine = ScriptedEngine(endless)
    served = await serve(engine=engine, listening=replace(NO_GRACE, longest_write_s=0.2))
    lazy = served.stub.Synthesize(synthesize())
    await lazy.read()
    other = served.stub.Synthesize(synthesize())
    for _ in range(300):
        await other.read()
    other.cancel()
    await asyncio.wait_for(engine.left.wait(), 10)
    engine.left.clear()
    if engine.watching:
        await asyncio.wait_for(engine.left.wait(), 10)
    assert engine.watching == 0
    assert await _code_at_the_end_of(lazy) is grpc.StatusCode.UNAVAILABLE


async def _code_at_the_end_of(stream: Any) -> grpc.StatusCode | None:  # noqa: ANN401
    try:
        while await stream.read():
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return None


async def test_a_stream_without_an_end_says_that_the_run_goes_on(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(cut))
    refused = await refusal_of_stream(served.stub.Synthesize(synthesize()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert refused.metadata == {"run_id": "run"}


async def test_what_is_left_of_the_callers_time_is_passed_on(serve: Serve) -> None:
    engine = ScriptedEngine(cut)
    served = await serve(engine=engine)
    await refusal(served.stub.Query(ask(request_id="r", detached=True), timeout=50))
    await refusal(served.stub.Query(ask()))
    (_, ticket, left), (_, _, none) = engine.started
    assert left is not None
    assert 40 < left < 51  # the transport rounds up
    assert none is None
    assert (ticket.caller, ticket.request_id, ticket.detached) == ("anonymous", "r", True)


async def test_the_same_question_has_the_same_fingerprint(serve: Serve) -> None:
    engine = ScriptedEngine(cut)
    served = await serve(engine=engine)
    await refusal(served.stub.Query(ask("a")))
    await refusal_of_stream(served.stub.Synthesize(synthesize("a", proposal_deltas=True)))
    await refusal(served.stub.Query(ask("b")))
    first, second, third = (ticket.fingerprint for _, ticket, _ in engine.started)
    assert first == second != third


async def test_overload_says_when_to_come_again(serve: Serve) -> None:
    full = Overloaded("the server is full", metadata={"limit": "open_runs"}, retry_after_s=1.5)
    served = await serve(engine=ScriptedEngine(refuse=full))
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert refused.retry_s == 1.5
    assert refused.trailers["grpc-retry-pushback-ms"] == "1500"


async def test_a_quota_is_the_callers_own(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(refuse=QuotaExceeded("used up", retry_after_s=60)))
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.retry_s) == (grpc.StatusCode.RESOURCE_EXHAUSTED, 60)


async def test_a_budget_that_is_too_small_says_which(serve: Serve) -> None:
    small = BudgetTooSmall("needs 13 calls", metadata={"limit": "calls", "needed": "13", "allowed": "4"})
    served = await serve(engine=ScriptedEngine(refuse=small))
    refused = await refusal(served.stub.Query(ask()))
    assert refused.code is grpc.StatusCode.FAILED_PRECONDITION
    assert refused.metadata == {"limit": "calls", "needed": "13", "allowed": "4"}


async def test_more_calls_than_may_be_open_are_shed_and_probes_are_not(serve: Serve) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: PLC0415

    engine = ScriptedEngine(silent)
    served = await serve(engine=engine, listening=replace(NO_GRACE, most_open_calls=1))
    call = served.stub.Synthesize(synthesize())
    await call.read()
    refused = await refusal(served.stub.ListMixtures(pb.ListMixturesRequest()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "OVERLOADED")
    assert int(refused.trailers["grpc-retry-pushback-ms"]) >= 500
    probe: Any = health_pb2_grpc.HealthStub(served.channel)
    assert (await probe.Check(health_pb2.HealthCheckRequest())).status == health_pb2.HealthCheckResponse.SERVING
    call.cancel()
    await asyncio.wait_for(engine.left.wait(), 10)


async def test_a_stopping_server_is_told_from_a_broken_one(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(refuse=ShuttingDown("the server is stopping")))
    refused = await refusal(served.stub.Query(ask()))
    assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
    assert "grpc-retry-pushback-ms" not in refused.trailers
