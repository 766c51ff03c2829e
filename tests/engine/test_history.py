"""What a server that takes a run over learns of its earlier epochs from the journal."""

from dataclasses import replace
from datetime import UTC, datetime

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import ModelUnavailable
from moa_server.domain.event import (
    AgentFailed,
    AgentStarted,
    DecisionMade,
    Event,
    Fact,
    LayerClosed,
    ProposalReceived,
    RunDegraded,
)
from moa_server.domain.model import AttemptKind
from moa_server.domain.proposal import AgentFailure, Attempt, LayerResult, Proposal
from moa_server.domain.strategy import Decision, DecisionKind
from moa_server.domain.usage import Usage
from moa_server.engine.records.closed_layers import ClosedLayers
from moa_server.engine.records.history import History

NOON = datetime(2026, 11, 5, 12, 0, tzinfo=UTC)
USED = Usage(calls=1, input_tokens=10, output_tokens=5, cost_nanousd=7)
ASIDE = Usage(input_tokens=3, cost_nanousd=2)
CALL = Attempt("m", AttemptKind.FIRST, NOON, NOON, usage=USED, set_aside=ASIDE)


def asked(agent: str, position: int = 0) -> AgentStarted:
    return AgentStarted(0, agent, position, "m")


def gave(agent: str, position: int = 0, text: str = "a text") -> Proposal:
    return Proposal(agent, position, "m", "m", text, attempts=(CALL,), usage=USED)


def fell(agent: str, position: int = 0) -> AgentFailure:
    return AgentFailure(agent, position, "m", ModelUnavailable.reason(), "down", attempts=(CALL,), usage=USED)


def closed(*proposals: Proposal, failures: tuple[AgentFailure, ...] = (), index: int = 0) -> LayerClosed:
    return LayerClosed(LayerResult(index, proposals, failures).summary())


def missed(layer: int | None, detail: str) -> RunDegraded:
    return RunDegraded(Degradation(DegradationReason.AGENT_FAILED, detail, layer))


def history(*facts: Fact) -> History:
    return History.of(Event("r1", 1, sequence, NOON, fact) for sequence, fact in enumerate(facts, 1))


def test_what_proposals_and_failures_used_and_what_is_set_aside_for_them_is_known() -> None:
    told = history(
        asked("a", 0),
        asked("b", 1),
        ProposalReceived(0, gave("a", 0)),
        AgentFailed(0, fell("b", 1)),
    )
    assert (told.known, told.set_aside, told.lost) == (USED + USED, ASIDE + ASIDE, ())
    assert told.spent == told.known


def test_a_call_whose_end_was_not_recorded_is_lost_and_nobody_knows_what_it_used() -> None:
    told = history(asked("a", 0), asked("b", 1), ProposalReceived(0, gave("a", 0)))
    assert told.lost == ((0, "b"),)
    assert told.spent == USED + Usage.unknown(1)


def test_one_who_was_asked_again_after_a_loss_has_lost_one_call() -> None:
    told = history(asked("a", 0), asked("a", 0), ProposalReceived(0, gave("a", 0)))
    assert told.lost == ((0, "a"),)


def test_proposals_of_the_open_layer_are_given_and_those_of_closed_ones_are_in_it() -> None:
    first, second = gave("a", 0, "first"), gave("b", 1, "second")
    told = history(ProposalReceived(0, first), closed(first), ProposalReceived(1, second))
    assert [layer.proposals for layer in told.closed] == [(first,)]
    assert told.given == {1: second}


def test_every_decision_is_counted() -> None:
    made = DecisionMade(Decision(DecisionKind.ROUTE, ("a",), "because"))
    assert [history(*[made] * count).decisions for count in range(3)] == [0, 1, 2]


def test_what_was_less_than_planned_is_apart_for_the_open_layer_until_it_closes() -> None:
    first, second, third = missed(0, "first"), missed(1, "second"), missed(2, "third")
    whole = missed(None, "of the run")
    facts: list[Fact] = [first, closed(gave("a")), second]
    before = history(ProposalReceived(0, gave("a")), *facts, whole)
    assert before.degraded == [first.degradation, whole.degradation]
    assert before.degraded_so_far == [second.degradation]
    after = history(
        ProposalReceived(0, gave("a")), *facts, ProposalReceived(1, gave("a")), closed(gave("a"), index=1), third
    )
    assert after.degraded == [first.degradation, second.degradation]
    assert after.degraded_so_far == [third.degradation]


def test_a_layer_has_the_last_that_was_told_of_each_turn() -> None:
    """Its agent was asked once for an owner that was lost, and once more."""
    layers, last = ClosedLayers(), gave("a", 0, "said again")
    for told in (gave("a", 0, "for one that was lost"), last):
        layers.hear(ProposalReceived(0, told))
    layer = layers.hear(closed(last))
    assert layer is not None
    assert layer.proposals == (last,)


def test_one_who_broke_off_and_began_again_has_all_its_ends_in_its_layer() -> None:
    layers, lost, again, other = ClosedLayers(), fell("a"), gave("a", 0, "whole"), gave("b", 1, "other")
    broke = tuple(replace(fell("a"), detail=f"broke off {number}") for number in range(2))
    for failure in (lost, *broke):
        layers.hear(AgentFailed(0, failure))
    layers.hear(ProposalReceived(0, again))
    layers.hear(ProposalReceived(0, other))
    layer = layers.hear(closed(again, other, failures=broke))
    assert layer is not None
    assert (layer.failures, layer.proposals) == (broke, (again, other))


def test_only_those_whose_calls_the_open_layer_has_lost_are_asked_again() -> None:
    """One who was still asked when an earlier layer closed without it is none of them; nor is one who has answered."""
    told = [AgentStarted(0, name, at, "m") for at, name in enumerate("ab")]
    before = history(*told, ProposalReceived(0, gave("a")), closed(gave("a")), AgentStarted(1, "c", 2, "m"))
    assert before.asked_before == {2}
    answered = history(AgentStarted(0, "a", 0, "m"), ProposalReceived(0, gave("a")), AgentStarted(0, "b", 1, "m"))
    assert answered.asked_before == {1}
