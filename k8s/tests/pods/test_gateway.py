"""What callers see through a gateway: balance by call, and the 15 s after which Envoy ends a route."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

import moa
from k8s.tests.pods.fleet import Fleet
from k8s.tests.pods.gateway import Gateway
from moa.v1.moa_service_pb2 import SynthesizeRequest
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa.v1.plan_pb2 import ROLE_USER, Message, Part, Query

_PLAIN = [("grpc.enable_retries", 0)]
_LONG = SynthesizeRequest(query=Query(messages=[Message(role=ROLE_USER, parts=[Part(text="hello")])], mixture="long"))


@pytest.fixture
async def fleet(tmp_path: Path, models: str) -> AsyncIterator[Fleet]:
    async with Fleet(tmp_path, models) as fleet:
        await fleet.start(fleet.pods[:2])
        yield fleet


@pytest.fixture
async def gateway(tmp_path: Path, fleet: Fleet) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path, [(pod.address, fleet.port) for pod in fleet.pods[:2]]) as gateway:
        yield gateway


async def test_one_connection_to_a_gateway_is_balanced_by_call(fleet: Fleet, gateway: Gateway) -> None:
    async with moa.AsyncClient(gateway.open, timeout=30) as client:
        for _ in range(20):
            await client.query("hello", mixture="quick")
    assert fleet.answered() == [10, 10, 0]


async def test_one_connection_to_one_address_stays_with_one_pod(fleet: Fleet) -> None:
    async with moa.AsyncClient(f"{fleet.pods[0].address}:{fleet.port}", timeout=30) as client:
        for _ in range(20):
            await client.query("hello", mixture="quick")
    assert fleet.answered() == [20, 0, 0]


async def outcome(target: str) -> grpc.StatusCode:
    """Return how a stream of 17 s ends for a caller that does not resume."""
    async with grpc.aio.insecure_channel(target, options=_PLAIN) as channel:
        call = MoaServiceStub(channel).Synthesize(_LONG, timeout=50)
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError as error:
            return error.code()
        return grpc.StatusCode.OK


async def test_a_stream_outlives_the_route_only_where_its_time_out_is_off(gateway: Gateway) -> None:
    trapped, whole = await asyncio.gather(outcome(gateway.trap), outcome(gateway.open))
    assert trapped is not grpc.StatusCode.OK
    assert whole is grpc.StatusCode.OK
