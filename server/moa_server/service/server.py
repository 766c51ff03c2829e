"""Serves the engine over gRPC, from the first call to an orderly stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

import grpc
import structlog
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from moa.v1.moa_service_pb2_grpc import add_MoaServiceServicer_to_server
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Listening
from moa_server.engine import Engine
from moa_server.security import Callers
from moa_server.service.admission import Admission
from moa_server.service.certificates import Certificates
from moa_server.service.handlers import Handlers
from moa_server.service.health import Health
from moa_server.service.identity import Identity
from moa_server.service.interceptor import Interceptor
from moa_server.service.reflection import add_reflection
from moa_server.service.server_options import options

_LAST_EVENTS_S = 5.0
"""How long callers have to read the end of their runs, once these have ended."""
_logger = structlog.get_logger(__name__)


class AddressUnavailable(Exception):
    """The server cannot listen on its address."""


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that is being served."""

    port: int
    """The port callers reach it on."""
    health: Health
    health_port: int | None = None
    """The port of the plain health service, where there is one."""


@asynccontextmanager
async def serving(
    engine: Engine, listening: Listening, limits: Limits, callers: Callers, *, ready: bool = True
) -> AsyncIterator[Serving]:
    """Serve ``engine`` while the context lasts; then stop in order. Its health says at first whether it is ``ready``.

    Raises:
        AddressUnavailable: the port is taken, or the address is not this machine's.
        CertificateRefused: the certificate cannot be used.
    """
    health, admission = Health(), Admission(listening.most_open_calls)
    health.set_ready(ready)
    interceptor = Interceptor(
        Identity(callers, certificates=_demands_certificates(listening)),
        admission,
        longest_write_s=listening.longest_write_s,
    )
    server = grpc.aio.server(interceptors=[interceptor], options=options(listening, limits))
    add_MoaServiceServicer_to_server(Handlers(engine, limits), server)
    add_HealthServicer_to_server(health, server)
    if listening.reflection:
        add_reflection(server)
    async with _probed(listening, health, limits) as health_port:
        port = _bind(server, listening)
        await server.start()
        _logger.info("server.started", address=listening.listen, port=port, tls=listening.tls is not None)
        try:
            yield Serving(port, health, health_port)
        finally:
            await _stop(server, engine, health, admission, listening.drain_grace_s)


@asynccontextmanager
async def _probed(listening: Listening, health: Health, limits: Limits) -> AsyncIterator[int | None]:
    """Answer probes on an address of their own, which may be plain where callers' is not."""
    if listening.health_listen is None:
        yield None
        return
    server = grpc.aio.server(options=options(listening, limits))
    add_HealthServicer_to_server(health, server)
    port = _listen(server, listening.health_listen, None)
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


async def _stop(server: grpc.aio.Server, engine: Engine, health: Health, admission: Admission, grace_s: float) -> None:
    """Send callers elsewhere, let the runs end, let their ends be read, and close."""
    _logger.info("server.stopping", open_runs=engine.open_runs(), open_calls=admission.open_calls)
    health.enter_graceful_shutdown()
    await engine.close(grace_s)
    with suppress(TimeoutError):
        async with asyncio.timeout(_LAST_EVENTS_S):
            await admission.emptied()
    health.close()
    await server.stop(0.1)
    _logger.info("server.stopped")


def _bind(server: grpc.aio.Server, listening: Listening) -> int:
    certificates = None if listening.tls is None else Certificates(listening.tls)
    return _listen(server, listening.listen, certificates)


def _listen(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            port = server.add_insecure_port(address)
        else:
            port = server.add_secure_port(address, certificates.credentials())
    except RuntimeError:
        port = 0
    if not port:
        raise AddressUnavailable(f"cannot listen on {address}; another process does, or it is not this machine's")
    return port


def _demands_certificates(listening: Listening) -> bool:
    return listening.tls is not None and listening.tls.client_ca is not None
