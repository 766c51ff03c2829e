"""Shows figures, each with its target beside it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

_WIDTHS: Final = (66, 14, 14)


@dataclass(frozen=True, slots=True)
class Figure:
    """One thing that was measured."""

    what: str
    value: float
    unit: str = ""
    most: float | None = None
    """The target, where less is better."""
    least: float | None = None
    """The target, where more is better."""

    @property
    def verdict(self) -> str:
        """Whether the target was met."""
        if self.most is None and self.least is None:
            return ""
        over = self.most is not None and not self.value <= self.most
        under = self.least is not None and not self.value >= self.least
        return "SHORT" if over or under else "ok"

    @property
    def target(self) -> str:
        """What the value should be."""
        if self.most is not None:
            return f"≤ {_number(self.most)} {self.unit}".rstrip()
        return "" if self.least is None else f"≥ {_number(self.least)} {self.unit}".rstrip()


def quantile(values: Sequence[float], share: float) -> float:
    """Return the value that so large a share does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def title(name: str) -> str:
    """Return what stands above the figures of a measurement."""
    return f"\n{name}"


def line(figure: Figure) -> str:
    """Return a figure as a line."""
    return _row(figure.what, f"{_number(figure.value)} {figure.unit}".rstrip(), figure.target, figure.verdict)


def _row(what: str, measured: str, target: str, verdict: str) -> str:
    first, second, third = _WIDTHS
    return f"  {what:<{first}}{measured:>{second}}{target:>{third}}  {verdict}".rstrip()


def _number(value: float) -> str:
    if value == int(value) and abs(value) < 1e6:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


HEADING: Final = _row("", "measured", "target", "")
