"""Lets the agents of one layer answer side by side, and closes the layer by its quorum."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

import structlog
from opentelemetry import trace

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import InternalError, ModelRefused, StragglerCut
from moa_server.domain.event import AgentFailed, AgentStarted, ProposalDelta, ProposalReceived
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.strategy import Call, Layer
from moa_server.engine.runs.refusals import sift
from moa_server.engine.runs.run_context import RunContext
from moa_server.engine.runs.turn import Outcome, Place, Turn
from moa_server.telemetry import names

_tracer = trace.get_tracer("moa_server.engine")
_logger = structlog.get_logger(__name__)

_UNWATCHED_GATHER = 10
"""How much longer the pieces of a text that nobody watches may be gathered."""


@dataclass(slots=True)
class _Progress:
    """What has come so far."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    arrival: list[int] = field(default_factory=list)
    degradations: list[Degradation] = field(default_factory=list)
    closed: bool = False

    def take(self, outcome: Outcome) -> None:
        self.outcomes[outcome.position] = outcome
        if isinstance(outcome, Proposal):
            self.arrival.append(outcome.position)

    @property
    def proposals(self) -> tuple[Proposal, ...]:
        ordered = (self.outcomes[position] for position in sorted(self.outcomes))
        return tuple(outcome for outcome in ordered if isinstance(outcome, Proposal))

    @property
    def failures(self) -> tuple[AgentFailure, ...]:
        ordered = (self.outcomes[position] for position in sorted(self.outcomes))
        return tuple(outcome for outcome in ordered if isinstance(outcome, AgentFailure))


class OpenLayer:
    """A layer whose agents are speaking."""

    def __init__(
        self,
        setting: RunContext,
        layer: Layer,
        index: int,
        deadline: float,
        given: Mapping[int, Proposal] | None = None,
    ) -> None:
        """Open a layer; ``given`` holds what its agents had answered before this server took the run over."""
        self._setting = setting
        self._layer = layer
        self._index = index
        self._deadline = deadline
        self._given = given or {}
        self._progress = _Progress()
        self._quorum = quorum_of(layer, setting.plan.rules.quorum)

    async def result(self) -> LayerResult:
        """Ask every agent, and return the layer when it has closed."""
        started = self._setting.clock.now()
        for proposal in self._given.values():
            self._progress.take(proposal)
        with _tracer.start_as_current_span(names.layer_span(self._index), attributes={names.LAYER_INDEX: self._index}):
            async with asyncio.TaskGroup() as group:
                tasks = {
                    group.create_task(self._turn(position, call))
                    for position, call in enumerate(self._layer.calls)
                    if position not in self._given
                }
                await self._close_in_time(tasks)
                self._progress.closed = True
                for task in tasks:
                    task.cancel()
        return self._closed(started)

    async def _close_in_time(self, tasks: set[asyncio.Task[None]]) -> None:
        """Wait until all are done, or the matter is settled, or the quorum's grace is over."""
        pending = {task for task in tasks if not task.done()}
        grace_ends: float | None = None
        loop = asyncio.get_running_loop()
        while pending and not self._is_settled():
            if grace_ends is None and self._has_quorum():
                grace_ends = loop.time() + self._setting.plan.rules.grace_s
            timeout = None if grace_ends is None else max(grace_ends - loop.time(), 0)
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done and grace_ends is not None:
                return

    def _has_quorum(self) -> bool:
        return self._quorum is not None and len(self._progress.proposals) >= self._quorum

    def _is_settled(self) -> bool:
        return self._layer.enough is not None and self._layer.enough(self._progress.proposals)

    async def _turn(self, position: int, call: Call) -> None:
        setting = self._setting
        place = Place(self._index, position, self._deadline)
        hear, gather_s = self._ear(call, position)
        turn = Turn(setting, call, place, hear, gather_s)
        setting.tell(AgentStarted(self._index, call.agent.name, position, call.agent.model))
        try:
            outcome = await turn.take()
        except asyncio.CancelledError as error:
            error.__traceback__ = None  # the task keeps the error, and its frames the task
            if not self._progress.closed:
                raise
            outcome = turn.cut()
        except Exception:
            _logger.exception("agent.broke", run_id=setting.run_id, layer=self._index, agent=call.agent.name)
            outcome = turn.failure(InternalError("the server failed while this agent spoke"))
        if self._progress.closed and isinstance(outcome, Proposal):
            outcome = turn.cut()
        self._progress.degradations += turn.degradations
        self._take(outcome)

    def _take(self, outcome: Outcome) -> None:
        self._progress.take(outcome)
        if isinstance(outcome, Proposal):
            self._setting.tell(ProposalReceived(self._index, outcome))
        else:
            self._setting.tell(AgentFailed(self._index, outcome))

    def _ear(self, call: Call, position: int) -> tuple[Callable[[str], None], float]:
        tell, index, agent = self._setting.tell, self._index, call.agent.name
        if self._layer.answers and self._setting.plan.response_schema is not None:
            return _unheard, self._setting.gather_s  # half a document is of no use: it is shown once it is checked
        if self._layer.answers:
            return self._setting.write_answer, self._setting.gather_s
        if self._setting.proposal_deltas:
            return lambda text: tell(ProposalDelta(index, agent, position, text)), self._setting.gather_s
        return _unheard, self._setting.gather_s * _UNWATCHED_GATHER

    def _closed(self, started: datetime) -> LayerResult:
        progress = self._progress
        needed = len(progress.proposals) if self._layer.answers else self._quorum or 1
        proposals, declined = sift(progress.proposals, needed)
        failures = (*progress.failures, *declined)
        return LayerResult(
            self._index,
            proposals,
            tuple(sorted(failures, key=lambda failure: failure.position)),
            started,
            self._setting.clock.now(),
            self._layer.answers,
            tuple(progress.arrival),
            (*self._failed(failures), *progress.degradations),
        )

    def _failed(self, failures: tuple[AgentFailure, ...]) -> list[Degradation]:
        """Those who failed; a call that was cut because the matter was settled was not missed."""
        found = [degradation_of(failure, self._index) for failure in failures]
        if self._is_settled():
            return [one for one in found if one.reason is not DegradationReason.STRAGGLER_CUT]
        return found


def quorum_of(layer: Layer, planned: int | None) -> int | None:
    """Return how many proposals close a layer; None means that all its agents are waited for."""
    wanted = layer.quorum if layer.quorum is not None else planned
    if wanted is None or layer.answers:
        return None
    return min(wanted, len(layer.calls))


_REASONS = {
    StragglerCut.reason(): DegradationReason.STRAGGLER_CUT,
    ModelRefused.reason(): DegradationReason.AGENT_REFUSED,
}


def degradation_of(failure: AgentFailure, layer: int) -> Degradation:
    """Return a failure as a reason why the answer is less than planned."""
    reason = _REASONS.get(failure.reason, DegradationReason.AGENT_FAILED)
    return Degradation(reason, failure.detail, layer, failure.agent)


def _unheard(_text: str) -> None:
    """Hear nothing."""
