"""A model: what the operator says of it, how it is asked, and the one interface it has, wrapped or bare."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from moa_server.domain.conversation import Conversation
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
