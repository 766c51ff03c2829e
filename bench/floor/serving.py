"""Answers the contract's streaming call with three calls and a fourth; has no plan, journal, trace or log."""

import asyncio
import json
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from moa.v1.event_pb2 import AnswerDelta, Event, RunSucceeded
from moa.v1.moa_service_pb2 import SynthesizeRequest, SynthesizeResponse
from moa.v1.run_pb2 import Answer

_SERVICE = "moa.v1.MoaService"
Messages = Sequence[dict[str, str]]


class Peer(ABC):
    """A server of panels; how a model is called is its own."""

    def __init__(self, endpoint: str, panels: dict[str, Any]) -> None:
        self.url = f"{endpoint}/chat/completions"
        self._panels = panels

    @abstractmethod
    def speak(self, model: str, messages: Messages) -> AsyncIterator[str]:
        """Yield the pieces of a model's answer."""

    async def synthesize(self, request: SynthesizeRequest, context: Any) -> None:  # noqa: ANN401 - gRPC's
        """Ask the proposers, then the aggregator, and pass its pieces on."""
        panel = self._panels[request.query.mixture]
        asked = [{"role": "user", "content": request.query.messages[-1].parts[0].text}]
        proposals = await asyncio.gather(*(self._propose(model, asked) for model in panel["proposers"]))
        said, sequence = "", 0
        async for piece in self.speak(panel["aggregator"], [_references(proposals), *asked]):
            said, sequence = said + piece, sequence + 1
            await context.write(_response(sequence, answer_delta=AnswerDelta(text=piece)))
        await context.write(_response(sequence + 1, run_succeeded=RunSucceeded(answer=Answer(text=said))))

    async def _propose(self, model: str, messages: Messages) -> str:
        return "".join([piece async for piece in self.speak(model, messages)])


def body_of(model: str, messages: Messages) -> dict[str, Any]:
    """Return the request to a model."""
    asked = {"model": model, "messages": list(messages), "max_tokens": 2048}
    return {**asked, "stream": True, "stream_options": {"include_usage": True}}


def _references(proposals: Sequence[str]) -> dict[str, str]:
    numbered = (f"{number}. {text}" for number, text in enumerate(proposals, 1))
    return {"role": "system", "content": "Write one answer from these:\n" + "\n".join(numbered)}


def _response(sequence: int, **fact: Any) -> SynthesizeResponse:  # noqa: ANN401 - one of the facts
    return SynthesizeResponse(run_id="peer", events=[Event(epoch=1, sequence=sequence, **fact)])


async def serve(peer: Peer) -> None:
    """Serve on any free port, and print it."""
    server = grpc.aio.server()
    handler = grpc.unary_stream_rpc_method_handler(
        peer.synthesize, SynthesizeRequest.FromString, SynthesizeResponse.SerializeToString
    )
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(_SERVICE, {"Synthesize": handler})])
    well = health.aio.HealthServicer()  # callers watch it
    await well.set(_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(well, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f"127.0.0.1:{port}", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    await server.stop(0)


def arguments() -> tuple[str, dict[str, Any]]:
    """Return the upstream's endpoint and the panels, as they were given."""
    return sys.argv[1], json.loads(sys.argv[2])
