"""What a caller wants answered, and how."""

from dataclasses import dataclass

from moa_server.domain.agent import Sampling
from moa_server.domain.conversation import Conversation
from moa_server.domain.usage import Budget


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a caller changes about a mixture."""

    sampling: Sampling = Sampling()
    layers: tuple[tuple[str, ...], ...] = ()
    """The proposer layers by names of agents; empty means those of the mixture."""
    aggregator: str = ""
    budget: Budget = Budget()
    response_schema: str | None = None
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A conversation to be answered by a mixture."""

    messages: Conversation
    mixture: str = ""
    """Empty means the default mixture."""
    overrides: Overrides = Overrides()
