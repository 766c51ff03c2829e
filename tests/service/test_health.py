import asyncio
from dataclasses import replace
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from moa_server.domain.operation import KnownCaller
from moa_server.security import Callers
from tests.service.conftest import NO_GRACE, Serve
from tests.service.scripted import ScriptedEngine

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
PARTS = ["", "moa.v1.MoaService", "moa.liveness", "moa.readiness"]


def health(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - the library ships no types of its stub
    return HealthStub(channel)


class Token:
    def reveal(self) -> str:
        return "t"


@pytest.mark.parametrize("part", PARTS)
async def test_a_probe_needs_no_token(serve: Serve, part: str) -> None:
    served = await serve(engine=ScriptedEngine(), callers=Callers([KnownCaller("x", Token())]))
    assert (await health(served.channel).Check(HealthCheckRequest(service=part))).status == SERVING


async def test_an_unknown_part_has_no_health(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine())
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await health(served.channel).Check(HealthCheckRequest(service="nope"))
    assert refused.value.code() is grpc.StatusCode.NOT_FOUND
    watch = health(served.channel).Watch(HealthCheckRequest(service="nope"))
    assert (await watch.read()).status == HealthCheckResponse.SERVICE_UNKNOWN
    watch.cancel()


async def test_a_watcher_that_leaves_takes_the_news_from_nobody(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine())
    stub, request = health(served.channel), HealthCheckRequest(service="moa.readiness")
    leaving, staying = stub.Watch(request), stub.Watch(request)
    assert (await leaving.read()).status == (await staying.read()).status == SERVING
    leaving.cancel()
    await stub.Check(request)
    served.serving.health.set_journal_reached(False)
    assert (await staying.read()).status == NOT_SERVING
    served.serving.health.set_journal_reached(True)
    assert (await staying.read()).status == SERVING
    staying.cancel()


async def test_callers_stay_while_the_journal_is_away_and_new_work_goes_elsewhere(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine())
    stub = health(served.channel)
    found = []
    for reached in (False, True):
        served.serving.health.set_journal_reached(reached)
        found.append([(await stub.Check(HealthCheckRequest(service=part))).status for part in PARTS])
    assert found == [[NOT_SERVING, SERVING, SERVING, NOT_SERVING], [SERVING] * 4]


async def test_a_server_that_drains_is_alive_but_takes_no_work(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine())
    stub = health(served.channel)
    served.serving.health.enter_graceful_shutdown()
    served.serving.health.set_journal_reached(True)
    found = [(await stub.Check(HealthCheckRequest(service=part))).status for part in PARTS]
    assert found == [NOT_SERVING, NOT_SERVING, SERVING, NOT_SERVING]


async def test_probes_have_an_address_of_their_own_where_it_is_wanted(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(), listening=replace(NO_GRACE, health_listen="127.0.0.1:0"))
    assert served.serving.health_port not in {None, 0, served.serving.port}
    async with grpc.aio.insecure_channel(f"127.0.0.1:{served.serving.health_port}") as channel:
        assert (await health(channel).Check(HealthCheckRequest())).status == SERVING
        method: Any = channel.unary_unary("/moa.v1.MoaService/Query")
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await method(b"")
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED


async def test_those_who_watch_hear_of_the_stop_and_do_not_hold_it_up() -> None:
    from moa_server.domain.limits import Limits  # noqa: PLC0415
    from moa_server.service.server import serving  # noqa: PLC0415

    engine = ScriptedEngine()
    async with asyncio.timeout(10):
        async with serving(engine, replace(NO_GRACE, drain_grace_s=7.0), Limits(), Callers()) as up:  # type: ignore[arg-type]
            channel = grpc.aio.insecure_channel(f"127.0.0.1:{up.port}")
            watch = health(channel).Watch(HealthCheckRequest())
            assert (await watch.read()).status == SERVING
        assert (await watch.read()).status == NOT_SERVING
        assert await watch.read() is grpc.aio.EOF
        await channel.close()
    assert engine.closed_with == [7.0]
