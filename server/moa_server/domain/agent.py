"""A named voice: a model, what it is told, how it samples, and what it weighs."""

from dataclasses import dataclass
from typing import Annotated

from moa_server.domain.quantities import Mark, ModelName, Name, Range, Text
from moa_server.domain.sampling import Sampling


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
