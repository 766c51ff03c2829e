"""Calls a server as a tool does that has nothing of its contract: what it needs it asks by reflection."""

from dataclasses import dataclass
from typing import Any, Self

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

SERVICE = "moa.v1.MoaService"


@dataclass(frozen=True)
class Reflected:
    """A service, as the server describes it."""

    channel: grpc.Channel
    pool: DescriptorPool

    @classmethod
    def of(cls, channel: grpc.Channel) -> Self:
        ask = channel.stream_stream(
            "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
            request_serializer=ServerReflectionRequest.SerializeToString,
            response_deserializer=ServerReflectionResponse.FromString,
        )
        pool, known = DescriptorPool(), dict[str, FileDescriptorProto]()
        wanted = [ServerReflectionRequest(file_containing_symbol=SERVICE)]
        while wanted:
            for answer in ask(iter(wanted)):
                for raw in answer.file_descriptor_response.file_descriptor_proto:
                    file = FileDescriptorProto.FromString(raw)
                    known[file.name] = file
            missing = {name for file in known.values() for name in file.dependency} - known.keys()
            wanted = [ServerReflectionRequest(file_by_filename=name) for name in sorted(missing)]
        while known:  # each after those it depends on
            ready = [file for file in known.values() if not known.keys() & set(file.dependency)]
            for file in ready:
                pool.Add(known.pop(file.name))
        return cls(channel, pool)

    def call(self, method: str, request: dict[str, Any], timeout: float | None = None) -> list[dict[str, Any]]:
        """Call a method with a request in JSON; return what it answers, in JSON."""
        found = self.pool.FindServiceByName(SERVICE).methods_by_name[method]
        message = json_format.ParseDict(request, GetMessageClass(found.input_type)(), descriptor_pool=self.pool)
        path, read = f"/{SERVICE}/{method}", GetMessageClass(found.output_type).FromString
        sent = message.SerializeToString()
        if found.server_streaming:
            streaming: grpc.UnaryStreamMultiCallable[bytes, Any] = self.channel.unary_stream(path, None, read)
            return [json_format.MessageToDict(one) for one in streaming(sent, timeout=timeout)]
        unary: grpc.UnaryUnaryMultiCallable[bytes, Any] = self.channel.unary_unary(path, None, read)
        return [json_format.MessageToDict(unary(sent, timeout=timeout))]
