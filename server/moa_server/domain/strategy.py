"""What a strategy is: a pure rule that says who speaks next and what they are shown.

A rule is a generator. It yields a `Layer` and receives its `LayerResult`; it may yield a `Decision` or a `Degradation`
to have it recorded, and receives None; it returns the `Answer`. It does no I/O, looks at no clock, draws random numbers
only from the plan's seed, and so gives the same layers and the same answer whenever it is fed the same results.
"""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from itertools import chain
from typing import Any, Final, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from moa_server.domain.agent import Agent
from moa_server.domain.answer import Answer, Judgement
from moa_server.domain.conversation import Conversation
from moa_server.domain.degradation import Degradation
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal

Options = TypeVar("Options")
"""What can be said about a strategy, a dataclass of its own."""

TOLD: Final = 220
"""The most tokens that a strategy tells an agent in words of its own, without its options' texts and its references."""
TOLD_OF_REFERENCE: Final = 72
"""The most tokens of what stands around one reference: its fence, its label, its weight."""

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
    in_quorum: bool = True
    """Whether a quorum counts it; one that none counts is waited for."""


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
    falls_back: bool = False
    """Whether it goes on then from what it had before, where the mixture does not fail below its quorum."""
    returns: frozenset[str] = frozenset()
    """Reasons of the answering agent's failure, before its first word, that the rule itself goes on from."""

    def hands_back(self, result: LayerResult) -> bool:
        """Whether the rule goes on without the answer that this layer was to give."""
        return not result.proposals and [failure.reason in self.returns for failure in result.failures] == [True]


class DecisionKind(StrEnum):
    """What a decision is about."""

    ROUTE = "route"
    COORDINATE = "coordinate"
    SELECT = "select"
    RANK = "rank"
    VOTE = "vote"
    STOP = "stop"
    ESCALATE = "escalate"
    ABSTAIN = "abstain"


@dataclass(frozen=True, slots=True)
class Decision:
    """What a strategy chose, and why."""

    kind: DecisionKind
    chosen: tuple[str, ...]
    """The names chosen, the first the most wanted."""
    detail: str
    """One sentence for people."""
    calls_avoided: int = 0
    """Calls that were planned and need not be made."""
    calls_cut: int = 0
    """Calls that were begun and are stopped."""
    shadow: bool = False
    """Whether it is only reported, not followed."""
    judgement: Judgement | None = None
    """What it rests on, where proposals were judged."""


Rule = Generator[Layer | Decision | Degradation, LayerResult | None, Answer]


@dataclass(frozen=True, slots=True)
class OutlinedLayer:
    """A layer of the worst case."""

    agents: tuple[Agent, ...]
    looks_back: int = 1
    """From how many layers before it proposals can be shown; what an agent is told beside them counts apart."""
    of_one: bool = False
    """Whether they come to no more than one of these layers gives, whichever it is."""
    told: int = TOLD
    """The most tokens that its agents are told, but for references; 0 where they see the conversation as it is."""
    schema: str | None = None
    """The JSON Schema of the strategy's own that they are held to, in place of the caller's."""
    answers: bool = False
    most: int | None = None
    """How many of its agents speak at the most; None means all, each as often as it is named."""
    logprobs: bool = False
    """Whether its agents are asked for the log-probabilities of their words."""
    folds: bool = False
    """Whether it is only there where a mixture has references folded that are too long."""

    def shown(self, given: Sequence[int]) -> int:
        """Return the most that can be shown in it of what the layers before it give, a number each."""
        reach = given[max(len(given) - self.looks_back, 0) :] if self.told else ()
        return max(reach, default=0) if self.of_one else sum(reach)


@dataclass(frozen=True, slots=True)
class Strategy(Generic[Options]):
    """A rule and what must be known of it before it runs."""

    name: str
    rule: Callable[[Plan, Options], Rule]
    """Begins a run, given the plan's options."""
    outline: Callable[[Roster, Options], tuple[OutlinedLayer, ...]]
    """The most layers and calls the rule can ask for, given its options."""
    checks: Callable[[Roster, Options], Iterable[str]]
    """What makes a roster or its options impossible, one sentence each; words of a `Literal` are checked already."""
    options: type[Options]
    """A frozen dataclass of plain fields: numbers, texts, truths, words of a `Literal`, and tuples of these."""

    def run(self, plan: Plan) -> Rule:
        """Begin a run."""
        return self.rule(plan, self.read(plan.options))

    def outlined(self, roster: Roster, options: Options, rules: Rules) -> tuple[OutlinedLayer, ...]:
        """Return the worst case by a mixture's rules."""
        found = self.outline(roster, options)
        return tuple(layer for layer in found if rules.fold_when_too_long or not layer.folds)

    def problems(self, roster: Roster, options: Options) -> Iterator[str]:
        """Tell what makes a roster or its options impossible, one sentence each."""
        kind: object = self.options
        for option, words in _choices(kind).items():
            value = getattr(options, option)
            for said in (value,) if isinstance(value, str) else value:
                if said not in words:
                    yield f"{option} is {said!r}; it can be {', '.join(word for word in words if word)}"
        yield from self.checks(roster, options)

    def read(self, options: Mapping[str, Any]) -> Options:
        """Return the strategy's own options from plain data."""
        # A plan that comes from the journal has been JSON, which knows lists alone.
        plain = {name: tuple(value) if isinstance(value, list) else value for name, value in options.items()}
        return self.options(**plain)


@cache
def _choices(options: object) -> Mapping[str, tuple[str, ...]]:
    """Return the options that are words of a `Literal`, or tuples of such words, each with all there are."""
    words = {name: _words_of(hint) for name, hint in get_type_hints(options).items()}
    return {name: found for name, found in words.items() if found}


def _words_of(hint: Any) -> tuple[str, ...]:  # noqa: ANN401 - of any type
    if get_origin(hint) is Literal:
        return get_args(hint)
    parts = [_words_of(part) for part in get_args(hint) if part is not ...]
    return tuple(chain.from_iterable(parts)) if all(parts) else ()
