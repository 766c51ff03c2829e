from dataclasses import replace

import grpc
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest, ServerReflectionResponse

from tests.service.conftest import NO_GRACE, Serve, Served
from tests.service.scripted import ScriptedEngine

VERSIONS = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]


async def asked(served: Served, version: str, *requests: ServerReflectionRequest) -> list[ServerReflectionResponse]:
    """Ask as a tool does: nothing but bytes and the protocol's name."""
    call = served.channel.stream_stream(
        f"/{version}/ServerReflectionInfo",
        request_serializer=ServerReflectionRequest.SerializeToString,
        response_deserializer=ServerReflectionResponse.FromString,
    )
    return [response async for response in call(iter(requests))]


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_tool_finds_the_service_and_its_messages(serve: Serve, version: str) -> None:
    served = await serve(engine=ScriptedEngine())
    listed, shown = await asked(
        served,
        version,
        ServerReflectionRequest(list_services=""),
        ServerReflectionRequest(file_containing_symbol="moa.v1.MoaService"),
    )
    names = {service.name for service in listed.list_services_response.service}
    assert {"moa.v1.MoaService", "grpc.health.v1.Health", *VERSIONS} <= names
    files = [FileDescriptorProto.FromString(raw) for raw in shown.file_descriptor_response.file_descriptor_proto]
    methods = {method.name for file in files for service in file.service for method in service.method}
    assert {"Query", "Synthesize", "WatchRun"} <= methods


@pytest.mark.parametrize("version", VERSIONS)
async def test_what_is_not_there_is_not_shown(serve: Serve, version: str) -> None:
    served = await serve(engine=ScriptedEngine())
    (answer,) = await asked(served, version, ServerReflectionRequest(file_containing_symbol="nope"))
    assert answer.error_response.error_code == grpc.StatusCode.NOT_FOUND.value[0]


async def test_the_contract_is_not_shown_where_it_is_not_wanted(serve: Serve) -> None:
    served = await serve(engine=ScriptedEngine(), listening=replace(NO_GRACE, reflection=False))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await asked(served, VERSIONS[0], ServerReflectionRequest(list_services=""))
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
