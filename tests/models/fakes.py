"""A provider that follows a script, and an account that remembers every call."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import BudgetExceeded, ModelError
from moa_server.domain.model import AttemptKind, FinishReason, ModelSpec, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Usage
from moa_server.models import build_models
from tests.models.timeless_loop import now

Script = Sequence[str | float | Exception | None]
"""In order: what to say, how long to be silent, and what to fail with; None is a sign of life that is no word."""

PROMPT = Prompt((Message.of(Role.USER, "What is the word?"),), Sampling(max_tokens=100))
PLAIN = Reliability(RetryRule(attempts=0), ConcurrencyRule(), breaker=BreakerRule(enabled=False))


def spec(name: str = "m", reliability: Reliability = PLAIN, **more: Any) -> ModelSpec:  # noqa: ANN401 - any field
    return ModelSpec(name, "fake", "nowhere", f"upstream-{name}", reliability=reliability, **more)


def hedged_by(rival: str, **more: Any) -> Reliability:  # noqa: ANN401 - any field
    return replace(PLAIN, hedge=HedgeRule(rival, **{"least_seen": 4, "share": 1.0, **more}))


@dataclass(eq=False)
class Scripted:
    """A provider whose every call follows the next script; the last one serves for ever."""

    spec: ModelSpec
    scripts: list[Script] = field(default_factory=lambda: [["hello"]])
    called_at: list[float] = field(default_factory=list)
    prompts: list[Prompt] = field(default_factory=list)
    kinds: list[AttemptKind] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0
    cancelled: int = 0

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        script = self.scripts[min(len(self.called_at), len(self.scripts) - 1)]
        self.called_at.append(now())
        self.prompts.append(prompt)
        self.kinds.append(terms.kind)
        self.under_way += 1
        self.most_under_way = max(self.under_way, self.most_under_way)
        try:
            return await self._follow(script, terms)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.under_way -= 1

    async def _follow(self, script: Script, terms: CallTerms) -> Reply:
        said = []
        for step in script:
            if isinstance(step, str):
                said.append(step)
                terms.hear(step)
            elif isinstance(step, Exception):
                raise step
            elif step is None:
                terms.alive()
            else:
                await asyncio.sleep(step)
        usage = Usage(input_tokens=10, output_tokens=len(said))
        return Reply("".join(said), FinishReason.STOP, usage, f"served-{self.spec.name}")


def wrap(provider: Model, *others: Model) -> Model:
    """Wrap one provider as a configuration's only models do; the others are those that its rules name."""
    providers = {one.spec.name: one for one in (provider, *others)}
    specs = [one.spec for one in providers.values()]
    return build_models(specs, lambda wanted: providers[wanted.name])[provider.spec.name]


def scripted(model_spec: ModelSpec | str, *scripts: Script) -> Scripted:
    made = spec(model_spec) if isinstance(model_spec, str) else model_spec
    return Scripted(made, list(scripts) or [["hello"]])


@dataclass(eq=False)
class Entry:
    """One physical call in the account."""

    model: str
    kind: AttemptKind
    first_token_at: float | None = None
    closed: int = 0
    usage: Usage = Usage()
    served_model: str = ""
    failure: str = ""

    def first_token(self) -> None:
        if self.first_token_at is None:
            self.first_token_at = now()

    def close(self, usage: Usage, *, served_model: str = "", failure: ModelError | None = None) -> None:
        self.closed += 1
        self.usage = usage
        self.served_model = served_model
        self.failure = failure.reason() if failure else ""


@dataclass(eq=False)
class Ledger:
    """An account that pays for so many calls."""

    calls: int = 1_000_000
    entries: list[Entry] = field(default_factory=list)

    def open(self, model: ModelSpec, kind: AttemptKind, prompt: Prompt) -> Entry:
        if len(self.entries) >= self.calls:
            raise BudgetExceeded("no call is left")
        self.entries.append(Entry(model.name, kind))
        return self.entries[-1]

    @property
    def story(self) -> list[tuple[str, str, str]]:
        """Who was called, why, and how it failed."""
        return [(entry.model, entry.kind.value, entry.failure) for entry in self.entries]


class Caller:
    """Asks models, and keeps what it hears."""

    def __init__(self, calls: int = 1_000_000) -> None:
        self.ledger = Ledger(calls)
        self.heard: list[str] = []
        self.first_heard_at: float | None = None

    def hear(self, text: str) -> None:
        if not self.heard:
            self.first_heard_at = now()
        self.heard.append(text)

    async def ask(self, model: Model, *, time_s: float = 1000.0, run_id: str = "run", prompt: Prompt = PROMPT) -> Reply:
        return await model.speak(prompt, CallTerms(self.hear, self.ledger, now() + time_s, run_id=run_id))

    async def failure(self, model: Model, **more: Any) -> str:  # noqa: ANN401 - any field
        """Ask, and return the reason for which it fails."""
        try:
            await self.ask(model, **more)
        except Exception as error:  # noqa: BLE001 - the test compares it
            return type(error).__name__
        return ""
