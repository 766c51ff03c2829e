"""What calls can use at the most, and what they cost: the one place that plans and runs count by.

A plan is compared with its budget by it before anything is called, and each call is reserved by it before it is made.
What a call sends is counted by `Prompt.tokens`, corrected upward by what was learned of its model.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Final

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.plan import Plan, WorstCase
from moa_server.domain.ports import Model
from moa_server.domain.strategy import TOLD, TOLD_OF_REFERENCE, OutlinedLayer
from moa_server.domain.usage import Usage
from moa_server.engine.plans.estimates import Estimates

_REFERENCE_SLACK: Final = 1.25
"""How many counted tokens a written token of prose becomes when it is read; more, where its writer is a thrifty one."""
_REPAIR_TOLD: Final = 100
"""Above what an agent is told when its answer does not satisfy the schema, but for the schema itself."""


@dataclass(frozen=True, slots=True)
class UpperBounds:
    """Counts what calls can use at the most, by the models that are offered and what was learned of how they count."""

    models: Mapping[str, Model]
    estimates: Estimates = field(default_factory=Estimates)

    def worst_call(self, spec: ModelSpec, prompt: Prompt) -> Usage:
        """Return the most that one call with this prompt can use."""
        sent = self.estimates.most(spec.name, prompt.tokens(spec))
        return _dearest_call(spec, sent, prompt.most_output(spec))

    def worst_case(self, plan: Plan, stages: Sequence[OutlinedLayer], *, failing: bool = False) -> WorstCase:
        """Return the most calls, tokens and money of a plan with these layers; as long as no call fails, or all do."""
        total = _Sum(self, plan, failing=failing).of(stages)
        return WorstCase(total.calls, total.tokens, total.cost_nanousd)

    def to_come(self, plan: Plan, stages: Sequence[OutlinedLayer], index: int) -> Usage:
        """Return the most that a plan's layers after one can use; nothing where a model of theirs is not known here."""
        if any(agent.model not in self.models for layer in stages for agent in layer.agents):
            return Usage()
        total = _Sum(self, plan).of(stages, first=index + 1)
        return replace(total, cost_nanousd=total.cost_nanousd or 0)

    def lost_calls(self, lost: Sequence[tuple[int, str]], plan: Plan) -> Usage:
        """Return the most that calls of these layers and agents can have used."""
        agents = {agent.name: agent for agent in plan.roster.agents() if agent.model in self.models}
        counted, total = _Sum(self, plan), Usage()
        for layer, name in lost:
            agent = agents.get(name)
            if agent is None:
                total += Usage.unknown(1)
                continue
            # Which layers it was shown, and what it was told, is the strategy's secret: all before it are the most.
            before = [one for planned in plan.layers[:layer] for one in planned.agents if one.model in self.models]
            shown = _Shown(sum(map(counted.output, before)), len(before))
            total += counted.turn(agent, _ANY_LAYER, shown)
        return total


@dataclass(frozen=True, slots=True)
class _Shown:
    """References, as those who wrote them count."""

    tokens: int = 0
    count: int = 0


_ANY_LAYER: Final = OutlinedLayer((), told=TOLD * 2 + 1_000)
"""A layer of which nothing is known but who speaks in it."""


