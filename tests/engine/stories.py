"""Random mixtures, and agents whose words, pauses, failures and bills hang on a seed alone."""

import asyncio
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from moa_server.domain import tokens
from moa_server.domain.agent import Agent
from moa_server.domain.errors import ModelAnsweredNothing, ModelError, ModelRefused, ModelStreamCut, ModelUnavailable
from moa_server.domain.mixture import Mixture, PromptForm, ReferenceOrder, Rules
from moa_server.domain.model import ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.usage import Budget, Price, Usage
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.strategies import STRATEGIES
from tests.strategies.rosters import SAYINGS, Setting
from tests.strategies.settings import SETTINGS

MAX_OUTPUT = 60
NAMES = sorted({agent.name for setting in SETTINGS for agent in setting.roster.agents()})


def many(examples: int) -> settings:
    """The same examples every time, however busy the machine is."""
    return settings(
        deadline=None,
        derandomize=True,
        database=None,
        max_examples=examples,
        suppress_health_check=[HealthCheck.too_slow],
    )


@dataclass(frozen=True, slots=True)
class Line:
    """What an agent does when it is asked."""

    thinks_s: float
    pieces: tuple[str, ...]
    between_s: float = 0.0
    error: ModelError | None = None
    """How it ends once it has said its pieces."""
    hangs: bool = False
    """Whether it falls silent in place of ending."""


@dataclass(slots=True)
class BilledCall:
    """One call, as the endpoint remembers it."""

    prompt: Prompt
    terms: CallTerms
    bill: Usage = Usage()
    is_over: bool = False
    cancelled: bool = False


Lines = Callable[[str, int], Line]
"""What the agent of a name does when it is asked for the n-th time."""
Bill = Callable[[Prompt, str, int], Usage]


class Teller:
    """A model that keeps a ledger of its own."""

    def __init__(self, spec: ModelSpec, lines: Lines, bill: Bill, echoes: re.Pattern[str] | None = None) -> None:
        """Say ``lines``, and before them all that ``echoes`` finds in the prompt."""
        self.spec = spec
        self._echoes = echoes
        self.asked: list[BilledCall] = []
        self._lines = lines
        self._bill = bill

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        entry = terms.account.open(self.spec, terms.kind, prompt)
        line = self._echoing(prompt, self._lines(self.spec.name, len(self.asked)))
        asked = BilledCall(prompt, terms, self._bill(prompt, self.spec.name, len(self.asked)))
        self.asked.append(asked)
        try:
            await self._say(line, terms)
        except asyncio.CancelledError:
            asked.cancelled = True
            raise
        finally:
            asked.is_over = True
            entry.close(asked.bill, failure=None if line.error is None or asked.cancelled else line.error)
        return Reply("".join(line.pieces), usage=asked.bill)

    def _echoing(self, prompt: Prompt, line: Line) -> Line:
        if self._echoes is None:
            return line
        heard = self._echoes.findall("".join(message.text for message in prompt.messages))
        return replace(line, pieces=(*heard, *line.pieces))

    async def _say(self, line: Line, terms: CallTerms) -> None:
        await asyncio.sleep(line.thinks_s)
        for piece in line.pieces:
            terms.hear(piece)
            await asyncio.sleep(line.between_s)
        if line.hangs:
            await asyncio.Event().wait()
        if line.error is not None:
            raise line.error

    def billed(self) -> Usage:
        """Return the sum of its ledger, priced."""
        cost = self.spec.price.cost_nanousd if self.spec.price else None
        priced = (replace(asked.bill, calls=1, cost_nanousd=cost(asked.bill) if cost else None) for asked in self.asked)
        return sum(priced, Usage())


