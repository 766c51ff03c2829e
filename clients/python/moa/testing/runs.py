"""Keeps the runs of a fake, and what is scripted to happen to them."""

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from moa.errors import LayerNotFound, MoaError, RequestIdReused, RunNotFound
from moa.layers import ClosedLayers
from moa.resume import is_terminal
from moa.testing.script import Fact, answered, numbered
from moa.v1 import event_pb2 as ev
from moa.v1 import run_pb2


@dataclass
class FakeRun:
    """A run of the fake."""

    run_id: str
    request_id: str
    query: bytes
    events: list[ev.Event] = field(default_factory=list)

    @property
    def ended(self) -> bool:
        """Whether its terminal event is there."""
        return bool(self.events) and is_terminal(self.events[-1])

    def add(self, facts: Iterable[Fact]) -> None:
        """Number facts after those that are there."""
        last = self.events[-1] if self.events else ev.Event(epoch=1)
        self.events += numbered(facts, epoch=last.epoch, after=last.sequence)

    def after(self, place: run_pb2.Cursor) -> list[ev.Event]:
        """Return the events after a place."""
        return [each for each in self.events if (each.epoch, each.sequence) > (place.epoch, place.sequence)]

    def layers(self) -> dict[int, run_pb2.LayerResult]:
        """Return the closed layers by their numbers."""
        layers = ClosedLayers()
        for event in self.events:
            layers.hear(event)
        return layers.by_index

    def layer(self, index: int) -> run_pb2.LayerResult:
        """Return a closed layer."""
        layers = self.layers()
        if index in layers:
            return layers[index]
        raise LayerNotFound(f"run {self.run_id} has no layer {index}")

    def summary(self) -> run_pb2.Run:
        """Return the run as the contract shows it."""
        summary = run_pb2.Run(run_id=self.run_id, request_id=self.request_id, state=run_pb2.RUN_STATE_RUNNING)
        if not self.events:
            return summary
        end = self.events[-1]
        summary.cursor.CopyFrom(run_pb2.Cursor(epoch=end.epoch, sequence=end.sequence))
        if end.HasField("run_succeeded"):
            summary.state = run_pb2.RUN_STATE_SUCCEEDED
            summary.usage.CopyFrom(end.run_succeeded.usage)
        elif end.HasField("run_failed"):
            summary.state = run_pb2.RUN_STATE_FAILED
            summary.failure.CopyFrom(end.run_failed.failure)
        elif end.HasField("run_cancelled"):
            summary.state = run_pb2.RUN_STATE_CANCELLED
        return summary


class FakeRuns:
    """The runs of a fake, guarded by one condition that every change notifies."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.scripts: deque[list[Fact]] = deque()
        self.refusals: deque[MoaError] = deque()
        self.cuts: deque[int] = deque()
        self.left = 0
        self.heartbeat_period = 3600.0
        """Seconds. No client takes the silence of a script for a broken connection."""
        self._runs: dict[str, FakeRun] = {}

    def find(self, run_id: str = "", request_id: str = "") -> FakeRun:
        """Return a run by either of its ids."""
        for run in self._runs.values():
            if run.run_id == run_id or (request_id and run.request_id == request_id):
                return run
        raise RunNotFound(f"run {run_id or request_id} not found")

    def start(self, request_id: str, query: bytes) -> FakeRun:
        """Start the next scripted run, or return the one of this request."""
        with self.changed:
            if any(request_id and each.request_id == request_id for each in self._runs.values()):
                found = self.find(request_id=request_id)
                if found.query != query:
                    raise RequestIdReused(f"request {request_id} stands for run {found.run_id}")
                return found
            run = FakeRun(f"run-{len(self._runs) + 1}", request_id, query)
            run.add(self.scripts.popleft() if self.scripts else answered("an answer"))
            self._runs[run.run_id] = run
            return run

    def newest(self) -> FakeRun:
        """Return the run that was started last."""
        return list(self._runs.values())[-1]

    def extend(self, run: FakeRun, facts: Iterable[Fact]) -> None:
        """Let a run go on."""
        with self.changed:
            run.add(facts)
            self.changed.notify_all()

    def leave(self) -> None:
        """Note that a caller left a stream before its end."""
        with self.changed:
            self.left += 1
            self.changed.notify_all()

    def wake(self) -> None:
        """Let every waiting handler look again."""
        with self.changed:
            self.changed.notify_all()

    def follow(self, run: FakeRun, place: run_pb2.Cursor) -> Iterator[ev.Event | None]:
        """Give the events after a place as they come, None whenever something else changed."""
        while True:
            with self.changed:
                events = run.after(place)
                if not events and not run.ended:
                    self.changed.wait()
            yield from events
            if not events:
                yield None
            else:
                place = run_pb2.Cursor(epoch=events[-1].epoch, sequence=events[-1].sequence)
            if run.ended and not run.after(place):
                return
