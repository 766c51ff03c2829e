"""Serves the engine over gRPC, from the first call to an orderly stop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

import grpc
import structlog
from grpc_health.v1 import health as library_health
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from grpc_reflection.v1alpha import reflection, reflection_pb2

from moa.v1.moa_service_pb2_grpc import add_MoaServiceServicer_to_server
from moa_server.domain.limits import Limits
from moa_server.domain.operation import Listening
from moa_server.engine import Engine
from moa_server.security import Callers
from moa_server.service.admission import Admission
from moa_server.service.certificates import Certificates
from moa_server.service.handlers import Handlers
from moa_server.service.health import SERVICE, Health
from moa_server.service.interceptor import Interceptor
from moa_server.service.wire.pages import MOST_BYTES

_LAST_EVENTS_S: Final = 5.0
"""How long callers have to read the end of their runs, once these have ended."""
_NEVER: Final = 2**31 - 1
_REFLECTION_V1: Final = "grpc.reflection.v1.ServerReflection"
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
    engine: Engine, listening: Listening, limits: Limits, callers: Callers, *, journal_reached: bool = True
) -> AsyncIterator[Serving]:
    """Serve ``engine`` while the context lasts; then stop in order. Nobody is to come before the journal is reached.

    Raises:
        AddressUnavailable: the port is taken, or the address is not this machine's.
        CertificateRefused: the certificate cannot be used.
    """
    tls = listening.tls
    health = Health()
    health.set_journal_reached(journal_reached)
    admission = Admission(
        callers, most=listening.most_open_calls, certificates=tls is not None and tls.client_ca is not None
    )
    interceptor = Interceptor(admission, longest_write_s=listening.longest_write_s)
    server = grpc.aio.server(interceptors=[interceptor], options=_options(listening, limits))
    add_MoaServiceServicer_to_server(Handlers(engine, limits), server)
    add_HealthServicer_to_server(health, server)
    if listening.reflection:
        _add_reflection(server)
    async with _probed(listening, health, limits) as health_port:
        port = _listen(server, listening.listen, None if tls is None else Certificates(tls))
        await server.start()
        _logger.info("server.started", address=listening.listen, port=port, tls=tls is not None)
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
    server = grpc.aio.server(options=_options(listening, limits))
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
    # Not before: probes that watch are to see it alive while it drains.
    health.close()
    await server.stop(0.1)
    _logger.info("server.stopped")


def _listen(server: grpc.aio.Server, address: str, certificates: Certificates | None) -> int:
    try:
        if certificates is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, certificates.credentials())
    except RuntimeError:
        message = f"cannot listen on {address}; another process does, or it is not this machine's"
        raise AddressUnavailable(message) from None


def _options(listening: Listening, limits: Limits) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a second server takes the same port, and half of the callers
        # The default of 1,000 refuses bursts at random.
        ("grpc.server.max_pending_requests", 2 * listening.most_open_calls),
        ("grpc.server.max_pending_requests_hard_limit", 4 * listening.most_open_calls),
        # Twice the request: what is a little too large gets a typed refusal, what is far too large is not even read.
        ("grpc.max_receive_message_length", 2 * limits.request_size),
        ("grpc.max_send_message_length", MOST_BYTES),
        # A caller that is gone without a word is noticed within half a minute. The second limit alone does nothing: the
        # third, of a minute by default, governs.
        ("grpc.keepalive_time_ms", 20_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),  # half of what our clients do
        ("grpc.max_connection_age_ms", _milliseconds(listening.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(listening.age_grace_s(limits.run_time.maximum_s))),
        ("grpc.enable_http_proxy", 0),
    ]


def _milliseconds(seconds: float | None) -> int:
    return _NEVER if seconds is None else min(_NEVER, round(seconds * 1000))


def _add_reflection(server: grpc.aio.Server) -> None:
    """Show the contract to tools that ask for it, in both versions of the protocol."""
    names = (SERVICE, library_health.SERVICE_NAME, reflection.SERVICE_NAME, _REFLECTION_V1)
    servicer = reflection.aio.ReflectionServicer(service_names=names)
    # The messages of v1 are those of v1alpha under another name; the library serves only the older one.
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    methods = {"ServerReflectionInfo": handler}
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, methods) for name in (reflection.SERVICE_NAME, _REFLECTION_V1)]
    )
