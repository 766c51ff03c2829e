"""Has stories carried out by an engine, and keeps what was seen of them."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from moa_server.domain.answer import Answer
from moa_server.domain.errors import BudgetTooSmall, NoProposals
from moa_server.domain.event import AnswerDelta, AnswerRestarted, CancelledBy, Event, Terminal
from moa_server.domain.limits import Limits, RunTime
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult
from moa_server.domain.query import Overrides, Query
from moa_server.domain.run import RunRecord, Ticket
from moa_server.domain.strategy import Layer
from moa_server.engine.engine import Engine
from moa_server.strategies import STRATEGIES
from tests.engine.facts import closed_layers, ended, one_by_one, started
from tests.engine.fakes import user
from tests.engine.journals import Faltering
from tests.engine.stories import Story, Teller
from tests.models.timeless_loop import timeless

LIMITS = Limits(run_time=RunTime(default_s=20.0))
PATIENCE_S = 1_000.0
"""Of a clock that jumps: nobody waits so long unless for ever."""

T = TypeVar("T")


def patiently(work: Coroutine[Any, Any, T]) -> T:
    """Have it done on a clock that jumps."""
    done: list[T] = []

    @timeless
    async def waiting() -> None:
        async with asyncio.timeout(PATIENCE_S):
            done.append(await work)

    waiting()
    return done[0]


@dataclass(frozen=True)
class Told:
    """What was seen of a story's run."""

    story: Story
    models: dict[str, Teller]
    events: list[Event]

    @property
    def plan(self) -> Plan:
        return started(self.events).plan

    @property
    def end(self) -> Terminal:
        return ended(self.events)

    @property
    def closed(self) -> list[LayerResult]:
        return closed_layers(self.events)

    @property
    def shown(self) -> str:
        """What a caller who joins the pieces has in the end."""
        pieces: list[str] = []
        for event in self.events:
            match event.fact:
                case AnswerDelta(text):
                    pieces.append(text)
                case AnswerRestarted():
                    pieces.clear()
        return "".join(pieces)


async def tell(story: Story, *, cancel_at: int | None = None, text: str = "hello") -> Told | None:
    """Carry a story out, and cancel it when so many events were seen; None when its budget does not let it begin."""
    models = story.models()
    async with Engine(story.catalogue(models), Faltering(story.seed), LIMITS) as engine:
        try:
            run = await start(engine, story, text=text)
        except BudgetTooSmall:
            return None

        async def maybe_cancel(event: Event) -> None:
            if event.sequence == cancel_at:
                await engine.cancel(run.run_id, CancelledBy.CALLER)

        events = await follow(engine, run.run_id, maybe_cancel)
        await engine.close(1)
        assert engine.open_runs() == 0
    return Told(story, models, events)


async def start(engine: Engine, story: Story, *, text: str = "hello", detached: bool = False) -> RunRecord:
    ticket = Ticket("tester", "", text, detached, story.proposal_deltas)
    overrides = Overrides(seed=story.seed, response_schema=story.schema)
    return await engine.start(Query(user(text), "mix", overrides), ticket, None)


async def follow(
    engine: Engine, run_id: str, on_event: Callable[[Event], Awaitable[None]] | None = None
) -> list[Event]:
    """Watch a run to its end."""
    seen: list[Event] = []
    async with aclosing(engine.watch(run_id)) as news:
        async for event in one_by_one(news):
            seen.append(event)
            if on_event is not None:
                await on_event(event)
    return seen


def replayed(plan: Plan, results: Sequence[LayerResult]) -> tuple[list[Layer], Answer | None]:
    """Feed a fresh rule with journaled results; there is no answer when it comes to none, or wants more."""
    rule = STRATEGIES[plan.strategy].run(plan)
    layers: list[Layer] = []
    given: LayerResult | None = None
    while True:
        try:
            step = rule.send(given)
        except StopIteration as done:
            return layers, done.value
        except NoProposals:
            return layers, None
        given = None
        if not isinstance(step, Layer):
            continue
        layers.append(step)
        if len(layers) > len(results):
            return layers, None
        given = results[len(layers) - 1]
        if not (given.proposals or step.answers or step.excused or step.falls_back):
            return layers, None  # the engine ends the run here, and no rule is handed such a layer
        if step.answers and not given.proposals and not step.hands_back(given):
            able = step.calls[0].shown if step.stand_ins is None else step.stand_ins
            return layers, Answer.of(max(able, key=lambda proposal: proposal.weight)) if able else None
