"""Opens channels that balance, notice dead servers and repeat what never arrived."""

import json
from dataclasses import dataclass
from pathlib import Path

import grpc

SERVICE = "moa.v1.MoaService"
_MIB = 1024 * 1024
_SCHEMES = ("dns:", "unix:", "unix-abstract:", "vsock:", "ipv4:", "ipv6:", "xds:")

# No timeout here: the core would fire it a second or two early. It travels with each call.
SERVICE_CONFIG = {
    "loadBalancingConfig": [{"round_robin": {}}],
    "healthCheckConfig": {"serviceName": SERVICE},  # a server that drains says so, and gets no new calls
    "methodConfig": [
        {
            "name": [{"service": SERVICE}],
            "retryPolicy": {
                "maxAttempts": 5,  # the core's own maximum
                "initialBackoff": "0.1s",
                "maxBackoff": "2s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],  # safe: the request id finds a run that was begun
            },
        }
    ],
    # Retries stop when half of the tokens are gone, and each failure takes one: with fewer, most of the calls that one
    # server's end cuts off together would not be made again.
    "retryThrottling": {"maxTokens": 1000, "tokenRatio": 1},
}

OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.service_config", json.dumps(SERVICE_CONFIG)),
    ("grpc.per_rpc_retry_buffer_size", 8 * _MIB),  # above the default of 256 KiB a request is silently not retried
    ("grpc.max_send_message_length", 64 * _MIB),
    ("grpc.max_receive_message_length", 64 * _MIB),
    # A server that is frozen, or gone without a word, is noticed within 15 s; a stream does so by its heartbeats. The
    # second limit alone does nothing: the third, of a minute by default, governs. A proxy that takes so many pings
    # amiss says so (too_many_pings), and the channel then doubles the time by itself.
    ("grpc.keepalive_time_ms", 10_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),
    ("grpc.http2.max_pings_without_data", 0),  # a proposer layer can be silent for long
)


@dataclass(frozen=True, slots=True)
class Tls:
    """How a server proves who it is, and how a caller does when the server asks."""

    roots: Path | None = None
    """The authorities to trust, PEM. None means those of the gRPC library."""
    certificate: Path | None = None
    """The caller's own certificate chain, PEM."""
    key: Path | None = None
    """The key of that certificate, PEM."""
    server_name: str = ""
    """The name expected in the server's certificate, when it is not the target's."""


def full_target(target: str) -> str:
    """Resolve a bare ``host:port`` by DNS to all its addresses; any other name is left as it is."""
    return target if "://" in target or target.startswith(_SCHEMES) else f"dns:///{target}"


def options(tls: Tls | None) -> list[tuple[str, str | int]]:
    """Return a channel's options."""
    extra = [("grpc.ssl_target_name_override", tls.server_name)] if tls and tls.server_name else []
    return [*OPTIONS, *extra]


def open_async(target: str, tls: Tls | None) -> grpc.aio.Channel:
    """Open a channel for coroutines."""
    if tls is None:
        return grpc.aio.insecure_channel(full_target(target), options=options(tls))
    return grpc.aio.secure_channel(full_target(target), _credentials(tls), options=options(tls))


def open_sync(target: str, tls: Tls | None) -> grpc.Channel:
    """Open a channel for threads."""
    if tls is None:
        return grpc.insecure_channel(full_target(target), options=options(tls))
    return grpc.secure_channel(full_target(target), _credentials(tls), options=options(tls))


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(_read(tls.roots), _read(tls.key), _read(tls.certificate))


def _read(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
