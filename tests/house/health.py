"""Asks a server how it is, by the standard health service."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub

_PATIENCE_S = 30.0


async def health_of(target: str, service: str = "") -> int:
    """Return the status of a service of the server at an address."""
    async with grpc.aio.insecure_channel(target) as channel:
        return await health(channel, service)


async def until(target: str, wanted: int, service: str = "") -> None:
    """Wait until a service has the status that is wanted."""
    async with asyncio.timeout(_PATIENCE_S), grpc.aio.insecure_channel(target) as channel:
        async for status in health_changes(channel, service):
            if status == wanted:
                return


async def health(channel: grpc.aio.Channel, service: str = "") -> int:
    """Return the status of a service, of the whole server unless one is named."""
    status: int = (await _stub(channel).Check(HealthCheckRequest(service=service))).status
    return status


async def health_changes(channel: grpc.aio.Channel, service: str = "") -> AsyncIterator[int]:
    """Give the status now, and whenever it changes."""
    async for told in _stub(channel).Watch(HealthCheckRequest(service=service)):
        yield told.status


def _stub(channel: grpc.aio.Channel) -> Any:  # noqa: ANN401 - the stubs of the package leave its methods out
    return HealthStub(channel)
