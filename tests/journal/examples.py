"""Runs and events for the journal's tests."""

from datetime import UTC, datetime

from moa_server.domain.agent import Agent, ReasoningEffort, Sampling
from moa_server.domain.answer import Answer
from moa_server.domain.conversation import Message, Role
from moa_server.domain.event import AnswerDelta, Event, Fact, LayerClosed, RunStarted, RunSucceeded
from moa_server.domain.mixture import Roster, Rules
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.ports import Append
from moa_server.domain.proposal import LayerResult
from moa_server.domain.run import Submission, Ticket
from moa_server.domain.usage import Budget, Usage

NOON = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
VOICE = Agent(
    "poet",
    "small",
    instructions="Speak in verse.",
    sampling=Sampling(temperature=0.5, stop=("END",), reasoning_effort=ReasoningEffort.LOW, reasoning_tokens=100),
)
PLAN = Plan(
    mixture="choir",
    strategy="aggregate",
    messages=(Message.of(Role.USER, "Why is the sea salt?"),),
    roster=Roster(((VOICE,),), VOICE),
    layers=(PlannedLayer(0, (VOICE,), 1, 0.0), PlannedLayer(1, (VOICE,), 1, 0.0, answers=True)),
    worst_case=WorstCase(2, 400, None),
    budget=Budget(),
    rules=Rules(),
    mark="k3",
    seed=7,
    options={"rounds": 2},
    response_schema="{}",
)
USED = Usage(calls=2, input_tokens=30, output_tokens=12)
SUCCEEDED = RunSucceeded(Answer("Rivers.", "poet", "small", "small-1"), USED)
CLOSED = LayerClosed(LayerResult(0, (), (), NOON, NOON).summary())


def submission(run_id: str = "r1", request_id: str = "q1", caller: str = "ann", fingerprint: str = "f") -> Submission:
    return Submission(run_id, Ticket(caller, request_id, fingerprint), PLAN)


def events(*facts: Fact, run_id: str = "r1", epoch: int = 1, first: int = 1) -> tuple[Event, ...]:
    return tuple(Event(run_id, epoch, sequence, NOON, fact) for sequence, fact in enumerate(facts, first))


def deltas(count: int, *, run_id: str = "r1", epoch: int = 1, first: int = 1) -> Append:
    facts = (AnswerDelta(f"word {number} ") for number in range(first, first + count))
    return Append(run_id, epoch, events(*facts, run_id=run_id, epoch=epoch, first=first))


def whole(run_id: str = "r1", epoch: int = 1) -> Append:
    """All events of a short run."""
    facts = (RunStarted("q1", PLAN), AnswerDelta("Riv"), AnswerDelta("ers."), SUCCEEDED)
    return Append(run_id, epoch, events(*facts, run_id=run_id, epoch=epoch))
