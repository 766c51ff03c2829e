"""Each step of each strategy is killed in turn: the best text that was paid for by then becomes the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.errors import ModelUnavailable
from moa_server.domain.event import Event, LayerStarted, RunSucceeded
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.facts import ended, facts, failed, one_by_one, succeeded
from tests.engine.fakes import Asked, FakeModel, Script, spec, user

VERDICTS = {
    "judge": '{"best": [2], "scores": [1, 9]}',
    "verifier": '{"confidence": 0.1}',
    "router": '{"agents": [2, 3], "reason": "law"}',
    "coordinator": '{"subtasks": [{"agent": 1, "task": "this"}, {"agent": 2, "task": "that"}]}',
}
"""What those with a task of their own say; all others say their names."""
NOBODY, NO_ANSWER = "NO_PROPOSALS", "ANSWER_FAILED"


def agent(name: str) -> Agent:
    return Agent(name, name, labels=(f"what {name} knows",))


@dataclass(frozen=True)
class Killed:
    """A mixture, and what its answer is when one step fails, and when all steps from one on do."""

    strategy: str
    layers: str
    """The agents of each layer, such as ``ab cd``; ``z`` answers where anybody does."""
    alone: Sequence[str]
    onward: Sequence[str]
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def mixture(self) -> Mixture:
        layers = tuple(tuple(map(agent, layer)) for layer in self.layers.split())
        roles = {role: agent(role) for role in VERDICTS}
        return Mixture("mix", self.strategy, Roster(layers, agent("z"), roles), Rules(), options=self.options)


TABLE = (
    Killed("aggregate", "ab cd", [NOBODY, "z", "c"], [NOBODY, "a", "c"]),
    Killed("aggregate", "abc", [NOBODY, "z", "b"], [NOBODY, "a", "b"], {"select": "judge", "keep": 1}),
    Killed("cascade", "ab c", ["c", "a"], [NO_ANSWER, "a"]),
    Killed("cascade", "ab cd", ["z", "a", "c"], [NOBODY, "a", "c"]),
    Killed("cascade", "a c", ["c", "c", "a"], [NO_ANSWER, "a", "a"], {"gate": "self_verification"}),
    # What a coordinator says is no text for the caller, and a part of the work is no answer.
    Killed("coordinate", "ab", ["z", "z", NO_ANSWER], [NOBODY, NO_ANSWER, NO_ANSWER]),
    Killed("debate", "abc", [NOBODY, "a", "a"], [NOBODY, "a", "a"]),
    Killed("debate", "abc", [NOBODY, "z", "a"], [NOBODY, "a", "a"], {"rounds": 2, "end": "aggregate"}),
    Killed("rank", "ab", [NOBODY, "a"], [NOBODY, "a"]),
    Killed("rank", "ab", [NOBODY, "a"], [NOBODY, "a"], {"method": "pairwise"}),
    # A critique is no answer either.
    Killed("refine", "a b c d", [NOBODY, "z", "z", "z", "c"], [NOBODY, "a", "a", "c", "c"]),
    Killed("review", "ab", [NOBODY, "z", "a"], [NOBODY, "a", "a"]),
    Killed("route", "abc", ["a", NO_ANSWER], [NO_ANSWER, NO_ANSWER]),
    Killed("route", "abc", ["z", NOBODY, "b"], [NOBODY, NOBODY, "b"], {"pick": 2, "then": "aggregate"}),
    Killed("self_mixture", "a", [NOBODY, "a"], [NOBODY, "a"], {"samples": 3}),
    Killed("self_mixture_sequential", "a", [NOBODY, "z", "z", "z"], [NOBODY, "a", "z", "z"], {"samples": 7}),
    Killed("vote", "abc", [NOBODY], [NOBODY]),
)
STEPS = [
    pytest.param(row, step, onward, id=f"{row.strategy}-{row.layers}-{step}{'-onward' if onward else ''}")
    for row in TABLE
    for step in range(len(row.alone))
    for onward in (False, True)
]


async def carried(mixture: Mixture, killed: range) -> list[Event]:
    """Carry the mixture out, where the calls of these numbers fail; each layer is called before the next one is."""
    agents = {one.name: one for one in mixture.roster.agents()}
    calls = 0

    def script(name: str) -> Script:
        async def says(asked: Asked) -> None:
            nonlocal calls
            calls += 1
            if calls - 1 in killed:
                raise ModelUnavailable("it was killed")
            asked.say(VERDICTS.get(name, name))

        return says

    models = {name: FakeModel(spec(name), script(name)) for name in agents}
    async with Engine(
        Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix"), MemoryJournal(), Limits()
    ) as engine:
        run = await engine.start(Query(user("hello"), "mix"), Ticket("tester", "", "hello"), None)
        return [event async for event in one_by_one(engine.watch(run.run_id))]


def test_every_strategy_is_in_the_table() -> None:
    assert {row.strategy for row in TABLE} == set(STRATEGIES)


@pytest.mark.parametrize(("row", "step", "onward"), STEPS)
async def test_what_was_paid_for_is_the_answer(row: Killed, step: int, onward: bool) -> None:  # noqa: FBT001 - of a table
    whole = await carried(row.mixture, range(0))
    sizes = [len(fact.layer.agents) for fact in facts(whole, LayerStarted)]
    assert len(sizes) == len(row.alone) == len(row.onward), "every step of it is killed"
    first = sum(sizes[:step])
    events = await carried(row.mixture, range(first, 10_000 if onward else first + sizes[step]))
    wanted = (row.onward if onward else row.alone)[step]
    if not isinstance(ended(events), RunSucceeded):
        assert failed(events).reason == wanted
        return
    answer = succeeded(events).answer
    assert answer.text == wanted
    assert answer.degradations, "it is told that it is less than was planned"
