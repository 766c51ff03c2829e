"""What calls can use at the most, and what they cost: the one place that plans and runs count by.

A plan is compared with its budget by it before anything is called, and each call is reserved by it before it is made.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.plan import Plan, WorstCase
from moa_server.domain.ports import Model
from moa_server.domain.strategy import OutlinedLayer
from moa_server.domain.usage import Usage

BRIEF_TOKENS = 700
"""Above what any strategy tells an agent beside its references."""
_REFERENCE_SLACK = 1.5
"""How many estimated tokens a written token can become when it is read as a reference."""


def worst_case(stages: Sequence[OutlinedLayer], conversation: Conversation, models: Mapping[str, Model]) -> WorstCase:
    """Return the most calls, tokens and money of these layers, without retries and hedges."""
    asked = tokens.of_messages(conversation)
    total = Usage()
    written: list[int] = []
    for layer in stages:
        shown = layer.shown(written)
        turns = [_worst_turn(agent, models[agent.model].spec, asked, shown) for agent in layer.agents]
        total += _dearest(turns, layer.most)
        outputs = sorted((_output(agent, models[agent.model].spec) for agent in layer.agents), reverse=True)
        written.append(sum(outputs[: layer.most]))
    return WorstCase(total.calls, total.tokens, total.cost_nanousd)


def with_repair(
    worst: WorstCase, agents: Sequence[Agent], schema: str, conversation: Conversation, models: Mapping[str, Model]
) -> WorstCase:
    """Return a worst case in which one of the agents, whose text is the answer, has to put it right."""
    asked = tokens.of_messages(conversation) + tokens.of_text(schema)
    written = max(_output(agent, models[agent.model].spec) for agent in agents)
    repair = _dearest([_worst_turn(agent, models[agent.model].spec, asked, written) for agent in agents], 1)
    known = worst.cost_nanousd is not None and repair.cost_nanousd is not None
    cost = (worst.cost_nanousd or 0) + (repair.cost_nanousd or 0) if known else None
    return WorstCase(worst.calls + 1, worst.tokens + repair.tokens, cost)


def to_come(plan: Plan, stages: Sequence[OutlinedLayer], index: int, models: Mapping[str, Model]) -> Usage:
    """Return the most that a plan's layers after one can use; nothing where a model of theirs is not known here."""
    if any(agent.model not in models for layer in stages for agent in layer.agents):
        return Usage()
    whole, begun = plan.worst_case, worst_case(stages[: index + 1], plan.messages, models)
    return Usage(
        calls=max(whole.calls - begun.calls, 0),
        input_tokens=max(whole.tokens - begun.tokens, 0),
        cost_nanousd=max((whole.cost_nanousd or 0) - (begun.cost_nanousd or 0), 0),
    )


def lost_calls(lost: Sequence[tuple[int, str]], plan: Plan, models: Mapping[str, Model]) -> Usage:
    """Return the most that calls of these layers and agents can have used."""
    agents = {agent.name: agent for agent in plan.roster.agents() if agent.model in models}
    asked = tokens.of_messages(plan.messages)
    total = Usage()
    for layer, name in lost:
        agent = agents.get(name)
        if agent is None:
            total += Usage.unknown(1)
            continue
        # Which layers it was shown is the strategy's secret: all before it are the most.
        before = [one for planned in plan.layers[:layer] for one in planned.agents if one.model in models]
        shown = sum(_output(one, models[one.model].spec) for one in before)
        total += _worst_turn(agent, models[agent.model].spec, asked, shown)
    return total


def worst_call(spec: ModelSpec, prompt: Prompt) -> Usage:
    """Return the most that one call with this prompt can use."""
    return _dearest_call(spec, tokens.of_messages(prompt.messages), prompt.sampling.max_tokens or spec.max_output)


def priced(usage: Usage, spec: ModelSpec) -> Usage:
    """Return what one call used, with its cost."""
    return replace(usage, calls=1, cost_nanousd=None if spec.price is None else spec.price.cost_nanousd(usage))


def _dearest(turns: Sequence[Usage], most: int | None) -> Usage:
    """Return what so many of the turns come to at the most: by tokens, and by money, apart."""
    total = sum(sorted(turns, key=lambda turn: turn.tokens, reverse=True)[:most], Usage())
    costs = [turn.cost_nanousd for turn in turns if turn.cost_nanousd is not None]
    known = len(costs) == len(turns)
    return replace(total, cost_nanousd=sum(sorted(costs, reverse=True)[:most]) if known else None)


def _worst_turn(agent: Agent, spec: ModelSpec, asked: int, shown: int) -> Usage:
    output = _output(agent, spec)
    told = tokens.of_text(agent.instructions) + tokens.TOKENS_PER_MESSAGE + BRIEF_TOKENS
    wanted = asked + told + int(shown * _REFERENCE_SLACK)
    # References that do not fit are trimmed, so that no prompt is larger than its room in the window.
    return _dearest_call(spec, min(wanted, max(spec.window - output, 0)), output)


def _dearest_call(spec: ModelSpec, input_tokens: int, output_tokens: int) -> Usage:
    cost = None if spec.price is None else spec.price.dearest_nanousd(input_tokens, output_tokens)
    return Usage(calls=1, input_tokens=input_tokens, output_tokens=output_tokens, cost_nanousd=cost)


def _output(agent: Agent, spec: ModelSpec) -> int:
    return agent.sampling.max_tokens or spec.max_output
