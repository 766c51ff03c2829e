"""Asks a server how it is, by the standard health service."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest
from grpc_health.v1.health_pb2_grpc import HealthStub


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
