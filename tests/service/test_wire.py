"""What the house tells and what the contract has are the same, member by member."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, get_args

import grpc
import pytest

from moa.v1 import event_pb2, plan_pb2, run_pb2
from moa_server.domain import event as facts
from moa_server.domain.answer import Answer, AnswerState, Judgement, Vote
from moa_server.domain.conversation import Message, Part, Role
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.event import CancelledBy
from moa_server.domain.limits import Limits
from moa_server.domain.model import AttemptKind, FinishReason
from moa_server.domain.plan import PlannedLayer
from moa_server.domain.proposal import AgentFailure, Attempt, LayerEnd, LayerResult, Proposal, Voice
from moa_server.domain.run import RunRecord, RunState, Ticket
from moa_server.domain.strategy import Decision, DecisionKind
from moa_server.domain.usage import Certainty, Usage
from moa_server.engine import ModelView, RunStatus
from moa_server.models.circuit import BreakerState
from moa_server.service.wire import events, layers, plans, queries, runs
from tests.service.scripted import NOW, event, plan

DEGRADED = Degradation(DegradationReason.AGENT_FAILED, "one failed", 0, "one")
PROPOSAL = Proposal("one", 0, "m", "m", "text")
FAILURE = AgentFailure("two", 1, "m", "MODEL_TIMEOUT", "was silent")
JUDGEMENT = Judgement(0, (Vote("A", 2.0, (Voice("one", 0),)),), (Voice("two", 1),), 0.5, (Voice("one", 0),))
DECISION = Decision(DecisionKind.STOP, ("one",), "agreed", 2, 1, shadow=True, judgement=JUDGEMENT)
ANSWER = Answer("text", "boss", "m", "m")
FACTS: dict[str, facts.Fact] = {
    "run_started": facts.RunStarted("", plan()),
    "run_adopted": facts.RunAdopted(2, after_loss=True),
    "layer_started": facts.LayerStarted(PlannedLayer(0, (), 1, 0.0)),
    "agent_started": facts.AgentStarted(0, "one", 0, "m"),
    "proposal_delta": facts.ProposalDelta(0, "one", 0, "te"),
    "proposal_received": facts.ProposalReceived(0, PROPOSAL),
    "agent_failed": facts.AgentFailed(0, FAILURE),
    "layer_closed": facts.LayerClosed(LayerResult(0, (PROPOSAL,), (FAILURE,)).summary()),
    "decision_made": facts.DecisionMade(
        Decision(DecisionKind.STOP, ("one",), "agreed", 2, 1, shadow=True, judgement=JUDGEMENT)
    ),
    "run_degraded": facts.RunDegraded(DEGRADED),
    "answer_delta": facts.AnswerDelta("te"),
    "answer_restarted": facts.AnswerRestarted(DEGRADED),
    "run_succeeded": facts.RunSucceeded(ANSWER, Usage(1)),
    "run_failed": facts.RunFailed("NO_PROPOSALS", "none", (FAILURE,), "", Usage(1)),
    "run_cancelled": facts.RunCancelled(CancelledBy.CALLER, Usage(1)),
}


def written(fact: facts.Fact) -> event_pb2.Event:
    into = event_pb2.Event()
    events.write_event(event(7, fact), into)
    return into


def test_every_fact_of_the_house_is_one_of_the_contract_and_the_other_way_round() -> None:
    assert {type(fact) for fact in FACTS.values()} == set(get_args(facts.Fact))
    told = {field.name for field in event_pb2.Event.DESCRIPTOR.oneofs_by_name["fact"].fields}
    assert told == FACTS.keys() | {"deliberation_made"}  # comes with the judges of claims


@pytest.mark.parametrize("name", FACTS)
def test_a_fact_is_written_under_its_own_name_with_all_that_it_says(name: str) -> None:
    into = written(FACTS[name])
    assert (into.epoch, into.sequence) == (1, 7)
    assert into.event_time.ToDatetime(UTC) == NOW
    assert into.WhichOneof("fact") == name
    said, fact = getattr(into, name), FACTS[name]
    for field in said.DESCRIPTOR.fields:
        plain = getattr(fact, field.name, None)
        if isinstance(plain, Enum):
            assert field.enum_type.values_by_number[getattr(said, field.name)].name.endswith(f"_{plain.name}")
        elif isinstance(plain, str | int):
            assert getattr(said, field.name) == plain
        elif field.message_type and not field.is_repeated:
            assert said.HasField(field.name)


@pytest.mark.parametrize(
    ("name", "empty"), [("answer_delta", facts.AnswerDelta("")), ("proposal_delta", facts.ProposalDelta(0, "", 0, ""))]
)
def test_an_empty_piece_is_a_fact_all_the_same(name: str, empty: facts.Fact) -> None:
    assert written(empty).WhichOneof("fact") == name


def test_a_decision_is_told_whole() -> None:
    said = written(FACTS["decision_made"]).decision_made
    assert (said.kind, [*said.chosen], said.detail) == (event_pb2.DECISION_KIND_STOP, ["one"], "agreed")
    assert (said.calls_avoided, said.calls_cut, said.shadow) == (2, 1, True)
    judgement = said.judgement
    assert [(vote.choice, vote.weight, [one.agent for one in vote.voices]) for vote in judgement.votes] == [
        ("A", 2.0, ["one"])
    ]
    assert ([one.position for one in judgement.undecided], judgement.share) == ([1], 0.5)
    assert [one.agent for one in judgement.ranking] == ["one"]


ENUMS: dict[str, type[Enum]] = {
    "FinishReason": FinishReason,
    "AttemptKind": AttemptKind,
    "Certainty": Certainty,
    "RunState": RunState,
    "DegradationReason": DegradationReason,
    "BreakerState": BreakerState,
    "Role": Role,
    "LayerEnd": LayerEnd,
    "AnswerState": AnswerState,
    "CancelledBy": CancelledBy,
    "DecisionKind": DecisionKind,
}
TO_COME = {"LAYER_END_DEADLINE", "LAYER_END_BUDGET"}


@pytest.mark.parametrize("name", ENUMS)
def test_the_members_of_the_house_are_those_of_the_contract(name: str) -> None:
    [said] = [
        file.enum_types_by_name[name]
        for file in (plan_pb2.DESCRIPTOR, run_pb2.DESCRIPTOR, event_pb2.DESCRIPTOR)
        if name in file.enum_types_by_name
    ]
    prefix = re.sub(r"(?<!^)(?=[A-Z])", "_", name).upper()
    house = {f"{prefix}_{member.name}" for member in ENUMS[name]}
    assert house | {f"{prefix}_UNSPECIFIED"} == {value.name for value in said.values} - TO_COME


def test_every_member_is_written_as_its_own_name() -> None:
    for finish in FinishReason:
        said = runs.write_answer(Answer("text", "boss", "m", "m", finish)).finish_reason
        assert run_pb2.FinishReason.Name(said) == f"FINISH_REASON_{finish.name}"
    for kind in AttemptKind:
        [attempt] = layers.write_attempts([Attempt("m", kind, NOW, NOW)])
        assert run_pb2.AttemptKind.Name(attempt.kind) == f"ATTEMPT_KIND_{kind.name}"
    for certainty in Certainty:
        usage = layers.write_usage(Usage(1, certainty=certainty))
        assert run_pb2.Certainty.Name(usage.certainty) == f"CERTAINTY_{certainty.name}"
    for reason in DegradationReason:
        degradation = plans.write_degradation(Degradation(reason, "less"))
        assert plan_pb2.DegradationReason.Name(degradation.reason) == f"DEGRADATION_REASON_{reason.name}"
    for state in BreakerState:
        model = plans.write_model(ModelView("m", state))
        assert plan_pb2.BreakerState.Name(model.breaker) == f"BREAKER_STATE_{state.name}"


def test_every_count_of_a_usage_is_told() -> None:
    used = Usage(1, 60, 50, 40, 30, Certainty.ESTIMATED, 20, 10)
    assert layers.write_usage(used) == run_pb2.Usage(
        calls=1,
        input_tokens=60,
        output_tokens=50,
        cached_input_tokens=40,
        reasoning_tokens=30,
        certainty=run_pb2.CERTAINTY_ESTIMATED,
        cost_nanousd=20,
        cache_write_tokens=10,
    )


@pytest.mark.parametrize("state", RunState)
def test_the_state_of_a_run_is_that_of_its_record_until_its_end_is_known(state: RunState) -> None:
    record = RunRecord("run", Ticket("me", "", ""), plan(), state, 1, NOW)
    said = runs.write_run(RunStatus(record, facts.BEGINNING, Usage(), None)).state
    assert run_pb2.RunState.Name(said) == f"RUN_STATE_{state.name}"
    for name in ("run_succeeded", "run_failed", "run_cancelled"):
        end: Any = FACTS[name]
        said = runs.write_run(RunStatus(record, facts.BEGINNING, Usage(), end)).state
        assert run_pb2.RunState.Name(said) == name.replace("run_", "run_state_").upper()


@pytest.mark.parametrize("role", Role)
def test_every_role_is_read(role: Role) -> None:
    said = [
        plan_pb2.Message(role=plan_pb2.Role.Value(f"ROLE_{one.name}"), parts=[plan_pb2.Part(text="x")])
        for one in (role, Role.USER)
    ]
    violations = queries.Violations()
    assert queries.read_conversation(said, "messages", Limits(), violations)[0] == Message(role, (Part("x"),))
    violations.raise_any()


@pytest.mark.parametrize("microsecond", [0, 1, 999_999])
def test_a_moment_is_written_to_the_microsecond(microsecond: int) -> None:
    moment = datetime(2026, 12, 31, 23, 59, 59, microsecond, UTC)
    [attempt] = layers.write_attempts([Attempt("m", AttemptKind.FIRST, moment, moment)])
    assert attempt.start_time.ToDatetime(UTC) == moment
    assert not attempt.HasField("first_token_time")


def test_an_attempt_that_failed_has_the_endpoints_own_code() -> None:
    told = Attempt("m", AttemptKind.FIRST, NOW, NOW, upstream_code="unsupported_parameter")
    [attempt] = layers.write_attempts([told])
    assert attempt.upstream_code == "unsupported_parameter"


def test_a_run_says_whose_it_is_what_it_lost_and_what_it_fell_short_of() -> None:
    ticket = Ticket("billing", "invoice-42", "", traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
    record = RunRecord("run", ticket, plan(), RunState.RUNNING, 3, NOW, owners_lost=2)
    end = facts.RunFailed("NO_PROPOSALS", "none", (FAILURE,), "half", Usage(1), (("layer", "0"),))
    said = runs.write_run(RunStatus(record, facts.BEGINNING, Usage(1), end, NOW, (DEGRADED,)))
    assert (said.caller, said.request_id, said.owners_lost) == ("billing", "invoice-42", 2)
    assert (said.mixture, said.strategy) == ("mix", "aggregate")
    assert said.trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert (said.start_time.ToDatetime(UTC), said.end_time.ToDatetime(UTC)) == (NOW, NOW)
    assert [one.agent for one in said.degradations] == ["one"]
    assert (said.failure.partial_text, said.failure.code) == ("", grpc.StatusCode.UNAVAILABLE.value[0])
    assert dict(said.failure.metadata) == {"layer": "0"}
    cancelled = facts.RunCancelled(CancelledBy.ABANDONED, Usage(1))
    said = runs.write_run(RunStatus(record, facts.BEGINNING, Usage(1), cancelled, NOW))
    assert said.cancelled_by == run_pb2.CANCELLED_BY_ABANDONED


def test_an_agent_that_failed_says_how_its_turn_ended_and_whether_that_is_for_good() -> None:
    cut = layers.write_failure(replace(FAILURE, reason="STRAGGLER_CUT"))
    refused = layers.write_failure(replace(FAILURE, reason="MODEL_CREDENTIALS_REFUSED", permanent=True))
    assert (cut.end, cut.permanent) == (run_pb2.ATTEMPT_END_QUORUM, False)
    assert (refused.end, refused.permanent) == (run_pb2.ATTEMPT_END_FAILED, True)
