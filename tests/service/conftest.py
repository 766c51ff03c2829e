"""A server over a real engine and fake models, and channels to it, over real sockets."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import grpc
import pytest

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import plan_pb2
from moa.v1.moa_service_pb2_grpc import MoaServiceStub
from moa_server.domain.agent import Agent
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Permissions, Roster, Rules
from moa_server.domain.operation import Listening
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.security import Callers
from moa_server.service.server import Serving, serving
from moa_server.strategies import STRATEGIES
from tests.engine.fakes import FakeModel, spec

if TYPE_CHECKING:
    from moa.v1.moa_service_pb2_grpc import MoaServiceAsyncStub

LIMITS = Limits(messages=5, message_size=1000, request_size=10_000)
NO_GRACE = Listening("127.0.0.1:0", drain_grace_s=0.0)


@dataclass
class Served:
    """A server, and how to reach it."""

    serving: Serving
    engine: Any
    models: dict[str, FakeModel]
    channel: grpc.aio.Channel

    @property
    def stub(self) -> "MoaServiceAsyncStub":
        return MoaServiceStub(self.channel)

    @property
    def target(self) -> str:
        return f"127.0.0.1:{self.serving.port}"


Serve = Callable[..., Any]


def engine_of(models: dict[str, FakeModel], limits: Limits, rules: Rules) -> Engine:
    agents = {name: Agent(name, name) for name in models}
    proposers = tuple(agent for name, agent in agents.items() if name != "boss")
    mixture = Mixture("mix", "aggregate", Roster((proposers,), agents["boss"]), rules, permissions=Permissions())
    other = replace(mixture, name="other")
    return Engine(
        Catalogue(models, {"mix": mixture, "other": other}, STRATEGIES, agents, "mix"), MemoryJournal(), limits
    )


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    async with AsyncExitStack() as stack:

        async def served(
            models: dict[str, FakeModel] | None = None,
            *,
            engine: Any = None,  # noqa: ANN401 - or a scripted one
            listening: Listening = NO_GRACE,
            limits: Limits = LIMITS,
            rules: Rules = Rules(),
            callers: Callers = Callers(),  # noqa: B008 - has no state
        ) -> Served:
            models = models or {name: FakeModel(spec(name)) for name in ("one", "two", "boss")}
            if engine is None:
                engine = await stack.enter_async_context(engine_of(models, limits, rules))
            up = await stack.enter_async_context(serving(engine, listening, limits, callers))
            channel = await stack.enter_async_context(grpc.aio.insecure_channel(f"127.0.0.1:{up.port}"))
            return Served(up, engine, models, channel)

        yield served


def query(text: str = "hello", **more: Any) -> plan_pb2.Query:  # noqa: ANN401
    message = plan_pb2.Message(role=plan_pb2.ROLE_USER, parts=[plan_pb2.Part(text=text)])
    return plan_pb2.Query(messages=[message], **more)


def ask(text: str = "hello", **more: Any) -> pb.QueryRequest:  # noqa: ANN401
    return pb.QueryRequest(query=query(text), **more)


def synthesize(text: str = "hello", **more: Any) -> pb.SynthesizeRequest:  # noqa: ANN401
    return pb.SynthesizeRequest(query=query(text), **more)


async def rest(stream: Any) -> AsyncIterator[Any]:  # noqa: ANN401 - of either method
    """Read what is left of a stream that was read from by hand."""
    while (response := await stream.read()) is not grpc.aio.EOF:
        yield response


async def events_of(stream: Any) -> list[Any]:  # noqa: ANN401 - of either method, read from by hand or not
    """Read what is left of a stream, and return its events."""
    return [event async for response in rest(stream) for event in response.events]
