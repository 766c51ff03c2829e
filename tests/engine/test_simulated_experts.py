"""Experts who are right with a known probability, asked by the whole engine: the vote is what arithmetic says it is.

Three experts stand behind real sockets; five and nine, which would take too long there, are asked in process.
"""

import asyncio
import math
import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count as count_from

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.event import LayerClosed, ProposalReceived, RunSucceeded
from moa_server.domain.mixture import Mixture, Roster
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.strategies import STRATEGIES
from tests.engine.facts import one_by_one
from tests.engine.fakes import Asked, FakeModel, spec, user
from tests.upstream import Speech, Stage, Upstream

QUERIES = [200, pytest.param(2_000, marks=pytest.mark.long)]
AT_ONCE = 50
RIGHT = 0.7
EXPECTED = {3: 0.784, 5: 0.837, 9: 0.901}


def votes_needed(count: int) -> float:
    """The mean number of votes until one side has the majority: two negative binomials, whichever ends first."""
    need = count // 2 + 1
    return sum(
        taken * math.comb(taken - 1, need - 1)
        * (RIGHT**need * (1 - RIGHT) ** (taken - need) + (1 - RIGHT) ** need * RIGHT ** (taken - need))
        for taken in range(need, count + 1)
    )  # fmt: skip


@dataclass
class Experts:
    """Know what each of them says to each query, and let them speak one after the other, in a random order."""

    count: int
    queries: int
    said: dict[int, list[str]] = field(default_factory=dict)
    ranks: dict[int, list[int]] = field(default_factory=dict)
    """For each query, when each of them speaks."""
    heard: dict[int, list[str]] = field(default_factory=lambda: defaultdict(list))
    _turns: dict[tuple[int, int], asyncio.Event] = field(default_factory=lambda: defaultdict(asyncio.Event))

    def __post_init__(self) -> None:
        chance = random.Random(self.count)
        for query in range(self.queries):
            self.said[query] = ["A" if chance.random() < RIGHT else "B" for _ in range(self.count)]
            self.ranks[query] = chance.sample(range(self.count), self.count)
            self._turns[query, 0].set()

    @property
    def names(self) -> list[str]:
        return [f"expert{number}" for number in range(self.count)]

    def majority(self, query: int) -> str:
        return "A" if self.said[query].count("A") > self.count // 2 else "B"

    async def opinion(self, name: str, text: str) -> str:
        """Return what an expert says, once it is its turn."""
        query, number = int(text.rsplit(maxsplit=1)[-1]), int(name.removeprefix("expert"))
        await self._turns[query, self.ranks[query][number]].wait()
        return self.said[query][number]

    def was_heard(self, query: int, said: str) -> None:
        """Let the next one speak, unless the matter is decided: the others would think for ever."""
        heard = self.heard[query]
        heard.append(said)
        if max(heard.count("A"), heard.count("B")) <= self.count // 2:
            self._turns[query, len(heard)].set()


@dataclass
class Tally:
    right: int = 0
    taken: int = 0
    changed: int = 0
    """Answers that are not what all of them together would have said."""


def catalogue(models: Mapping[str, Model], names: Sequence[str]) -> Catalogue:
    agents = {name: Agent(name, name) for name in names}
    options = {"extract": "choice_letter", "letters": "AB"}
    mixture = Mixture("vote", "vote", Roster((tuple(agents.values()),)), options=options)
    return Catalogue(models, {"vote": mixture}, STRATEGIES, agents, "vote")


async def asked(models: Mapping[str, Model], experts: Experts) -> Tally:
    """Ask every query, some at once."""
    tally, queries = Tally(), count_from()
    async with Engine(catalogue(models, experts.names), MemoryJournal()) as engine:

        async def ask_on() -> None:
            while (query := next(queries)) < experts.queries:
                await _ask(engine, experts, query, tally)

        await asyncio.gather(*(ask_on() for _ in range(AT_ONCE)))
    return tally


async def _ask(engine: Engine, experts: Experts, query: int, tally: Tally) -> None:
    run = await engine.start(Query(user(f"query {query}"), "vote"), Ticket("tester", "", str(query)), None)
    async with aclosing(engine.watch(run.run_id)) as news:
        async for event in one_by_one(news):
            match event.fact:
                case ProposalReceived(_, proposal):
                    experts.was_heard(query, proposal.text[-2])
                case LayerClosed(layer):
                    tally.taken += sum(not agent.failure for agent in layer.agents)
                case RunSucceeded(answer):
                    tally.right += answer.text == "A"
                    tally.changed += answer.text != experts.majority(query)


def agrees(tally: Tally, experts: Experts) -> bool:
    """Whether a tally is the binomial majority, reached with as many votes as the negative binomial says."""
    queries, expected, needed = experts.queries, EXPECTED[experts.count], votes_needed(experts.count)
    sigma = math.sqrt(expected * (1 - expected) / queries)
    assert abs(tally.right / queries - expected) < 3 * sigma
    # About three standard errors of the mean: at 2,000 queries a twentieth of the votes to be saved, wider at fewer.
    assert abs(tally.taken / queries - needed) < 0.05 * (experts.count - needed) * math.sqrt(2_000 / queries)
    return tally.changed == 0


@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.timeout(120)
async def test_three_experts_behind_sockets_vote_as_arithmetic_says(queries: int) -> None:
    experts = Experts(3, queries)

    async def play(stage: Stage) -> None:
        said = await experts.opinion(stage.request.model, stage.request.body["messages"][-1]["content"])
        await Speech(f"The answer is {said}.").play(stage)

    async with Upstream() as upstream, Transport() as transport:
        upstream.script("*", play)
        specs = [ModelSpec(name, "openai", upstream.endpoint, name, max_output=100) for name in experts.names]
        models = build_models(specs, lambda one: PROVIDERS[one.provider](one, transport))
        tally = await asked(models, experts)
        await upstream.wait_for(lambda: not upstream.open_calls)
        assert agrees(tally, experts)
        assert len(upstream.calls) == queries * 3
        assert sum(call.aborted is not None for call in upstream.calls) == queries * 3 - tally.taken


@pytest.mark.parametrize("count", [5, 9])
@pytest.mark.parametrize("queries", QUERIES)
@pytest.mark.timeout(120)
async def test_more_experts_vote_as_arithmetic_says(queries: int, count: int) -> None:
    experts = Experts(count, queries)

    def expert(name: str) -> FakeModel:
        async def script(one: Asked) -> None:
            one.say(f"The answer is {await experts.opinion(name, one.prompt.messages[-1].text)}.")

        return FakeModel(spec(name), script)

    models = {name: expert(name) for name in experts.names}
    tally = await asked(models, experts)
    assert agrees(tally, experts)
    cut = sum(one.cancelled for model in models.values() for one in model.asked)
    assert cut == queries * count - tally.taken
