"""How certain a tier of a cascade is of its answer."""

import math
from dataclasses import dataclass
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Proposal
from moa_server.domain.strategy import Call
from moa_server.strategies.parts.election import weightiest
from moa_server.strategies.parts.json_text import last_object
from moa_server.strategies.parts.similarity import agreement, most_central
from moa_server.strategies.parts.steps import Step, ask_one
from moa_server.strategies.parts.tally import Counting
from moa_server.strategies.prompts import verifier as prompts

GATES = ("agreement", "self_verification", "logprobs")


@dataclass(frozen=True, slots=True)
class Opinion:
    """The best a tier has to say, and how certain it is, from 0 to 1."""

    best: Proposal
    confidence: float


def by_likeness(proposals: tuple[Proposal, ...]) -> Opinion:
    """Trust texts that are alike; the best is the one most like the others."""
    texts = [proposal.text for proposal in proposals]
    return Opinion(proposals[most_central(texts)], agreement(texts))


def by_votes(proposals: tuple[Proposal, ...], counting: Counting) -> Opinion:
    """Trust what many vote for; a text without a vote counts against it."""
    choices = counting.choices(proposals)
    total = sum(proposal.weight for proposal in proposals)
    if not choices or not total or len(proposals) == 1:
        return Opinion(choices[0].voters[0] if choices else weightiest(proposals), 0.0)
    return Opinion(choices[0].voters[0], float(choices[0].weight) / total)


def by_logprobs(proposals: tuple[Proposal, ...]) -> Opinion:
    """Trust words that were likely: the mean probability of a word, 0 where the endpoint does not tell."""
    best = max(proposals, key=likelihood)
    return Opinion(best, likelihood(best))


def likelihood(proposal: Proposal) -> float:
    """Return the geometric mean of the probabilities of a proposal's words."""
    return 0.0 if proposal.mean_logprob is None else min(math.exp(min(proposal.mean_logprob, 0.0)), 1.0)


def by_verification(plan: Plan, verifier: Agent, best: Proposal) -> Step[Opinion]:
    """Trust what holds when it is checked."""
    said = yield from ask_one(Call(verifier, (best,), prompts.brief(plan), response_schema=prompts.SCHEMA))
    return Opinion(best, read_confidence(said.text) if said else 0.0)


def read_confidence(text: str) -> float:
    """Return a confidence from 0 to 1; 0 where a text tells none."""
    value: Any = (last_object(text, "confidence") or {}).get("confidence")
    return float(value) if type(value) in (int, float) and 0 <= value <= 1 else 0.0
