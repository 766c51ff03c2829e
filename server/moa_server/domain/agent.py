"""A named voice: a model, what it is told, how it samples, and what it weighs."""

from collections.abc import Collection
from dataclasses import dataclass, fields, replace
from enum import StrEnum
from typing import Annotated

from moa_server.domain.quantities import Length, Mark, ModelName, Name, Range, Text, Tokens

Penalty = Annotated[float, Range(least=-2, most=2)]


class ReasoningEffort(StrEnum):
    """How much a model reasons. An endpoint that does not know a step takes the nearest."""

    NONE = "none"
    MINIMAL = "minimal"
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a model picks its words; what is left out stays as the endpoint has it."""

    temperature: Annotated[float, Range(least=0, most=2)] | None = None
    """From 0, the most predictable, to 2."""
    top_p: Annotated[float, Range(above=0, most=1)] | None = None
    """The share of probability that words are picked from."""
    max_tokens: Tokens | None = None
    """The most tokens to be written, reasoning included."""
    seed: Annotated[int, Range(least=0, below=2**63)] | None = None
    """Makes an endpoint that honours it repeat itself."""
    stop: Annotated[tuple[Annotated[str, Length(least=1, most=256)], ...], Length(most=4)] = ()
    """Texts that end an answer, at most four."""
    presence_penalty: Penalty | None = None
    """Above 0, words already said become less likely."""
    frequency_penalty: Penalty | None = None
    """Above 0, words become less likely the more often they were said."""
    reasoning_effort: ReasoningEffort | None = None
    """How much a model that reasons should reason; when left out, as the model's own section says."""
    reasoning_tokens: Tokens | None = None
    """The most tokens to be reasoned, for models that take that. They count as max_tokens too."""

    @property
    def given(self) -> tuple[str, ...]:
        """The names of the settings that are not left to the endpoint."""
        return tuple(f.name for f in fields(self) if getattr(self, f.name) not in (None, ()))

    def over(self, base: "Sampling") -> "Sampling":
        """Return these settings, and those of ``base`` where these are silent."""
        return replace(base, **{name: getattr(self, name) for name in self.given})

    def without(self, names: Collection[str]) -> "Sampling":
        """Return these settings but for some, which are left to the endpoint."""
        silent = Sampling()
        return replace(self, **{name: getattr(silent, name) for name in self.given if name in names})


@dataclass(frozen=True, slots=True)
class Agent:
    """A named voice."""

    name: Annotated[str, Mark.OWN_NAME]
    model: ModelName
    """The name of a model in this file."""
    instructions: Text = ""
    """Said before the conversation, as the system's words."""
    sampling: Sampling = Sampling()
    """How it picks its words."""
    weight: Annotated[float, Range(least=0, most=1_000_000)] = 1.0
    """What it counts beside the others."""
    labels: Annotated[tuple[Name, ...], Mark.DISTINCT] = ()
    """What it is good at, for strategies that choose."""
