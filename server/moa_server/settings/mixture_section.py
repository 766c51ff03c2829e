"""The sections ``agents`` and ``mixtures``: who speaks, and by which rules."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from moa_server.domain.mixture import PromptForm, ReferenceOrder, Rules
from moa_server.settings.model_section import AtLeastOne, Tokens
from moa_server.settings.quantities import Dollars, Duration, Span
from moa_server.settings.section import LIST, MAPPING, TEXT, Maybe, Name, Names, Section, shape

_RULES = Rules()
_MOST_TEXT = 100_000


class SamplingSection(Section):
    """How a model picks its words; what is left out stays as the endpoint has it."""

    temperature: Maybe[Annotated[float, Field(ge=0, le=2)]] = None
    """From 0, the most predictable, to 2."""
    top_p: Maybe[Annotated[float, Field(gt=0, le=1)]] = None
    """The share of probability that words are picked from."""
    max_tokens: Maybe[Tokens] = None
    """The most tokens to be written, reasoning included."""
    seed: Maybe[Annotated[int, Field(ge=0, lt=2**63)]] = None
    """Makes an endpoint that honours it repeat itself."""
    stop: Annotated[tuple[Annotated[str, Field(min_length=1, max_length=256)], ...], Field(max_length=4)] = ()
    """Texts that end an answer, at most four."""
    presence_penalty: Maybe[Annotated[float, Field(ge=-2, le=2)]] = None
    """Above 0, words already said become less likely."""
    frequency_penalty: Maybe[Annotated[float, Field(ge=-2, le=2)]] = None
    """Above 0, words become less likely the more often they were said."""


class AgentSection(Section):
    """A named voice."""

    model: Name
    """The name of a model in this file."""
    instructions: Annotated[str, Field(max_length=_MOST_TEXT)] = ""
    """Said before the conversation, as the system's words."""
    sampling: SamplingSection = SamplingSection()
    """How it picks its words."""
    weight: Annotated[float, Field(ge=0, le=1_000_000)] = 1.0
    """What it counts beside the others."""
    labels: Names = ()
    """What it is good at, for strategies that choose."""


class RepeatSection(Section):
    """The same layer several times over."""

    repeat: Annotated[int, Field(ge=1, le=64)]
    """How many times."""
    agents: Names
    """The agents of each of them."""


class RulesSection(Section):
    """What holds for every run of the mixture."""

    prompt_form: PromptForm = _RULES.prompt_form
    """How references are put into a prompt: fenced after the conversation, or as the paper has it."""
    reference_order: ReferenceOrder = _RULES.reference_order
    """In which order references are shown."""
    quorum: Maybe[AtLeastOne] = _RULES.quorum
    """Proposals a layer needs before its grace begins; when left out, all that do not fail."""
    grace: Duration = _RULES.grace_s
    """How long a layer waits for the others once it has its quorum."""
    when_short: Literal["fail", "degrade"] = "fail"
    """What becomes of a run with a layer below its quorum."""
    single: Literal["aggregate", "return"] = "aggregate"
    """Whether the only proposal of the last proposer layer still goes to the aggregator."""
    when_aggregator_fails: Literal["best_proposal", "fail"] = "best_proposal"
    """What becomes of a run whose aggregator failed before its first word."""
    fold_when_too_long: bool = _RULES.fold_when_too_long
    """Whether references too long for the aggregator's window are read a few at a time, by more calls."""
    restart_answer: bool = _RULES.restart_answer
    """Whether an answer that broke off may begin again."""
    when_over_budget: Literal["degrade", "refuse"] = "degrade"
    """Whether a plan over its budget loses layers, then agents, or is refused."""
    answer_share: Annotated[float, Field(gt=0, lt=1)] = _RULES.answer_share
    """The share of the time that is kept for the answering agent."""
    answer_words: Maybe[AtLeastOne] = _RULES.answer_words
    """The length that the answering agent is asked to keep to."""


class BudgetSection(Section):
    """Limits on one run; what is left out is not limited."""

    calls: Maybe[AtLeastOne] = None
    """Physical calls, retries and hedges included."""
    tokens: Maybe[Annotated[int, Field(ge=1, le=10**12)]] = None
    """In and out, over all calls."""
    usd: Maybe[Dollars] = None
    """US dollars. Every model of the mixture needs a price."""
    time: Maybe[Span] = None
    """From the start of the run."""


Allowed = Annotated[
    Annotated[Literal["all"], Tag(TEXT)] | Annotated[Names, Tag(LIST)],
    Discriminator(shape),
]


class AllowSection(Section):
    """What a caller may change."""

    sampling: bool = True
    """Whether sampling may be changed."""
    max_tokens: Maybe[Tokens] = None
    """The most output tokens a caller may ask for; when left out, each agent's own number."""
    agents: Allowed = ()
    """The agents that may be put into layers or made the aggregator: a list, or all."""
    response_schema: bool = True
    """Whether the answer may be asked for in a JSON Schema."""


LayerForm = Annotated[
    Annotated[Name, Tag(TEXT)] | Annotated[Names, Tag(LIST)] | Annotated[RepeatSection, Tag(MAPPING)],
    Discriminator(shape),
]


class MixtureSection(Section):
    """A named recipe."""

    strategy: Name
    """The rule that decides who speaks next."""
    description: Annotated[str, Field(max_length=_MOST_TEXT)] = ""
    """One sentence for callers."""
    layers: tuple[LayerForm, ...] = ()
    """Lists of agents. A plain list of names is one layer; {repeat, agents} is the same layer several times."""
    aggregator: Maybe[Name] = None
    """The agent that writes the answer, where the strategy has one."""
    roles: dict[Name, Name] = Field(default_factory=dict)
    """Agents with a task of their own, such as judge, by the name of the task."""
    options: dict[str, Any] = Field(default_factory=dict)
    """The strategy's own settings."""
    rules: RulesSection = RulesSection()
    """What holds for every run."""
    budget: BudgetSection = BudgetSection()
    """Limits on one run."""
    allow: AllowSection = AllowSection()
    """What a caller may change."""
