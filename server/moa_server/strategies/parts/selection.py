"""Which proposals of a layer are shown onward, and in which order."""

from moa_server.domain.agent import Agent
from moa_server.domain.mixture import ReferenceOrder
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Call, Decision, DecisionKind
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.similarity import most_diverse
from moa_server.strategies.parts.sub_rule import SubRule, ask_one, drawn, fell_back, names
from moa_server.strategies.prompts import judge as prompts


def ordered(plan: Plan, result: LayerResult) -> tuple[Proposal, ...]:
    """Return a layer's proposals as the plan's rules want them shown."""
    match plan.rules.reference_order:
        case ReferenceOrder.CONFIGURED:
            return result.proposals
        case ReferenceOrder.SHUFFLED:
            return tuple(sorted(result.proposals, key=lambda one: drawn(plan.seed, result.index, one.position)))
        case ReferenceOrder.ARRIVAL:
            ranks = {position: rank for rank, position in enumerate(result.arrival)}
            return tuple(sorted(result.proposals, key=lambda one: ranks.get(one.position, len(ranks))))


def diverse(proposals: tuple[Proposal, ...], keep: int) -> SubRule[tuple[Proposal, ...]]:
    """Choose those that differ most."""
    if len(proposals) <= keep:
        return proposals
    places = most_diverse([proposal.text for proposal in proposals], keep)
    chosen = tuple(proposals[place] for place in places)
    yield Decision(DecisionKind.SELECT, names(chosen), f"the {keep} of {len(proposals)} proposals that differ most")
    return chosen


def judged(plan: Plan, judge: Agent, proposals: tuple[Proposal, ...], keep: int) -> SubRule[tuple[Proposal, ...]]:
    """Let a judge choose; all are shown when it does not."""
    if len(proposals) <= keep:
        return proposals
    verdict = yield from ask_one(Call(judge, proposals, prompts.pick(plan, keep), response_schema=prompts.PICK_SCHEMA))
    best = (last_object(verdict.text, "best") or {}).get("best") if verdict else None
    # A judge that names what is not there has not understood; what else it names is not trusted then.
    known = range(1, len(proposals) + 1)
    if not best or not isinstance(best, list) or not all(type(one) is int and one in known for one in best):
        yield fell_back("the judge picked no proposals, so that all of them are shown")
        return proposals
    # In the order in which they came, since the one that is shown first would weigh more.
    chosen = tuple(proposals[number - 1] for number in sorted([*dict.fromkeys(best)][:keep]))
    yield Decision(DecisionKind.SELECT, names(chosen), f"the judge's choice of {len(proposals)} proposals")
    return chosen
