"""A model: what the operator says of it, how it is asked, and the one interface it has, wrapped or bare."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Protocol, runtime_checkable

from moa_server.domain import tokens
from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Conversation
from moa_server.domain.quantities import Called, Form, Length, Mark, PositiveSeconds, ProviderName, Tokens
from moa_server.domain.reliability import Reliability
from moa_server.domain.usage import Price, Usage


class Secret(Protocol):
    """A value that is read when it is needed and never printed."""

    def reveal(self) -> str:
        """Return the value as it is now."""
        ...


@runtime_checkable
class ExpiringSecret(Secret, Protocol):
    """A secret that does not last, and takes a while to be had anew."""

    async def fetch(self) -> str:
        """Return the value, and wait where there is none that may be used.

        Raises:
            ValueError: it cannot be had.
        """
        ...

    def refused(self, value: str) -> bool:
        """Note that a value was refused before its time, and return whether another one can be had soon."""
        ...


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long one attempt may be silent or last."""

    connect: PositiveSeconds = 5.0
    """Until the connection stands."""
    first_token: PositiveSeconds = 60.0
    """Until the first token."""
    idle: PositiveSeconds = 30.0
    """Between two tokens; comments that keep the connection alive do not count."""
    total: PositiveSeconds = 300.0
    """The whole attempt."""
    reasoning: PositiveSeconds = 300.0
    """In the place of first_token and idle, if it is longer, while a model reasons unseen, until its first word."""
    until_whole: Annotated[bool, Mark.INTERNAL] = False
    """Whether nothing comes before the answer is whole, so that a silence tells nothing."""

    def of_whole_answers(self) -> "TimeLimits":
        """Return the limits for answers that come in one piece, of which only the total is left."""
        return replace(self, first_token=self.total, idle=self.total, until_whole=True)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One upstream model."""

    name: Annotated[str, Mark.OWN_NAME]
    provider: ProviderName
    """The adapter that speaks the endpoint's dialect, or a preset of one."""
    endpoint: Annotated[str, Form.URL] = ""
    """The base URL of the endpoint; may be left out where the provider has one of its own."""
    upstream_model: Annotated[str, Called("model"), Length(least=1, most=512)] = ""
    """The name the endpoint knows it by; when left out, its name here."""
    api_key: Annotated[Secret, Mark.PRINTED] | None = None
    """Where the endpoint's key is kept."""
    window: Tokens = 8192
    """The most tokens of a prompt and its answer together."""
    max_output: Tokens = 2048
    """The most tokens of an answer; when left out 2048, or a quarter of the window if that is less."""
    price: Price | None = None
    """What its tokens cost; when left out, costs are unknown, never zero."""
    tokenizer: Annotated[Path, Mark.READABLE] | None = None
    """The file of its tokenizer, a tokenizer.json, by which its tokens are counted; when left out, by assumption."""
    counted_by: Annotated[tokens.Tokenizer | None, Mark.INTERNAL] = field(default=None, compare=False)
    """Counts by that file."""
    images: bool = False
    """Whether it takes images."""
    reasons: bool | None = None
    """Whether it reasons unless told not to; when left out, as its provider's current models do."""
    reasoning_effort: ReasoningEffort | None = None
    """How much it should reason where an agent does not say; when left out, as the endpoint has it."""
    reasoning_tokens: Tokens | None = None
    """The most tokens it may reason where an agent does not say, if it takes that; less than max_output."""
    times: TimeLimits = TimeLimits()
    """Time limits of one attempt."""
    dialect: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the provider's own."""
    reliability: Annotated[Reliability, Mark.FLAT] = Reliability()
    """What wraps it."""

    @property
    def own_sampling(self) -> Sampling:
        """What it says of sampling where an agent is silent."""
        return Sampling(reasoning_effort=self.reasoning_effort, reasoning_tokens=self.reasoning_tokens)

    def most_output(self, sampling: Sampling) -> int:
        """Return the most tokens that it is asked for with these settings, reasoning included."""
        return sampling.max_tokens or self.max_output


class FinishReason(StrEnum):
    """Why a model stopped."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"


class AttemptKind(StrEnum):
    """Why an attempt is made."""

    FIRST = "first"
    RETRY = "retry"
    HEDGE = "hedge"
    FALLBACK = "fallback"
    RESEND = "resend"
    ADJUSTED = "adjusted"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked."""

    messages: Conversation
    sampling: Sampling = Sampling()
    response_schema: str | None = None
    """A JSON Schema for endpoints that can be held to one."""
    logprobs: bool = False
    """Whether the log-probabilities of its words are wanted, where the endpoint gives them."""
    left_out: frozenset[str] = frozenset()
    """What its endpoint refuses, so that it is not sent: names of `Sampling` fields, or ``logprobs``. A limit on the
    output is never left out; named here, it is sent under its other name."""

    @property
    def parameters(self) -> frozenset[str]:
        """What of it an endpoint can refuse, so that it is asked again without, in the words of ``left_out``."""
        # The limit is always sent, be it the model's own.
        return frozenset({*self.sampling.given, "max_tokens", *(("logprobs",) if self.logprobs else ())})

    def as_sent(self) -> "Prompt":
        """Return it without what is left out."""
        if not self.left_out:
            return self
        return replace(
            self,
            sampling=self.sampling.without(self.left_out - {"max_tokens"}),
            logprobs=self.logprobs and "logprobs" not in self.left_out,
        )

    def tokens(self, spec: ModelSpec) -> int:
        """Return the most tokens of all that is sent with it to a model."""
        return tokens.of_call(self.messages, self.response_schema, spec.counted_by)

    def most_output(self, spec: ModelSpec) -> int:
        """Return the most tokens that a model is asked for, reasoning included."""
        return spec.most_output(self.sampling)

    def completed(self, spec: ModelSpec) -> "Prompt":
        """Return it with what a model's own section says of reasoning where the agent is silent."""
        own = spec.own_sampling
        return self if own == Sampling() else replace(self, sampling=self.sampling.over(own))

    def reasons(self, spec: ModelSpec) -> bool:
        """Tell whether a model is expected to reason before its first word."""
        asked = self.completed(spec).sampling
        if asked.reasoning_effort is not None:
            return asked.reasoning_effort is not ReasoningEffort.NONE
        return bool(spec.reasons) or asked.reasoning_tokens is not None


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model said, complete."""

    text: str
    """Without reasoning."""
    finish_reason: FinishReason = FinishReason.UNSPECIFIED
    usage: Usage = Usage()
    """Its tokens, as the endpoint reported them or as they were estimated; without calls and cost."""
    served_model: str = ""
    """The model's name as the endpoint gave it, or else the name of the model that was asked."""
    mean_logprob: float | None = None
    """The mean log-probability of its words, where the endpoint gives them."""
    left_out: frozenset[str] = frozenset()
    """What it was asked for and was not sent, since its endpoint does not take it; in the words of the prompt's own."""
