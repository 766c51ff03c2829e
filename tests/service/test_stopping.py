import asyncio
import os
import signal
from dataclasses import replace

import grpc
import pytest

from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.run_pb2 import CANCELLED_BY_OPERATOR
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Rules
from moa_server.security import Callers
from moa_server.service.event_loop import loop_factory, stop_signals
from moa_server.service.server import serving
from tests.engine.fakes import FakeModel, once, silent, spec
from tests.service.conftest import NO_GRACE, ask, engine_of, events_of, synthesize
from tests.service.refusals import refusal


async def test_a_run_is_finished_and_read_to_its_end_before_the_server_stops() -> None:
    gate = asyncio.Event()
    models = {"one": FakeModel(spec("one"), once(gate, "late")), "boss": FakeModel(spec("boss"))}
    async with engine_of(models, Limits(), Rules()) as engine:
        context = serving(engine, replace(NO_GRACE, drain_grace_s=30), Limits(), Callers())
        up = await context.__aenter__()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{up.port}") as channel:
            stub = MoaServiceStub(channel)
            stream = stub.Synthesize(synthesize())
            await stream.read()
            await models["one"].called.wait()
            stopping = asyncio.create_task(context.__aexit__(None, None, None))
            await asyncio.sleep(0)  # the stop begins at once
            refused = await refusal(stub.Query(ask()))
            assert (refused.code, refused.reason) == (grpc.StatusCode.UNAVAILABLE, "SHUTTING_DOWN")
            gate.set()
            events = await events_of(stream)
            assert events[-1].WhichOneof("fact") == "run_succeeded"
            await stopping


async def test_a_run_that_outlasts_the_grace_is_cancelled_and_its_caller_told() -> None:
    models = {"one": FakeModel(spec("one"), silent()), "boss": FakeModel(spec("boss"))}
    async with engine_of(models, Limits(), Rules()) as engine:
        async with serving(engine, NO_GRACE, Limits(), Callers()) as up:
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{up.port}")
            stream = MoaServiceStub(channel).Synthesize(synthesize())
            await stream.read()
            await models["one"].called.wait()
        events = await events_of(stream)
        assert events[-1].run_cancelled.by == CANCELLED_BY_OPERATOR
        assert models["one"].asked[0].cancelled
        await channel.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_process_hears_that_it_should_stop(number: signal.Signals) -> None:
    with stop_signals() as asked:
        os.kill(os.getpid(), number)
        assert await asked is number


def test_the_server_answers_on_the_loop_that_is_chosen() -> None:
    async def answered() -> str:
        models = {"one": FakeModel(spec("one")), "boss": FakeModel(spec("boss"))}
        async with (
            engine_of(models, Limits(), Rules()) as engine,
            serving(engine, NO_GRACE, Limits(), Callers()) as up,
            grpc.aio.insecure_channel(f"127.0.0.1:{up.port}") as channel,
        ):
            return (await MoaServiceStub(channel).Query(ask())).answer.text

    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        assert runner.run(answered()) == "from boss"