@dataclass(frozen=True)
class Story:
    """A mixture, and how its agents behave."""

    which: int
    """Of the ways to set a strategy up."""
    rules: Rules
    seed: int
    failing: float
    """How likely an agent is to fail."""
    budget: Budget = Budget()
    priced: bool = False
    pauses: int = 0
    """Another number, other pauses; the same words."""
    proposal_deltas: bool = False
    schema: str | None = None
    instructions: Mapping[str, str] = field(default_factory=dict)

    @property
    def setting(self) -> Setting:
        return SETTINGS[self.which]

    def models(self, echoes: re.Pattern[str] | None = None) -> dict[str, Teller]:
        return {name: Teller(self.spec(name), self.line, self.bill, echoes) for name in NAMES}

    def spec(self, name: str) -> ModelSpec:
        draw = random.Random(f"{self.seed}:price:{name}")
        whole = partial(draw.randint, 0, 10**7)
        price = Price(whole(), whole(), cache_write=draw.choice((None, whole()))) if self.priced else None
        return ModelSpec(name, "fake", "nowhere", name, window=60_000, max_output=MAX_OUTPUT, price=price)

    def catalogue(self, models: Mapping[str, Model]) -> Catalogue:
        roster = self.setting.roster
        voiced = replace(
            roster,
            layers=tuple(tuple(map(_own_model, layer)) for layer in roster.layers),
            aggregator=roster.aggregator and _own_model(roster.aggregator),
            roles={role: _own_model(agent) for role, agent in roster.roles.items()},
        )
        mixture = Mixture("mix", self.setting.strategy, voiced, self.rules, self.setting.options, self.budget)
        agents = {agent.name: agent for agent in voiced.agents()}
        return Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")

    def line(self, name: str, number: int) -> Line:
        words = random.Random(f"{self.seed}:{name}:{number}")
        pauses = random.Random(f"{self.seed}:{self.pauses}:{name}:{number}")
        timing = partial(Line, pauses.choice((0.0, 0.001, 0.4, 2.0)), between_s=pauses.choice((0.0, 0.05)))
        said = words.choice(SAYINGS)
        cut = words.randrange(len(said) + 1)
        pieces = tuple(piece for piece in (said[:cut], said[cut:]) if piece)
        if words.random() >= self.failing:
            return timing(pieces)
        ways = (
            timing((), error=ModelUnavailable("SECRET 503")),
            timing(pieces[:1], error=ModelStreamCut("SECRET cut")),
            timing((), error=ModelAnsweredNothing("SECRET nothing")),
            timing((), error=ModelRefused("SECRET refusal")),
            timing(("I'm sorry, but I can't help with that.",)),
            timing(pieces[:1], hangs=True),
        )
        return words.choice(ways)

    def bill(self, prompt: Prompt, name: str, number: int) -> Usage:
        draw = random.Random(f"{self.seed}:bill:{name}:{number}")
        read = draw.randint(0, tokens.of_messages(prompt.messages))
        written = draw.randint(0, prompt.sampling.max_tokens or MAX_OUTPUT)
        return Usage(
            input_tokens=read,
            output_tokens=written,
            cached_input_tokens=draw.randint(0, read // 2),
            cache_write_tokens=draw.randint(0, read // 2),
            reasoning_tokens=draw.randint(0, written),
        )


def _own_model(agent: Agent) -> Agent:
    """Every agent has a model of its own, so that a model's ledger is an agent's."""
    return replace(agent, model=agent.name)


def billed(models: Mapping[str, Teller]) -> Usage:
    return sum((model.billed() for model in models.values()), Usage())


def within(budget: Budget, spent: Usage) -> None:
    """See that no more was spent than a budget allows."""
    assert budget.calls is None or spent.calls <= budget.calls
    assert budget.tokens is None or spent.tokens <= budget.tokens
    if budget.cost_nanousd is not None:
        assert spent.cost_nanousd is not None, "money was limited, and a call of unknown price was made"
        assert spent.cost_nanousd <= budget.cost_nanousd


RULES = st.builds(
    Rules,
    prompt_form=st.sampled_from(PromptForm),
    reference_order=st.sampled_from(ReferenceOrder),
    quorum=st.none() | st.integers(1, 4),
    grace_s=st.sampled_from([0.0, 0.0, 0.3]),
    fail_below_quorum=st.booleans(),
    return_single=st.booleans(),
    best_proposal_on_failure=st.booleans(),
    restart_answer=st.booleans(),
    degrade_to_budget=st.booleans(),
)
BUDGETS = st.just(Budget()) | st.builds(
    Budget,
    calls=st.none() | st.integers(1, 20),
    tokens=st.none() | st.integers(2_000, 60_000),
    cost_nanousd=st.none() | st.integers(0, 500_000),
    time_s=st.none() | st.sampled_from([0.5, 3.0, 60.0]),
)
SEEDS = st.integers(0, 2**32)
FAILING = st.sampled_from([0.0, 0.2, 0.5])


def stories(**fixed: st.SearchStrategy[object]) -> st.SearchStrategy[Story]:
    """Make stories; ``fixed`` says more of some of their fields."""
    drawn = {"which": st.sampled_from(range(len(SETTINGS))), "rules": RULES, "seed": SEEDS, "failing": FAILING, **fixed}
    return st.builds(Story, **drawn)
