"""What the outcome of a layer means for its run, and what a caller is told of it."""

import pytest

from moa_server.domain.agent import Agent
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import (
    BudgetExceeded,
    DeadlineExceeded,
    MoaError,
    ModelRefused,
    ModelTimeout,
    ModelUnavailable,
    NoProposals,
    QuorumMissed,
    StragglerCut,
)
from moa_server.domain.mixture import Rules
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.strategy import Call, Layer
from moa_server.engine.runs.quorum import check_layer, degradation_of, limit_of, quorum_of


def layer(agents: str, quorum: int | None = None) -> Layer:
    return Layer(tuple(Call(Agent(name, name)) for name in agents), quorum=quorum)


def gave(agent: str, position: int) -> Proposal:
    return Proposal(agent, position, agent, agent, f"from {agent}")


def fell(agent: str, position: int, error: type[MoaError] = ModelUnavailable) -> AgentFailure:
    return AgentFailure(agent, position, agent, error.reason(), f"{agent} fell")


SHORT = LayerResult(3, (gave("a", 0),), (fell("b", 1), fell("c", 2, ModelTimeout)))


def test_what_a_layer_says_of_its_quorum_comes_before_what_is_planned() -> None:
    assert quorum_of(layer("abc", quorum=1), 2) == 1
    assert quorum_of(layer("abc"), 2) == 2
    assert quorum_of(layer("ab"), 5) == 2, "no more than there are"
    assert quorum_of(layer("ab"), None) is None


def test_a_layer_below_its_quorum_ends_the_run_and_says_how_short_it_was_and_why() -> None:
    with pytest.raises(QuorumMissed) as told:
        check_layer(layer("abc"), SHORT, Rules(quorum=2, fail_below_quorum=True))
    assert told.value.detail == "1 of the 2 proposals that layer 3 needs were given"
    assert told.value.metadata == {
        "layer": "3",
        "quorum": "2",
        "proposals": "1",
        "agent.b": "MODEL_UNAVAILABLE",
        "agent.c": "MODEL_TIMEOUT",
    }


def test_where_a_mixture_goes_on_below_its_quorum_the_layer_is_told_to_be_short() -> None:
    (told,) = check_layer(layer("abc"), SHORT, Rules(quorum=2, fail_below_quorum=False))
    detail = "1 of the 2 proposals that layer 3 needs were given"
    assert told == Degradation(DegradationReason.QUORUM_MISSED, detail, 3)


def test_a_layer_with_just_its_quorum_is_not_short() -> None:
    assert check_layer(layer("abc"), SHORT, Rules(quorum=1)) == []


def test_a_layer_without_a_proposal_says_why_each_agent_failed() -> None:
    with pytest.raises(NoProposals) as told:
        check_layer(layer("bc"), LayerResult(3, (), (fell("b", 0), fell("c", 1, ModelTimeout))), Rules())
    assert told.value.metadata == {"layer": "3", "agent.b": "MODEL_UNAVAILABLE", "agent.c": "MODEL_TIMEOUT"}


def test_a_limit_that_stopped_every_agent_is_the_runs_own() -> None:
    for error in (BudgetExceeded, DeadlineExceeded):
        limit = limit_of((fell("a", 0, error), fell("b", 1, error)))
        assert (type(limit), limit and limit.detail) == (error, "a fell")


def test_a_limit_that_stopped_only_some_is_not() -> None:
    for failures in (
        (fell("a", 0, BudgetExceeded), fell("b", 1, DeadlineExceeded)),
        (fell("a", 0, BudgetExceeded), fell("b", 1)),
        (fell("a", 0), fell("b", 1)),
        (),
    ):
        assert limit_of(failures) is None


def test_a_failure_is_told_as_what_it_is_with_its_layer_and_agent() -> None:
    for error, reason in (
        (StragglerCut, DegradationReason.STRAGGLER_CUT),
        (ModelRefused, DegradationReason.AGENT_REFUSED),
        (ModelUnavailable, DegradationReason.AGENT_FAILED),
    ):
        assert degradation_of(fell("a", 0, error), 2) == Degradation(reason, "a fell", 2, "a")
