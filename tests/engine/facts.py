"""Finds facts among a run's events, each as what it is."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from typing import TypeVar

from moa_server.domain.degradation import Degradation
from moa_server.domain.event import (
    AnswerRestarted,
    Event,
    Fact,
    RunCancelled,
    RunDegraded,
    RunFailed,
    RunStarted,
    RunSucceeded,
    Terminal,
)
from moa_server.domain.proposal import LayerResult
from moa_server.engine import ClosedLayers

F = TypeVar("F", bound=Fact)


def facts(events: Sequence[Event], kind: type[F]) -> list[F]:
    return [event.fact for event in events if isinstance(event.fact, kind)]


def started(events: Sequence[Event]) -> RunStarted:
    return _as(events[0], RunStarted)


def succeeded(events: Sequence[Event]) -> RunSucceeded:
    return _as(events[-1], RunSucceeded)


def failed(events: Sequence[Event]) -> RunFailed:
    return _as(events[-1], RunFailed)


def cancelled(events: Sequence[Event]) -> RunCancelled:
    return _as(events[-1], RunCancelled)


def ended(events: Sequence[Event]) -> Terminal:
    """Return how a run ended, however that was."""
    fact = events[-1].fact
    assert isinstance(fact, Terminal)
    return fact


def _as(event: Event, kind: type[F]) -> F:
    assert isinstance(event.fact, kind), event.fact
    return event.fact


def closed_layers(events: Sequence[Event]) -> list[LayerResult]:
    """Return the layers that closed, whole."""
    layers = ClosedLayers()
    found = (layers.hear(event.fact) for event in events)
    return [layer for layer in found if layer is not None]


async def one_by_one(news: AsyncIterator[Sequence[Event]]) -> AsyncIterator[Event]:
    """Yield what a watcher is told, event by event."""
    async for events in news:
        for event in events:
            yield event


def told_as_it_happened(events: Sequence[Event]) -> Counter[Degradation]:
    """Return what was told to be less than planned, before the answer that tells all of it."""
    found = (event.fact for event in events)
    return Counter(fact.degradation for fact in found if isinstance(fact, RunDegraded | AnswerRestarted))
