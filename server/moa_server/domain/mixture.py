"""A named recipe: which agents speak in which layers, by which rules, and what a caller may change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.budget import Budget


class PromptForm(StrEnum):
    """How references are put into a prompt."""

    FENCED = "fenced"
    """After the caller's last message, behind an unguessable mark."""
    PAPER = "paper"
    """In the system message, to the letter of the paper."""


class ReferenceOrder(StrEnum):
    """In which order references are shown."""

    CONFIGURED = "configured"
    SHUFFLED = "shuffled"
    """By the run's seed."""
    ARRIVAL = "arrival"


@dataclass(frozen=True, slots=True)
class Roster:
    """Who speaks in a mixture."""

    layers: tuple[tuple[Agent, ...], ...] = ()
    """Those who propose, layer by layer."""
    aggregator: Agent | None = None
    """Who writes the answer, where the strategy has one."""
    roles: Mapping[str, Agent] = field(default_factory=dict)
    """Agents with a task of their own, such as a judge, by the name of the task."""

    def agents(self) -> Iterator[Agent]:
        """Yield every agent, in the order of the configuration; the same one more than once if it is named so."""
        yield from chain.from_iterable(self.layers)
        if self.aggregator is not None:
            yield self.aggregator
        yield from self.roles.values()


@dataclass(frozen=True, slots=True)
class Rules:
    """What holds for every run of a mixture."""

    prompt_form: PromptForm = PromptForm.FENCED
    reference_order: ReferenceOrder = ReferenceOrder.CONFIGURED
    quorum: int | None = None
    """Proposals a layer needs; None means all that it has agents for, failures excused."""
    grace_s: float = 0.0
    """How long a layer waits for the others once it has its quorum."""
    fail_below_quorum: bool = True
    """Whether a layer below its quorum fails the run, or degrades the answer."""
    return_single: bool = False
    """Whether the only proposal of the last proposer layer is returned without asking the aggregator."""
    best_proposal_on_failure: bool = True
    """Whether the best proposal is the answer when the aggregator has failed before its first word."""
    fold_when_too_long: bool = False
    """Whether references that do not fit the answering agent's window are read a few at a time, by more calls."""
    restart_answer: bool = False
    """Whether an answer that broke off may begin again."""
    degrade_to_budget: bool = True
    """Whether a plan over its budget loses layers, then agents, or is refused."""
    answer_share: float = 0.4
    """The share of the time that is kept for the answering agent."""
    answer_words: int | None = None
    """The length the answering agent is asked to keep to."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a caller may change about a mixture."""

    sampling: bool = True
    max_tokens: int | None = None
    """The most output tokens a caller may ask of an agent; None means each agent's own number."""
    agents: tuple[str, ...] = ()
    """The agents a caller may put into layers or make the aggregator; empty means none."""
    response_schema: bool = True


@dataclass(frozen=True, slots=True)
class Mixture:
    """The operator's named recipe."""

    name: str
    strategy: str
    """The name of the rule that decides who speaks next."""
    roster: Roster
    rules: Rules = Rules()
    options: Mapping[str, Any] = field(default_factory=dict)
    """The strategy's own options, validated by it, as plain data."""
    budget: Budget = Budget()
    permissions: Permissions = Permissions()
    description: str = ""
