"""What the engine shows of mixtures and runs to those who ask."""

from dataclasses import dataclass

from moa_server.domain.event import Cursor, Terminal
from moa_server.domain.plan import PlannedLayer, WorstCase
from moa_server.domain.run import RunRecord
from moa_server.domain.usage import Usage


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
class RunStatus:
    """How far a run is."""

    record: RunRecord
    cursor: Cursor
    usage: Usage
    terminal: Terminal | None
