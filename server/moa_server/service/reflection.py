"""Shows the contract to tools that ask the server for it, in both versions of the protocol."""

from typing import Any, Final

import grpc
from grpc_health.v1 import health
from grpc_reflection.v1alpha import reflection, reflection_pb2

from moa_server.service.health import SERVICE

V1: Final = "grpc.reflection.v1.ServerReflection"
_METHOD: Final = "ServerReflectionInfo"


def add_reflection(server: grpc.aio.Server) -> None:
    """Let tools ask ``server`` for the contract."""
    names = (SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME, V1)
    servicer = reflection.aio.ReflectionServicer(service_names=names)
    # The messages of v1 are those of v1alpha under another name; the library serves only the older one.
    handler: grpc.RpcMethodHandler[Any, Any] = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, {_METHOD: handler}) for name in (reflection.SERVICE_NAME, V1)]
    )
