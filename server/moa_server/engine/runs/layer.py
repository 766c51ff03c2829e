"""Lets the agents of one layer answer side by side, and closes the layer by its quorum."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog
from opentelemetry import trace

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import InternalError
from moa_server.domain.event import AgentFailed, AgentStarted, ProposalDelta, ProposalReceived
from moa_server.domain.proposal import AgentFailure, LayerEnd, LayerResult, Proposal
from moa_server.domain.run import task_name
from moa_server.domain.strategy import Call, Layer
from moa_server.engine.runs.quorum import counted, degradation_of, quorum_of
from moa_server.engine.runs.refusals import is_refusal, sift
from moa_server.engine.runs.run_context import RunContext
from moa_server.engine.runs.turn import Outcome, Place, Turn
from moa_server.telemetry import names

_tracer = trace.get_tracer("moa_server.engine")
_logger = structlog.get_logger(__name__)

_UNWATCHED_GATHER = 10
"""How much longer the pieces of a text that nobody watches may be gathered."""


@dataclass(frozen=True, slots=True)
class Given:
    """What a layer had come to before this server took the run over."""

    proposals: Mapping[int, Proposal] = field(default_factory=dict)
    """By position."""
    degradations: Sequence[Degradation] = ()
    """What was told to be less than planned."""
    asked: frozenset[int] = frozenset()
    """The positions of those who were asked, and whose calls were lost."""


class OpenLayer:
    """A layer whose agents are speaking."""

    def __init__(
        self,
        run: RunContext,
        layer: Layer,
        index: int,
        deadline: float,
        given: Given = Given(),
    ) -> None:
        """Open a layer, or go on with one that was open before."""
        self._run = run
        self._layer = layer
        self._index = index
        self._deadline = deadline
        self._quorum = quorum_of(layer, run.plan.rules.quorum)
        self._outcomes: dict[int, Outcome] = dict(given.proposals)
        self._arrival = list(self._outcomes)
        """The positions of those who proposed, the earliest first."""
        self._degradations = [*given.degradations]
        # What was lost is paid for already; where others have answered, asking again is not worth the layers to come.
        self._spare = given.asked if given.proposals else frozenset[int]()
        self._is_closed = False

    async def result(self) -> LayerResult:
        """Ask every agent, and return the layer when it has closed."""
        started = self._run.server.clock.now()
        with _tracer.start_as_current_span(names.layer_span(self._index), attributes={names.LAYER_INDEX: self._index}):
            async with asyncio.TaskGroup() as group:
                tasks = {
                    group.create_task(
                        self._take_turn(position, call), name=task_name(self._run.log.run_id, call.agent.name)
                    )
                    for position, call in enumerate(self._layer.calls)
                    if position not in self._outcomes
                }
                end = await self._until_closed(tasks)
                self._is_closed = True
                for task in tasks:
                    task.cancel()
        proposals = self._proposals()
        # In the configured order, whoever failed first: degradations are told in it too.
        ordered = (self._outcomes[position] for position in sorted(self._outcomes))
        failures = tuple(outcome for outcome in ordered if isinstance(outcome, AgentFailure))
        # An answer that declines is the answer; of references, refusals are left out while enough others hold.
        kept, declined = sift(proposals, len(proposals) if self._layer.answers else self._needed())
        failures = (*failures, *declined)
        missed = self._missed(failures)
        for degradation in missed:
            self._run.degrade(degradation)
        return LayerResult(
            self._index,
            kept,
            tuple(sorted(failures, key=lambda failure: failure.position)),
            started,
            self._run.server.clock.now(),
            self._layer.answers,
            tuple(self._arrival),
            (*missed, *self._degradations),
            end,
            self._quorum or len(self._layer.calls),
        )

    def _missed(self, failures: Iterable[AgentFailure]) -> list[Degradation]:
        """Return what is less than planned, now that no more comes."""
        missed = [degradation_of(failure, self._index) for failure in failures]
        unasked = (call.agent.name for at, call in enumerate(self._layer.calls) if at not in self._outcomes)
        missed += [
            Degradation(DegradationReason.STRAGGLER_CUT, f"{agent} was not asked again", self._index, agent)
            for agent in unasked
            if agent not in {told.agent for told in self._degradations}
        ]
        if self._is_settled():  # then a call that was cut was not missed
            return [one for one in missed if one.reason is not DegradationReason.STRAGGLER_CUT]
        return missed

    async def _until_closed(self, tasks: set[asyncio.Task[None]]) -> LayerEnd:
        """Wait until all are done, or the matter is settled, or the quorum's grace is over, and return which."""
        if tasks and self._has_quorum() and not self._run.plan.rules.grace_s:
            return LayerEnd.QUORUM  # by what an earlier owner was given: nobody is called who would be cut at once
        pending = {task for task in tasks if not task.done()}
        grace_ends: float | None = None
        loop = asyncio.get_running_loop()
        while pending and not self._is_settled():
            if grace_ends is None and self._has_quorum():
                grace_ends = loop.time() + self._run.plan.rules.grace_s
            timeout = None if grace_ends is None else max(grace_ends - loop.time(), 0)
            done, pending = await asyncio.wait(pending, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if not done and grace_ends is not None:
                return LayerEnd.QUORUM
        return LayerEnd.DECIDED if pending else LayerEnd.ALL_HEARD

    async def _take_turn(self, position: int, call: Call) -> None:
        """Let one agent answer, and make whatever comes of it a fact: only a cancelled run raises."""
        run = self._run
        hear, gather_s = self._listener(call, position)
        place = Place(self._index, position, self._deadline, position in self._spare)
        turn = Turn(run, call, place, hear, gather_s)
        run.tell(AgentStarted(self._index, call.agent.name, position, call.agent.model))
        try:
            outcome = await turn.take()
        except asyncio.CancelledError as error:
            error.__traceback__ = None  # the task keeps the error, and its frames the task
            if not self._is_closed:
                raise
            outcome = turn.cut()
        except Exception:
            _logger.exception("agent.broke", run_id=run.log.run_id, layer=self._index, agent=call.agent.name)
            outcome = turn.failure(InternalError("the server failed while this agent spoke"))
        if self._is_closed and isinstance(outcome, Proposal):
            outcome = turn.cut()  # it had finished in the moment in which the layer closed without it
        self._degradations += turn.degradations
        for degradation in turn.degradations:
            run.degrade(degradation)
        self._outcomes[position] = outcome
        if isinstance(outcome, Proposal):
            self._arrival.append(position)
            run.tell(ProposalReceived(self._index, outcome))
        else:
            run.tell(AgentFailed(self._index, outcome))

    def _listener(self, call: Call, position: int) -> tuple[Callable[[str], None], float]:
        """Return who hears an agent's pieces, and how long they may be gathered for that."""
        run, index, agent = self._run, self._index, call.agent.name
        gather_s = run.server.gather_s
        if self._layer.answers and run.plan.response_schema is not None:
            return _unheard, gather_s  # half a document is of no use: it is shown once it is checked
        if self._layer.answers:
            return run.write_answer, gather_s
        if run.proposal_deltas:
            return lambda text: run.tell(ProposalDelta(index, agent, position, text)), gather_s
        return _unheard, gather_s * _UNWATCHED_GATHER

    def _has_quorum(self) -> bool:
        """Whether enough have answered for the grace to begin. Those who declined count when nobody speaks any more."""
        if self._quorum is None or counted(self._layer, self._answers()) < self._quorum:
            return False
        # What no quorum counts is waited for.
        return all(call.in_quorum or position in self._outcomes for position, call in enumerate(self._layer.calls))

    def _needed(self) -> int:
        """Return how many proposals have to be left when the refusals among them are left out."""
        if self._quorum is None:
            return 1
        answers = self._answers()
        return self._quorum + len(answers) - counted(self._layer, answers)

    def _is_settled(self) -> bool:
        # One who declined is left out in the end while anybody else holds, and so must not have settled it.
        return self._layer.enough is not None and self._layer.enough(self._answers())

    def _answers(self) -> tuple[Proposal, ...]:
        return tuple(proposal for proposal in self._proposals() if not is_refusal(proposal.text))

    def _proposals(self) -> tuple[Proposal, ...]:
        ordered = (self._outcomes[position] for position in sorted(self._outcomes))
        return tuple(outcome for outcome in ordered if isinstance(outcome, Proposal))


def _unheard(_text: str) -> None:
    """Hear nothing."""
