"""The engine carries every strategy: events without gaps, calls within the worst case, usage that adds up."""

import random

import pytest

from moa_server.domain.errors import ModelUnavailable
from moa_server.domain.event import (
    AgentFailed,
    AgentStarted,
    LayerStarted,
    ProposalReceived,
    RunFailed,
    RunSucceeded,
)
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.domain.usage import Usage
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.facts import facts, one_by_one, started
from tests.engine.fakes import Asked, FakeModel, spec, user
from tests.strategies.rosters import SAYINGS, Setting
from tests.strategies.settings import SETTINGS


def talking(seed: str, failing: float) -> FakeModel:
    chance = random.Random(seed)

    async def script(asked: Asked) -> None:
        if chance.random() < failing:
            raise ModelUnavailable("down")
        asked.say(chance.choice(SAYINGS))

    return FakeModel(spec("m", window=100_000), script)


def housed(setting: Setting, model: FakeModel) -> Catalogue:
    mixture = Mixture("mix", setting.strategy, setting.roster, options=setting.options)
    agents = {agent.name: agent for agent in setting.roster.agents()}
    return Catalogue({"m": model}, {"mix": mixture}, STRATEGIES, agents, "mix")


@pytest.mark.parametrize("failing", [0.0, 0.3])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda one: f"{one.strategy}-{one.calls}")
async def test_a_run_keeps_to_its_plan(setting: Setting, failing: float) -> None:
    model = talking(f"{setting.strategy}{setting.calls}", failing)
    async with Engine(housed(setting, model), MemoryJournal(), Limits()) as engine:
        for number in range(5):
            model.asked.clear()
            run = await engine.start(Query(user("hello"), "mix"), Ticket("tester", "", str(number)), None)
            events = [event async for event in one_by_one(engine.watch(run.run_id))]
            assert [event.sequence for event in events] == [*range(1, len(events) + 1)]
            first, last = started(events), events[-1].fact
            assert isinstance(last, RunSucceeded | RunFailed)
            assert isinstance(last, RunSucceeded) or failing
            assert last.usage.calls == len(model.asked) <= first.plan.worst_case.calls == setting.calls
            used = [fact.proposal.usage for fact in facts(events, ProposalReceived)]
            used += [fact.failure.usage for fact in facts(events, AgentFailed)]
            assert last.usage == sum(used, Usage())
            assert len(used) == len(facts(events, AgentStarted))
            assert len(facts(events, LayerStarted)) <= setting.layers
