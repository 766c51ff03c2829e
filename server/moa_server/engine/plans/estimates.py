"""What was learned of how endpoints count tokens: estimates of a model's prompts are corrected by it."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from moa_server.domain.model import ModelSpec

_SMALLEST: Final = 0.5
_LARGEST: Final = 4.0
"""No report moves a correction further: one that is absurd costs a budget so many times over, and no more."""
_EASING: Final = 0.1
"""How quickly a correction goes down again; it goes up at once, since an estimate must not be too low."""
_TELLING: Final = 64
"""Prompts below so many tokens tell too little."""
_REMEMBERED: Final = 100
"""Reports of a model, of which the highest counts where money is at stake; an absurd one is forgotten in time."""


@dataclass(slots=True)
class _Seen:
    """What was seen of one model, over what was estimated."""

    usual: float = 1.0
    latest: deque[float] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    highest: float = 1.0


@dataclass(slots=True)
class Estimates:
    """What to multiply an estimate by, for each model."""

    _seen: dict[str, _Seen] = field(default_factory=dict)

    def corrected(self, model: str, estimate: int) -> int:
        """Return an estimate as it usually comes out for this model; it may be less."""
        return int(estimate * self._seen[model].usual) if model in self._seen else estimate

    def most(self, model: str, estimate: int) -> int:
        """Return an estimate as it has to be reserved for this model: never less than it is, nor than was seen."""
        return int(estimate * self._seen[model].highest + 1) if self._is_dearer(model) else estimate

    def room(self, spec: ModelSpec, output: int) -> int:
        """Return how many estimated tokens a prompt may have, so that it fits a model's window beside its answer."""
        whole = max(spec.window - output, 0)
        return whole * whole // max(self.corrected(spec.name, whole), 1)

    def learn(self, model: str, estimate: int, reported: int) -> None:
        """Take in what an endpoint counted where so much had been estimated."""
        if estimate < _TELLING or reported <= 0:
            return
        ratio = min(max(reported / estimate, _SMALLEST), _LARGEST)
        seen = self._seen.setdefault(model, _Seen())
        seen.usual = ratio if ratio > seen.usual else seen.usual + (ratio - seen.usual) * _EASING
        seen.latest.append(ratio)
        seen.highest = max(seen.latest)

    def _is_dearer(self, model: str) -> bool:
        return model in self._seen and self._seen[model].highest > 1
