"""What this server offers at one moment: models, mixtures, strategies. A reload makes a new one; runs keep theirs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from moa_server.domain.agent import Agent
from moa_server.domain.errors import UnknownMixture
from moa_server.domain.mixture import Mixture
from moa_server.domain.plan import PlannedLayer, WorstCase
from moa_server.domain.ports import Model
from moa_server.domain.strategy import Strategy


@dataclass(frozen=True, slots=True)
class ModelView:
    """A model, and whether it may be called."""

    name: str
    breaker: str | None
    """``closed``, ``open`` or ``half_open``; None when it has no breaker."""


@dataclass(frozen=True, slots=True)
class MixtureView:
    """A mixture, as it is offered."""

    name: str
    description: str
    strategy: str
    layers: tuple[PlannedLayer, ...]
    worst_case: WorstCase
    models: tuple[ModelView, ...]
    is_default: bool


@dataclass(frozen=True, slots=True)
class Catalogue:
    """Models, mixtures and strategies by their names."""

    models: Mapping[str, Model]
    mixtures: Mapping[str, Mixture]
    strategies: Mapping[str, Strategy[Any]]
    agents: Mapping[str, Agent]
    """Every configured agent, for callers who may name their own layers."""
    default_mixture: str

    def mixture(self, name: str) -> Mixture:
        """Return a mixture by its name; the default one for an empty name.

        Raises:
            UnknownMixture: there is none.
        """
        wanted = name or self.default_mixture
        found = self.mixtures.get(wanted)
        if found is None:
            nearest = get_close_matches(wanted, self.mixtures, n=1)
            metadata = {"mixture": wanted[:64]} | ({"nearest": nearest[0]} if nearest else {})
            raise UnknownMixture(f"mixture {wanted[:64]!r} is not configured", metadata=metadata)
        return found

    def models_of(self, layers: Iterable[PlannedLayer]) -> list[str]:
        """Return the models that layers call, and after them those that may stand in."""
        own = dict.fromkeys(agent.model for layer in layers for agent in layer.agents)
        others = (other for name in own for other in self.models[name].spec.reliability.others)
        return list(own | dict.fromkeys(others))
