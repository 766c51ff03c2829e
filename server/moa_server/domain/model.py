"""A model: what the operator says of it, how it is asked, and the one interface it has, wrapped or bare."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from moa_server.domain.conversation import Conversation
from moa_server.domain.errors import ModelError
from moa_server.domain.reliability import Reliability
from moa_server.domain.sampling import Sampling
from moa_server.domain.usage import Price, Usage


class Secret(Protocol):
    """A value that is read when it is needed and never printed."""

    def reveal(self) -> str:
        """Return the value as it is now."""
        ...


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long one attempt may be silent or last, in seconds."""

    connect: float = 5.0
    first_token: float = 60.0
    idle: float = 30.0
    """Between two tokens; comments that keep a connection alive do not count as tokens."""
    total: float = 300.0


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """What the operator's configuration says of one upstream model."""

    name: str
    provider: str
    """The name of the adapter that speaks its endpoint's dialect."""
    endpoint: str
    upstream_model: str
    """The name its endpoint knows it by."""
    api_key: Secret | None = None
    window: int = 8192
    """The most tokens of a prompt and its answer together."""
    max_output: int = 2048
    """The most tokens of an answer when nobody says less."""
    price: Price | None = None
    """None when unknown: costs are then unset, never zero."""
    images: bool = False
    """Whether it takes images."""
    times: TimeLimits = TimeLimits()
    dialect: Mapping[str, Any] = field(default_factory=dict)
    """Settings of the provider's own, already validated by it."""
    reliability: Reliability = Reliability()
    """What wraps it."""


class FinishReason(StrEnum):
    """Why a model stopped."""

    UNSPECIFIED = "unspecified"
    STOP = "stop"
    LENGTH = "length"
    CONTENT_FILTER = "content_filter"


class AttemptKind(StrEnum):
    """Why an attempt is made."""

    FIRST = "first"
    RETRY = "retry"
    HEDGE = "hedge"
    FALLBACK = "fallback"


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked."""

    messages: Conversation
    sampling: Sampling = Sampling()
    response_schema: str | None = None
    """A JSON Schema for endpoints that can be held to one."""
    logprobs: bool = False
    """Whether the log-probabilities of its words are wanted, where the endpoint gives them."""


@dataclass(frozen=True, slots=True)
class Utterance:
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


class OpenAttempt(Protocol):
    """A physical call that has been entered in the account and is not over."""

    def first_token(self) -> None:
        """Note that the first token has come. Further calls change nothing."""
        ...

    def close(self, usage: Usage, *, served_model: str = "", failure: ModelError | None = None) -> None:
        """Note what it used in the end, and why it failed if it did."""
        ...


class Account(Protocol):
    """Where every physical call of one agent is entered before it is made, within the run's budget."""

    def open(self, spec: ModelSpec, kind: AttemptKind, prompt: Prompt) -> OpenAttempt:
        """Reserve the worst case of a call.

        Raises:
            BudgetExceeded: the run's budget does not cover it.
            DeadlineExceeded: it could not finish in time.
        """
        ...


@dataclass(frozen=True, slots=True)
class Errand:
    """What a model is sent out with: who hears it, who pays, and how much time there is."""

    hear: Callable[[str], None]
    """Called with each piece of the text as it comes. Must not block, must not raise."""
    account: Account
    deadline: float
    """The moment at which it is too late, by ``asyncio``'s clock."""
    speak_by: float | None = None
    """The moment by which the first token has to come, so that others have time to stand in; None means none."""
    gather_s: float = 0.0
    """How long pieces may be gathered before they are heard; the first is heard at once."""
    kind: AttemptKind = AttemptKind.FIRST
    run_id: str = ""
    """Whose call it is, so that no run takes all places at a model."""


class Model(Protocol):
    """Something that can be asked: a provider, or what wraps one."""

    @property
    def spec(self) -> ModelSpec:
        """What the operator says of it."""
        ...

    async def speak(self, prompt: Prompt, errand: Errand) -> Utterance:
        """Ask, let the pieces be heard, and return the whole.

        Cancelling it closes the upstream connection.

        Raises:
            ModelError: it failed; what was heard before is void.
        """
        ...
