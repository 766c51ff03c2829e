"""Says that the fake is well, to the channels that ask."""

from collections.abc import Iterator

import grpc

from moa.testing.ledger import Ledger

_SERVING = b"\x08\x01"  # grpc.health.v1.HealthCheckResponse(status=SERVING), whose package is no dependency of ours


def always_healthy(ledger: Ledger) -> grpc.GenericRpcHandler:
    """Return the handler of the health service's Watch."""

    def watch(_request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        context.add_callback(ledger.wake)
        yield _SERVING
        with ledger.changed:
            ledger.changed.wait_for(lambda: not context.is_active())

    return grpc.method_handlers_generic_handler(
        "grpc.health.v1.Health", {"Watch": grpc.unary_stream_rpc_method_handler(watch)}
    )
