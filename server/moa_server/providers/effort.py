"""Says how much a model should reason in what its endpoint knows: in steps, or as a share of an answer's tokens."""

from collections.abc import Mapping, Sequence
from typing import Final, Literal, get_args

from moa_server.domain.agent import ReasoningEffort

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
"""The steps that endpoints know, between them."""
USUAL_EFFORTS: Final[tuple[Effort, ...]] = ("low", "medium", "high")
"""What every endpoint takes that takes an effort at all."""
ALL_EFFORTS: Final[tuple[Effort, ...]] = get_args(Effort)

LEAST_BUDGET: Final = 1024
"""Tokens of the smallest budget that an endpoint takes."""
_SHARES: Final[Mapping[ReasoningEffort, float]] = {
    ReasoningEffort.MINIMAL: 0.1,
    ReasoningEffort.LOW: 0.2,
    ReasoningEffort.MEDIUM: 0.5,
    ReasoningEffort.HIGH: 0.8,
    ReasoningEffort.MAX: 0.9,
}
"""Of the tokens that an answer may have with its reasoning: never so much that none are left for the answer."""


def nearest(wanted: ReasoningEffort, known: Sequence[Effort]) -> Effort | None:
    """Return the known step that comes nearest, of two the lesser; None where there is none.

    Not to reason is no step of reasoning: only who wants it gets it.
    """
    if wanted.value in known:
        return wanted.value
    place = ALL_EFFORTS.index(wanted.value)
    steps = [step for step in ALL_EFFORTS if step in known and step != "none"]
    return min(steps, key=lambda step: abs(ALL_EFFORTS.index(step) - place), default=None)


def unsaid_reasoning(known: Sequence[Effort]) -> dict[str, str]:
    """Return why an endpoint that is told of an effort in these steps, if at all, is not told what else may be said."""
    silent = {"reasoning_tokens": "its dialect has no word for it"}
    return silent if known else {**silent, "reasoning_effort": "its dialect has no efforts"}


def budget(effort: ReasoningEffort | None, most: int | None, output: int) -> int | None:
    """Return how many of so many tokens of output are to be reasoned, at ``most`` so many; None if too few would be."""
    if effort is ReasoningEffort.NONE:
        return None
    share = max(int(output * _SHARES[effort or ReasoningEffort.MAX]), LEAST_BUDGET)
    tokens = share if most is None else min(share, most)
    return tokens if LEAST_BUDGET <= tokens < output else None
