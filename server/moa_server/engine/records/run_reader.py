"""Reads from the journal what has become of a run."""

from dataclasses import dataclass
from datetime import datetime

from moa_server.domain.degradation import Degradation
from moa_server.domain.errors import ResumePointExpired, RunNotFound
from moa_server.domain.event import BEGINNING, Cursor, Event, Terminal
from moa_server.domain.ports import Journal
from moa_server.domain.proposal import LayerResult
from moa_server.domain.run import RunRecord
from moa_server.domain.usage import Usage
from moa_server.engine.records.closed_layers import ClosedLayers
from moa_server.engine.records.history import History

_BATCH = 500


@dataclass(frozen=True, slots=True)
class RunStatus:
    """How far a run is."""

    record: RunRecord
    cursor: Cursor
    usage: Usage
    terminal: Terminal | None
    ended: datetime | None = None
    """By the clock of the server that ended it."""
    degradations: tuple[Degradation, ...] = ()
    """What is less than was planned."""


async def read_all(journal: Journal, run_id: str, *, strict: bool = False) -> list[Event]:
    """Return everything the journal has of a run, or, ``strict``ly, nothing where there is what is not known here."""
    events: list[Event] = []
    while batch := await journal.read(run_id, events[-1].cursor if events else BEGINNING, _BATCH, strict=strict):
        events.extend(batch)
    return events


async def closed_layer(run_id: str, index: int, journal: Journal) -> LayerResult | None:
    """Return a layer of a run if it has closed."""
    layers = ClosedLayers()
    for event in await read_all(journal, run_id):
        layer = layers.hear(event.fact)
        if layer is not None and layer.index == index:
            return layer
    return None


async def status_of(run_id: str, journal: Journal) -> RunStatus:
    """Return how far a run is.

    Raises:
        RunNotFound: there is none.
    """
    record = await journal.find(run_id)
    if record is None:
        raise RunNotFound(f"run {run_id} not found", metadata={"run_id": run_id})
    try:
        events = await read_all(journal, run_id)
    except ResumePointExpired:
        # Its contents were dropped before its record: the usage is all that is left.
        return RunStatus(record, BEGINNING, record.usage or Usage(), None)
    cursor = events[-1].cursor if events else BEGINNING
    end = events[-1].fact if events else None
    history = History.of(events)
    less = (*record.plan.degradations, *history.degraded, *history.degraded_so_far)
    if isinstance(end, Terminal):
        return RunStatus(record, cursor, end.usage, end, events[-1].time, less)
    return RunStatus(record, cursor, history.spent, None, None, less)
