"""Chooses which proposals of a layer are shown onward."""

from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import Call, Decision
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.similarity import most_diverse
from moa_server.strategies.parts.steps import Step, ask_one, fell_back, names
from moa_server.strategies.prompts import judge as prompts


def diverse(proposals: tuple[Proposal, ...], keep: int) -> Step[tuple[Proposal, ...]]:
    """Choose those that differ most."""
    if len(proposals) <= keep:
        return proposals
    places = most_diverse([proposal.text for proposal in proposals], keep)
    chosen = tuple(proposals[place] for place in places)
    yield Decision("select", names(chosen), f"the {keep} of {len(proposals)} proposals that differ most")
    return chosen


def judged(plan: Plan, judge: Agent, proposals: tuple[Proposal, ...], keep: int) -> Step[tuple[Proposal, ...]]:
    """Let a judge choose; all are shown when it does not."""
    if len(proposals) <= keep:
        return proposals
    verdict = yield from ask_one(Call(judge, proposals, prompts.pick(plan, keep), response_schema=prompts.PICK_SCHEMA))
    picked = picked_places(verdict.text, len(proposals))[:keep] if verdict else []
    if not picked:
        yield fell_back("the judge picked no proposals, so that all of them are shown")
        return proposals
    chosen = tuple(proposals[place] for place in sorted(picked))
    yield Decision("select", names(chosen), f"the judge's choice of {len(proposals)} proposals")
    return chosen


def picked_places(text: str, count: int) -> list[int]:
    """Return the places a judge named, the best first; none when it named any that is not there."""
    found: dict[str, Any] = last_object(text, "best") or {}
    best = found.get("best")
    if not isinstance(best, list) or not all(type(number) is int and 1 <= number <= count for number in best):
        return []
    return [number - 1 for number in dict.fromkeys(best)]