class _Sum:
    """The most that layers of a plan come to."""

    def __init__(self, bounds: UpperBounds, plan: Plan, *, failing: bool = False) -> None:
        self._bounds = bounds
        self._plan = plan
        self._failing = failing
        self._asked: dict[str, int] = {}
        """What each model counts for the conversation alone."""

    def of(self, stages: Sequence[OutlinedLayer], first: int = 0) -> Usage:
        """Return it for all layers from one on, and for the repair of a structured answer after them."""
        total, written, counts = Usage(), list[int](), list[int]()
        for index, layer in enumerate(stages):
            shown = _Shown(layer.shown(written), layer.shown(counts))
            if index >= first:
                turns = [self.turn(agent, layer, shown) for agent in layer.agents]
                total += _dearest(turns, layer.most)
            outputs = sorted(map(self.output, layer.agents), reverse=True)[: layer.most]
            written.append(sum(outputs))
            counts.append(len(outputs))
        if self._plan.response_schema is not None:
            total += self._repair(self._plan.response_schema)
        return total

    def turn(self, agent: Agent, layer: OutlinedLayer, shown: _Shown) -> Usage:
        """Return the most that one agent's turn can use."""
        if not self._failing:
            return self._call(agent, self._spec(agent.model), layer, shown)
        turn = Usage()
        # Each parameter can be refused once, the limit on the output too, which is then sent under its other name.
        refusable = len({*agent.sampling.given, "max_tokens"}) + layer.logprobs
        for spec, count in self._attempts(self._spec(agent.model), refusable):
            turn += _times(count, self._call(agent, spec, layer, shown))
        # What broke off may begin again.
        return _times(2 if layer.answers and self._plan.rules.restart_answer else 1, turn)

    def output(self, agent: Agent) -> int:
        """Return the most that an agent writes."""
        return self._spec(agent.model).most_output(agent.sampling)

    def _attempts(self, spec: ModelSpec, refusable: int) -> Iterator[tuple[ModelSpec, int]]:
        """Yield every model that one call of a model may reach, and how often.

        That is with its retries, its rival, its fallbacks, and once more for each parameter that can be refused.
        """
        rules = spec.reliability
        yield spec, 1 + rules.retry.attempts + refusable
        if rules.hedge is not None:
            yield self._spec(rules.hedge.model), 1 + refusable
        for other in map(self._spec, rules.fallbacks):
            yield other, 1 + other.reliability.retry.attempts + refusable

    def _call(self, agent: Agent, spec: ModelSpec, layer: OutlinedLayer, shown: _Shown) -> Usage:
        output, estimates = min(self.output(agent), spec.max_output), self._bounds.estimates
        told = tokens.TOKENS_PER_MESSAGE + layer.told if layer.told else 0
        if agent.instructions:
            told += tokens.TOKENS_PER_MESSAGE + tokens.of_text(agent.instructions, spec.counted_by)
        references = shown.count * TOLD_OF_REFERENCE + ceil(shown.tokens * _REFERENCE_SLACK)
        schema = tokens.of_schema(layer.schema or self._plan.response_schema, spec.counted_by)
        wanted = self._conversation(spec) + told + references + schema
        # References that do not fit are trimmed, so that no prompt is larger than its room in the window.
        sent = estimates.most(spec.name, min(wanted, estimates.room(spec, output)))
        return _dearest_call(spec, sent, output)

    def _repair(self, schema: str) -> Usage:
        """Return the most that it takes one of the agents, whose text is the answer, to put it right."""
        agents = tuple(self._plan.roster.agents())
        told = _REPAIR_TOLD + max(tokens.of_text(schema, self._spec(agent.model).counted_by) for agent in agents)
        layer = OutlinedLayer(agents, told=told)
        written = _Shown(max(map(self.output, agents)), 1)
        return _dearest([self.turn(agent, layer, written) for agent in agents], 1)

    def _conversation(self, spec: ModelSpec) -> int:
        if spec.name not in self._asked:
            self._asked[spec.name] = tokens.of_call(self._plan.messages, None, spec.counted_by)
        return self._asked[spec.name]

    def _spec(self, model: str) -> ModelSpec:
        return self._bounds.models[model].spec


def priced(usage: Usage, spec: ModelSpec) -> Usage:
    """Return what one call used, with its cost."""
    return replace(usage, calls=1, cost_nanousd=None if spec.price is None else spec.price.cost_nanousd(usage))


def _dearest(turns: Sequence[Usage], most: int | None) -> Usage:
    """Return what so many of the turns come to at the most: by calls, by tokens, and by money, apart."""
    total = sum(sorted(turns, key=lambda turn: turn.tokens, reverse=True)[:most], Usage())
    costs = [turn.cost_nanousd for turn in turns if turn.cost_nanousd is not None]
    known = len(costs) == len(turns)
    return replace(
        total,
        calls=sum(sorted((turn.calls for turn in turns), reverse=True)[:most]),
        cost_nanousd=sum(sorted(costs, reverse=True)[:most]) if known else None,
    )


def _times(count: int, usage: Usage) -> Usage:
    return sum([usage] * count, Usage())


def _dearest_call(spec: ModelSpec, input_tokens: int, output_tokens: int) -> Usage:
    cost = None if spec.price is None else spec.price.dearest_nanousd(input_tokens, output_tokens)
    return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost_nanousd=cost)
