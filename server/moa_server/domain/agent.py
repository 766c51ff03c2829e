"""A named voice: a model, what it is told, how it samples, and what it weighs."""

from dataclasses import dataclass

from moa_server.domain.sampling import Sampling


@dataclass(frozen=True, slots=True)
class Agent:
    """A voice in a mixture."""

    name: str
    model: str
    """The name of a configured model."""
    instructions: str = ""
    """Said before the conversation, as the system's words."""
    sampling: Sampling = Sampling()
    weight: float = 1.0
    """What it counts beside the others."""
    labels: tuple[str, ...] = ()
    """What it is good at, for strategies that choose."""
