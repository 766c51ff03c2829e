"""Follows a run for its caller: to the end, event by event."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TypeVar

from moa.v1 import moa_service_pb2 as pb
from moa_server.domain.errors import ShuttingDown
from moa_server.domain.event import BEGINNING, Cursor, Event, LayerClosed, Terminal
from moa_server.domain.proposal import LayerResult
from moa_server.engine import Engine
from moa_server.service.wire.facts import write_event, write_heartbeat

Response = TypeVar("Response", pb.SynthesizeResponse, pb.WatchRunResponse)


async def follow(
    engine: Engine, run_id: str, after: Cursor, response_of: type[Response]
) -> AsyncGenerator[Response, None]:
    """Yield a response for each event of a run, and a heartbeat whenever nothing has happened for a while.

    After the end of a run there are none.

    Raises:
        ShuttingDown: nothing more is heard of the run here, and it has not ended.
    """
    last, ended = after, False
    async with aclosing(engine.watch(run_id, after)) as events:
        async for event in events:
            response = response_of()
            if event is None:
                write_heartbeat(run_id, last, response.event)
            else:
                last, ended = event.cursor, event.is_terminal
                write_event(event, response.event)
            yield response
    if not ended and last != after:
        raise _cut(run_id)


@dataclass(slots=True)
class Outcome:
    """What a run came to."""

    terminal: Terminal
    cursor: Cursor
    layers: list[LayerResult] = field(default_factory=list)
    """In order."""


async def outcome_of(engine: Engine, run_id: str) -> Outcome:
    """Wait for a run's last event.

    Raises:
        ShuttingDown: nothing more is heard of the run here, and it has not ended.
    """
    layers: dict[int, LayerResult] = {}
    async with aclosing(engine.watch(run_id, BEGINNING)) as events:
        async for event in events:
            match event:
                case Event(fact=LayerClosed(layer=layer)):
                    layers[layer.index] = layer
                case Event(fact=fact) if isinstance(fact, Terminal):
                    return Outcome(fact, event.cursor, [layers[index] for index in sorted(layers)])
    raise _cut(run_id)


def _cut(run_id: str) -> ShuttingDown:
    return ShuttingDown(f"run {run_id} is carried on elsewhere; watch it there", metadata={"run_id": run_id})
