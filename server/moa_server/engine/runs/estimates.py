"""Learns how far the estimate of a model's tokens is off, from what its endpoint reports."""

from dataclasses import dataclass, field

_SMALLEST = 0.5
_LARGEST = 4.0
_EASING = 0.1
"""How quickly a correction goes down again; it goes up at once, since an estimate must not be too low."""
_TELLING = 64
"""Prompts below so many tokens tell too little."""


@dataclass(slots=True)
class Estimates:
    """What to multiply an estimate by, for each model."""

    _corrections: dict[str, float] = field(default_factory=dict)

    def corrected(self, model: str, estimate: int) -> int:
        """Return an estimate as it should be for this model."""
        return int(estimate * self._corrections.get(model, 1.0))

    def learn(self, model: str, estimate: int, reported: int) -> None:
        """Take in what an endpoint counted where so much had been estimated."""
        if estimate < _TELLING or reported <= 0:
            return
        seen = min(max(reported / estimate, _SMALLEST), _LARGEST)
        known = self._corrections.get(model, 1.0)
        self._corrections[model] = seen if seen > known else known + (seen - known) * _EASING
