"""Many runs at once: none hears of another, and of those that are cancelled nothing is left."""

import asyncio
import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import Agent
from moa_server.domain.event import CancelledBy, Event, RunCancelled, Terminal
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.model import ModelSpec
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.strategies import STRATEGIES
from tests.engine.facts import ended, started
from tests.engine.fakes import user
from tests.engine.journals import Faltering
from tests.engine.stories import SEEDS, Story, many, stories
from tests.engine.story_runs import LIMITS, follow, start
from tests.models.timeless_loop import timeless
from tests.upstream import Speech, Upstream

STORM = 50


def query_mark(number: int) -> str:
    return f"<query {number:03}>"


@many(40)
@given(stories(), st.integers(2, 6))
def test_interleaved_runs_never_share_a_byte(story: Story, runs: int) -> None:
    @timeless
    async def check() -> None:
        models = story.models(echoes=re.compile("<query [0-9]+>"))
        async with Engine(story.catalogue(models), Faltering(story.seed), LIMITS) as engine:
            numbers = range(runs)
            begun = [await start(engine, story, text=query_mark(number)) for number in numbers]
            told = await asyncio.gather(*(follow(engine, run.run_id) for run in begun))
        everything = [repr([event.fact for event in events]) for events in told]
        for number, text in enumerate(everything):
            assert query_mark(number) in text
            assert not any(query_mark(other) in text for other in numbers if other != number)
        for model in models.values():
            for asked in model.asked:
                prompt = repr(asked.prompt)
                assert sum(query_mark(number) in prompt for number in numbers) == 1
                marks = [started(events).plan.mark for events in told]
                assert sum(mark in prompt for mark in marks) <= 1

    check()


@many(8)
@given(stories(failing=st.just(0.3)), SEEDS)
def test_a_storm_of_cancellations_leaves_nothing_behind(story: Story, seed: int) -> None:
    @timeless
    async def check() -> None:
        """That no task is left is checked by the loop itself."""
        chance, models = random.Random(seed), story.models()
        async with Engine(story.catalogue(models), MemoryJournal(), LIMITS) as engine:
            before = len(asyncio.all_tasks())

            async def stormy() -> Usage:
                run = await start(engine, story, detached=True)
                await asyncio.sleep(chance.choice((0.0, 0.001, chance.random() * 3)))
                await engine.cancel(run.run_id, CancelledBy.CALLER)
                return ended(await follow(engine, run.run_id)).usage

            used = await asyncio.gather(*(stormy() for _ in range(STORM)))
            assert engine.open_runs() == 0
            asked = [one for model in models.values() for one in model.asked]
            assert all(one.is_over for one in asked)
            assert sum(used, Usage()).calls == len(asked)
            await asyncio.sleep(0)
            assert len(asyncio.all_tasks()) == before

    check()


@pytest.mark.parametrize("pause_s", [0.0, 0.02])
async def test_a_storm_of_cancellations_closes_every_upstream_call(pause_s: float) -> None:
    names = ["a", "b", "boss"]
    before = asyncio.all_tasks()
    async with Upstream() as upstream, Transport() as transport:
        upstream.script("*", Speech(tokens=20, first_token_s=pause_s, token_s=0.002))
        specs = [ModelSpec(name, "openai", upstream.endpoint, name, max_output=100) for name in names]
        models = build_models(specs, lambda one: PROVIDERS[one.provider](one, transport))
        agents = {name: Agent(name, name) for name in names}
        roster = Roster(((agents["a"], agents["b"]),), agents["boss"])
        catalogue = Catalogue(models, {"mix": Mixture("mix", "aggregate", roster)}, STRATEGIES, agents, "mix")
        async with Engine(catalogue, MemoryJournal(), Limits()) as engine:
            chance = random.Random(STORM)

            async def stormy(number: int) -> Terminal:
                run = await engine.start(Query(user("hello"), "mix"), Ticket("tester", "", str(number)), None)
                stop_at = chance.randint(1, 9)

                async def on_event(event: Event) -> None:
                    if event.sequence == stop_at:
                        await engine.cancel(run.run_id, CancelledBy.CALLER)

                return ended(await follow(engine, run.run_id, on_event))

            ends = await asyncio.gather(*(stormy(number) for number in range(STORM)))
            assert sum(isinstance(end, RunCancelled) for end in ends) > STORM // 2
            await upstream.wait_for(lambda: not upstream.open_calls)
            assert engine.open_runs() == 0
    assert asyncio.all_tasks() == before
