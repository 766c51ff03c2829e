"""A mixture with the caller's overrides: resolved, bounded, and never changed again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation
from moa_server.domain.degradation import Degradation
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.usage import Budget


@dataclass(frozen=True, slots=True)
class PlannedLayer:
    """A layer as the worst case has it."""

    index: int
    agents: tuple[Agent, ...]
    quorum: int
    grace_s: float
    answers: bool = False
    most: int | None = None
    """How many of its agents speak at the most; None means all."""
    folds: bool = False
    """Whether it is only there for references that are too long for the answering agent."""


@dataclass(frozen=True, slots=True)
class WorstCase:
    """The most a plan can use."""

    calls: int
    tokens: int
    cost_nanousd: int | None
    """None when a price is unknown."""

    def beyond(self, budget: Budget) -> dict[str, str]:
        """Return the first limit of a budget that it goes beyond, as metadata; empty when there is none."""
        if budget.cost_nanousd is not None and self.cost_nanousd is None:
            return {"limit": "cost_nanousd", "needed": "unknown", "allowed": str(budget.cost_nanousd)}
        pairs = (
            ("calls", self.calls, budget.calls),
            ("tokens", self.tokens, budget.tokens),
            ("cost_nanousd", self.cost_nanousd, budget.cost_nanousd),
        )
        for limit, needed, allowed in pairs:
            if allowed is not None and needed is not None and needed > allowed:
                return {"limit": limit, "needed": str(needed), "allowed": str(allowed)}
        return {}


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run carries out."""

    mixture: str
    strategy: str
    messages: Conversation
    """The caller's, byte for byte."""
    roster: Roster
    """Overrides applied, cut to fit the budget."""
    layers: tuple[PlannedLayer, ...]
    """The most that can be carried out, in order."""
    worst_case: WorstCase
    """As long as no call fails."""
    budget: Budget
    rules: Rules
    mark: str
    """What fences references; nobody can guess it."""
    seed: int
    """Of every pseudo-random choice of the run."""
    options: Mapping[str, Any] = field(default_factory=dict)
    response_schema: str | None = None
    degradations: tuple[Degradation, ...] = ()
    """What was taken from the mixture to fit the budget."""
    worst_case_with_failures: WorstCase | None = None
    """With every retry, hedge, fallback and restart that is configured; None in a plan of before it was told."""
