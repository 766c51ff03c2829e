"""Receives what is exported, as a collector does, over a real socket."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics_pb
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as trace_pb


@dataclass
class Collector:
    """What has been received."""

    port: int = 0
    traces: list[Any] = field(default_factory=list)
    metrics: list[Any] = field(default_factory=list)

    def export_traces(self, request: Any, _context: Any) -> Any:  # noqa: ANN401
        self.traces.append(request)
        return trace_pb.ExportTraceServiceResponse()

    def export_metrics(self, request: Any, _context: Any) -> Any:  # noqa: ANN401
        self.metrics.append(request)
        return metrics_pb.ExportMetricsServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    with ThreadPoolExecutor(2) as pool:
        server, collector = grpc.server(pool), Collector()
        for signal, request, answer in (
            ("trace.v1.Trace", trace_pb.ExportTraceServiceRequest, collector.export_traces),
            ("metrics.v1.Metrics", metrics_pb.ExportMetricsServiceRequest, collector.export_metrics),
        ):
            handler: grpc.RpcMethodHandler[Any, Any] = grpc.unary_unary_rpc_method_handler(
                answer, request_deserializer=request.FromString, response_serializer=lambda r: r.SerializeToString()
            )
            name = f"opentelemetry.proto.collector.{signal}Service"
            server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, {"Export": handler})])
        collector.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield collector
        finally:
            server.stop(None).wait()
