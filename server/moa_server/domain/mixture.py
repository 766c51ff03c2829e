"""A named recipe: which agents speak in which layers, by which rules, and what a caller may change."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import chain
from typing import Annotated, Any

from moa_server.domain.agent import Agent
from moa_server.domain.quantities import AgentName, AtLeastOne, Called, Mark, Range, Seconds, Tokens, Words
from moa_server.domain.usage import Budget


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
    """How references are put into a prompt: fenced after the conversation, or as the paper has it."""
    reference_order: ReferenceOrder = ReferenceOrder.CONFIGURED
    """In which order references are shown."""
    quorum: AtLeastOne | None = None
    """Proposals a layer needs before its grace begins, each sample one; when left out, all that do not fail."""
    grace_s: Seconds = 0.0
    """How long a layer waits for the others once it has its quorum."""
    fail_below_quorum: Annotated[bool, Called("when_short"), Words("fail", "degrade")] = True
    """What becomes of a run with a layer below its quorum."""
    return_single: Annotated[bool, Called("single"), Words("return", "aggregate")] = False
    """What becomes of the only proposal of the last proposer layer: it is the answer, or the aggregator reads it."""
    best_proposal_on_failure: Annotated[bool, Called("when_aggregator_fails"), Words("best_proposal", "fail")] = True
    """What becomes of a run whose aggregator failed before its first word."""
    fold_when_too_long: bool = False
    """Whether references too long for the aggregator's window are read a few at a time, by more calls."""
    restart_answer: bool = False
    """Whether an answer that broke off may begin again."""
    degrade_to_budget: Annotated[bool, Called("when_over_budget"), Words("degrade", "refuse")] = True
    """Whether a plan over its budget loses layers, then agents, or is refused."""
    answer_share: Annotated[float, Range(above=0, below=1)] = 0.4
    """The share of the time that is kept for the answering agent."""
    answer_words: AtLeastOne | None = None
    """The length that the answering agent is asked to keep to."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What a caller may change."""

    sampling: bool = True
    """Whether sampling may be changed."""
    max_tokens: Tokens | None = None
    """The most output tokens a caller may ask for; when left out, each agent's own number."""
    agents: Annotated[tuple[AgentName, ...], Mark.DISTINCT, Mark.OR_ALL] = ()
    """The agents that may be put into layers or made the aggregator: a list, or all."""
    response_schema: bool = True
    """Whether the answer may be asked for in a JSON Schema."""


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
