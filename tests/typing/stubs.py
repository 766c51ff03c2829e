"""Calls the generated stubs as a caller's code would; a type checker reads it, nothing runs it."""

from collections.abc import AsyncIterator, Iterator
from typing import assert_type

import grpc
import grpc.aio

from moa.v1 import event_pb2, moa_service_pb2, moa_service_pb2_grpc, plan_pb2


def request(text: str) -> moa_service_pb2.SynthesizeRequest:
    message = plan_pb2.Message(role=plan_pb2.ROLE_USER, parts=[plan_pb2.Part(text=text)])
    return moa_service_pb2.SynthesizeRequest(query=plan_pb2.Query(messages=[message]), proposal_deltas=True)


def events(channel: grpc.Channel) -> Iterator[event_pb2.Event]:
    stub = moa_service_pb2_grpc.MoaServiceStub(channel)
    for response in stub.Synthesize(request("why"), timeout=30):
        assert_type(response, moa_service_pb2.SynthesizeResponse)
        yield from response.events


async def events_async(channel: grpc.aio.Channel) -> AsyncIterator[event_pb2.Event]:
    stub = moa_service_pb2_grpc.MoaServiceStub(channel)
    async for response in stub.Synthesize(request("why"), timeout=30):
        assert_type(response, moa_service_pb2.SynthesizeResponse)
        for event in response.events:
            yield event


def place(event: event_pb2.Event) -> tuple[int, int]:
    assert_type(event.answer_delta.text, str)
    return event.epoch, event.sequence
