"""Takes in what is exported over OTLP: prints its endpoint, then answers how much has come."""

import asyncio
from typing import Any

import grpc
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from bench.replies import reply

_TRACES = "opentelemetry.proto.collector.trace.v1.TraceService"
_METRICS = "opentelemetry.proto.collector.metrics.v1.MetricsService"


class Sink:
    """Keeps the traces as bytes, so that taking them in costs next to nothing."""

    def __init__(self) -> None:
        self._traces: list[bytes] = []

    def handlers(self) -> tuple[grpc.GenericRpcHandler, ...]:
        return (
            grpc.method_handlers_generic_handler(_TRACES, _exporting(self._take_traces)),
            grpc.method_handlers_generic_handler(_METRICS, _exporting(_take_metrics)),
        )

    def spans(self) -> str:
        """Count the spans since the last time."""
        requests = [ExportTraceServiceRequest.FromString(raw) for raw in self._traces]
        self._traces.clear()
        scopes = (scope for request in requests for of in request.resource_spans for scope in of.scope_spans)
        return str(sum(len(scope.spans) for scope in scopes))

    async def _take_traces(self, raw: bytes, _: object) -> bytes:
        self._traces.append(raw)
        return b""


async def _take_metrics(_raw: bytes, _: object) -> bytes:
    return b""


def _exporting(take: Any) -> dict[str, Any]:  # noqa: ANN401 - gRPC's own handlers are untyped
    return {"Export": grpc.unary_unary_rpc_method_handler(take)}


async def _serve() -> None:
    sink = Sink()
    server = grpc.aio.server(options=(("grpc.max_receive_message_length", -1),))
    server.add_generic_rpc_handlers(sink.handlers())
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"http://127.0.0.1:{port}", flush=True)
    await reply({"spans": sink.spans})
    await server.stop(0)


if __name__ == "__main__":
    asyncio.run(_serve())
