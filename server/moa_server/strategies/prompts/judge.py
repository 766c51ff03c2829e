"""What a judge is told: to pick, to score, to compare, or to verify."""

from moa_server.domain.plan import Plan
from moa_server.domain.strategy import Brief
from moa_server.strategies.parts.json_text import object_schema
from moa_server.strategies.prompts.fenced import Fence, FencedBrief

PICK_SCHEMA = object_schema(best={"type": "array", "items": {"type": "integer"}})
SCORES_SCHEMA = object_schema(scores={"type": "array", "items": {"type": "number"}})
BETTER_SCHEMA = object_schema(better={"type": "integer", "enum": [0, 1, 2]})
CONFIDENCE_SCHEMA = object_schema(confidence={"type": "number"})
_OPENING = "Here are answers that assistants gave to the conversation above."
_JUDGE = "You are their judge: do not answer the conversation yourself. Neither order nor length is a merit."


def pick(plan: Plan, keep: int) -> Brief:
    """Return how a judge is asked for the answers that are worth going on with."""
    closing = (
        f"{_JUDGE} Choose the {keep} that are most correct and most useful to whoever has to write the final answer. "
        'Reply with JSON alone, their numbers the best first: {"best": [2, 1]}'
    )
    return FencedBrief(Fence(plan.mark), _OPENING, closing)


def score(plan: Plan, rubric: tuple[str, ...]) -> Brief:
    """Return how a judge is asked to score every answer."""
    closing = (
        f"{_JUDGE} Give each answer a score from 0 to 10 by these criteria: {'; '.join(rubric)}. "
        'Reply with JSON alone, a number for each answer in the order above: {"scores": [7, 4.5]}'
    )
    return FencedBrief(Fence(plan.mark), _OPENING, closing)


def compare(plan: Plan, rubric: tuple[str, ...]) -> Brief:
    """Return how a judge is asked which of two answers is better."""
    closing = (
        f"{_JUDGE} Say which of the two is better by these criteria: {'; '.join(rubric)}. "
        'Reply with JSON alone: {"better": 1} or {"better": 2}, or {"better": 0} when neither is'
    )
    return FencedBrief(Fence(plan.mark), _OPENING, closing)


def verify(plan: Plan) -> Brief:
    """Return how a verifier is asked whether an answer is right."""
    closing = (
        "Check it step by step: do not answer the conversation yourself. How likely is it that the answer is right and "
        'complete, from 0 to 1? Reply with JSON alone: {"confidence": 0.5}'
    )
    return FencedBrief(Fence(plan.mark), "Here is an answer to the conversation above.", closing, ("answer",))
