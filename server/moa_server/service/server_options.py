"""How callers reach the server, and the options of gRPC that follow from it."""

from typing import Final

from moa_server.domain.limits import Limits
from moa_server.domain.operation import Listening

_MEBIBYTE: Final = 1024 * 1024
_NEVER: Final = 2**31 - 1


def options(listening: Listening, limits: Limits) -> list[tuple[str, int]]:
    """Return the options of the server."""
    return [
        ("grpc.so_reuseport", 0),  # else a second server takes the same port, and half of the callers
        # The default of 1,000 refuses bursts at random.
        ("grpc.server.max_pending_requests", 2 * listening.most_open_calls),
        ("grpc.server.max_pending_requests_hard_limit", 4 * listening.most_open_calls),
        # Twice the request: what is a little too large gets a typed refusal, what is far too large is not even read.
        ("grpc.max_receive_message_length", 2 * limits.request_size),
        ("grpc.max_send_message_length", 64 * _MEBIBYTE),
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_connection_age_ms", _milliseconds(listening.max_connection_age_s)),
        ("grpc.max_connection_age_grace_ms", _milliseconds(listening.max_connection_age_grace_s)),
        ("grpc.enable_http_proxy", 0),
    ]


def _milliseconds(seconds: float | None) -> int:
    return _NEVER if seconds is None else min(_NEVER, round(seconds * 1000))
