"""What a strategy is: a pure rule that says who speaks next and what they are shown.

A rule is a generator. It yields a `Layer` and receives its `LayerResult`; it may yield a `Decision` or a `Degradation`
to have it recorded, and receives None; it returns the `Answer`. It does no I/O, looks at no clock, draws random numbers
only from the plan's seed, and so gives the same layers and the same answer whenever it is fed the same results.
"""

from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.conversation import Conversation
from moa_server.domain.degradation import Degradation
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import Answer, LayerResult, Proposal

Brief = Callable[[Conversation, tuple[str, ...]], Conversation]
"""Puts the texts of references, numbered as they come, into a conversation; without any, it stays as it is."""


def as_asked(messages: Conversation, _references: tuple[str, ...]) -> Conversation:
    """Show nothing beside the conversation."""
    return messages


@dataclass(frozen=True, slots=True)
class Call:
    """One agent's turn in a layer."""

    agent: Agent
    shown: tuple[Proposal, ...] = ()
    """The references, in the order in which they are shown."""
    brief: Brief = as_asked
    """How they are put, and what the agent is told about them."""
    messages: Conversation | None = None
    """The conversation; None means the caller's."""
    response_schema: str | None = None
    """A JSON Schema its text has to satisfy."""
    logprobs: bool = False
    """Whether the strategy reads the log-probabilities of its words."""
    least_shown: int = 24
    """Estimated tokens that must be left of a reference that is cut to fit; else the call fails as too long."""


@dataclass(frozen=True, slots=True)
class Layer:
    """Calls made side by side."""

    calls: tuple[Call, ...]
    answers: bool = False
    """Whether its one call's stream is the answer."""
    stand_ins: tuple[Proposal, ...] | None = None
    """Proposals the best of which is the answer should that call fail; None means those it is shown."""
    quorum: int | None = None
    """How many proposals it needs; None means what the plan says."""
    enough: Callable[[tuple[Proposal, ...]], bool] | None = None
    """Whether what has come, in configured order, settles the matter, so that the rest is cancelled."""
    excused: bool = False
    """Whether the rule goes on when every call has failed; the result then has no proposals."""
    returns: frozenset[str] = frozenset()
    """Reasons of the answering agent's failure, before its first word, that the rule itself goes on from."""

    def hands_back(self, result: LayerResult) -> bool:
        """Whether the rule goes on without the answer that this layer was to give."""
        return not result.proposals and [failure.reason in self.returns for failure in result.failures] == [True]


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy chose, and why."""

    subject: str
    """Such as ``route``, ``rank``, ``stop`` or ``escalate``."""
    chosen: tuple[str, ...]
    detail: str
    calls_saved: int = 0
    shadow: bool = False
    """Whether it is only reported, not followed."""


Rule = Generator[Layer | Decision | Degradation, LayerResult | None, Answer]


@dataclass(frozen=True, slots=True)
class OutlinedLayer:
    """A layer of the worst case."""

    agents: tuple[Agent, ...]
    looks_back: int = 1
    """From how many layers before it proposals can be shown; what an agent is told beside them counts apart."""
    answers: bool = False
    most: int | None = None
    """How many of its agents speak at the most; None means all, each as often as it is named."""
    folds: bool = False
    """Whether it is only there where a mixture has references folded that are too long."""


@dataclass(frozen=True, slots=True)
class Strategy:
    """A rule and what must be known of it before it runs."""

    name: str
    run: Callable[[Plan], Rule]
    outline: Callable[[Roster, Any], tuple[OutlinedLayer, ...]]
    """The most layers and calls the rule can ask for, given its options."""
    problems: Callable[[Roster, Any], Iterable[str]]
    """What makes a roster or its options impossible, one sentence each."""
    options: type[Any]
    """A frozen dataclass of plain fields: numbers, texts, truths, and tuples of these."""

    def stages(self, roster: Roster, options: Any, rules: Rules) -> tuple[OutlinedLayer, ...]:  # noqa: ANN401 - as below
        """Return the worst case by a mixture's rules."""
        found = self.outline(roster, options)
        return tuple(stage for stage in found if rules.fold_when_too_long or not stage.folds)

    def read(self, options: Mapping[str, Any]) -> Any:  # noqa: ANN401 - each strategy has a type of its own
        """Return the strategy's own options from plain data."""
        return self.options(**options)
