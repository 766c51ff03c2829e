"""The mixtures that are measured: who proposes, who answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Panel:
    """One layer of proposers and an aggregator, by names the scripted upstream understands."""

    proposers: tuple[str, ...]
    aggregator: str
    rules: Mapping[str, Any] = field(default_factory=dict)
    """As in the mixture's configuration."""


Panels = Mapping[str, Panel]


def plain(panels: Panels) -> dict[str, Any]:
    """Return panels as JSON has them."""
    return {name: asdict(panel) for name, panel in panels.items()}


def voice(tokens: int, first_ms: int, each_ms: int = 0) -> str:
    """Return the name of a model that speaks so."""
    return f"tokens-{tokens}-first-{first_ms}-each-{each_ms}"


def configuration(
    endpoint: str, panels: Panels, models: Mapping[str, Any], limits: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the server's configuration; an agent has the name of its model, and ``models`` adds to their settings."""
    spoken = {name for panel in panels.values() for name in (*panel.proposers, panel.aggregator)} | set(models)
    base = {"provider": "openai", "endpoint": endpoint, "window": 131072}
    return {
        "models": {name: {**base, **models.get(name, {})} for name in sorted(spoken)},
        "agents": {name: {"model": name} for name in sorted(spoken)},
        "mixtures": {name: _mixture(panel) for name, panel in panels.items()},
        "limits": dict(limits),
        "server": {"listen": "127.0.0.1:0"},
        "telemetry": {"log_form": "json"},
    }


def _mixture(panel: Panel) -> dict[str, Any]:
    return {
        "strategy": "aggregate",
        "layers": [list(panel.proposers)],
        "aggregator": panel.aggregator,
        "rules": dict(panel.rules),
    }
