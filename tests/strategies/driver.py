"""Feeds rules with what scripted agents say, as the engine would, without an event loop."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer
from moa_server.domain.conversation import Conversation, Message, Role
from moa_server.domain.degradation import Degradation
from moa_server.domain.errors import NoProposals
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, Layer, Strategy
from moa_server.domain.usage import Budget
from moa_server.strategies import STRATEGIES

MARK = "5f1c0ffee9a84b21"
ASKED: Conversation = (Message.of(Role.SYSTEM, "You are terse."), Message.of(Role.USER, "hello!"))

Says = Callable[[Call, int, int], str | None]
"""What the agent of a call says in a layer at a position; None when it fails."""


def named(call: Call, layer: int, position: int) -> str:
    """Say who one is, where."""
    return f"<{call.agent.name} in {layer} at {position}>"


def scripted(**said: str | None) -> Says:
    """Agents that say what is written for them, else their names."""
    return lambda call, layer, _position: said.get(call.agent.name, f"<{call.agent.name} in {layer}>")


def agent(name: str, **said: Any) -> Agent:  # noqa: ANN401 - fields of many types
    return Agent(name, said.pop("model", "m"), **said)


def agents(count: int, prefix: str = "a") -> tuple[Agent, ...]:
    return tuple(agent(f"{prefix}{number}") for number in range(count))


def plan_of(
    strategy: str,
    roster: Roster,
    *,
    rules: Rules = Rules(),
    messages: Conversation = ASKED,
    options: Mapping[str, Any] | None = None,
    seed: int = 7,
    schema: str | None = None,
) -> Plan:
    rule = STRATEGIES[strategy]
    read = rule.read(options or {})
    problems = list(rule.problems(roster, read))
    assert not problems, problems
    stages = rule.outlined(roster, read, rules)
    layers = tuple(
        PlannedLayer(index, stage.agents, len(stage.agents), 0, stage.answers) for index, stage in enumerate(stages)
    )
    return Plan(
        "mixed", strategy, messages, roster, layers, WorstCase(0, 0, 0), Budget(), rules, MARK, seed,
        options or {}, schema,
    )  # fmt: skip


@dataclass
class Driven:
    """What a rule asked for, and what it came to."""

    plan: Plan
    layers: list[Layer] = field(default_factory=list)
    results: list[LayerResult] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    degradations: list[Degradation] = field(default_factory=list)
    answer: Answer | None = None
    ended: str = ""

    @property
    def calls(self) -> int:
        return sum(len(layer.calls) for layer in self.layers)

    @property
    def prompts(self) -> list[list[Conversation]]:
        return [[prompt_of(self.plan, call) for call in layer.calls] for layer in self.layers]

    @property
    def text(self) -> str:
        assert self.answer is not None, self.ended
        return self.answer.text


def prompt_of(plan: Plan, call: Call) -> Conversation:
    return call.brief(call.messages or plan.messages, tuple(proposal.text for proposal in call.shown))


def last_text(plan: Plan, call: Call) -> str:
    """All that the user's last message says to an agent."""
    return next(message for message in reversed(prompt_of(plan, call)) if message.role is Role.USER).text


def drive(plan: Plan, says: Says, *, shuffle: random.Random | None = None, logprob: float | None = None) -> Driven:
    """Carry a plan out; ``shuffle`` mixes up who arrives first."""
    return _drive(plan, lambda layer, index: carried_out(layer, index, says, shuffle, logprob))


def replay(plan: Plan, results: list[LayerResult]) -> Driven:
    """Feed a fresh rule with what was given before."""
    return _drive(plan, lambda _layer, index: results[index])


def _drive(plan: Plan, carry: Callable[[Layer, int], LayerResult]) -> Driven:
    driven = Driven(plan)
    strategy: Strategy[Any] = STRATEGIES[plan.strategy]
    rule = strategy.run(plan)
    given: LayerResult | None = None
    while True:
        try:
            step = rule.send(given)
        except StopIteration as done:
            driven.answer = done.value
            return driven
        except NoProposals as error:
            driven.ended = error.reason()
            return driven
        given = None
        match step:
            case Layer():
                driven.layers.append(step)
                given = carry(step, len(driven.results))
                driven.results.append(given)
                if not given.proposals and not (step.excused or step.falls_back or step.hands_back(given)):
                    return _ended(driven, step)
            case Decision():
                driven.decisions.append(step)
            case Degradation():
                driven.degradations.append(step)


def _ended(driven: Driven, layer: Layer) -> Driven:
    able = layer.calls[0].shown if layer.stand_ins is None else layer.stand_ins
    if layer.answers and able:
        driven.answer = Answer.of(max(able, key=lambda proposal: proposal.weight))
    driven.ended = "NO_PROPOSALS"
    return driven


def carried_out(
    layer: Layer, index: int, says: Says, shuffle: random.Random | None, logprob: float | None
) -> LayerResult:
    order = list(range(len(layer.calls)))
    if shuffle:
        shuffle.shuffle(order)
    came: dict[int, Proposal] = {}
    failed: dict[int, AgentFailure] = {}
    settled = False
    for position in order:
        call = layer.calls[position]
        settled = settled or (layer.enough is not None and layer.enough(tuple(came[key] for key in sorted(came))))
        text = None if settled else says(call, index, position)
        if text is None:
            reason = "STRAGGLER_CUT" if settled else min(layer.returns, default="MODEL_UNAVAILABLE")
            failed[position] = AgentFailure(call.agent.name, position, call.agent.model, reason, "it failed")
        else:
            came[position] = proposal(call.agent, position, text, logprob)
    return LayerResult(
        index,
        tuple(came[key] for key in sorted(came)),
        tuple(failed[key] for key in sorted(failed)),
        answers=layer.answers,
        arrival=tuple(position for position in order if position in came),
    )


def proposal(speaker: Agent, position: int, text: str, logprob: float | None = None) -> Proposal:
    return Proposal(
        speaker.name, position, speaker.model, speaker.model, text, weight=speaker.weight, mean_logprob=logprob
    )
