from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from moa_server.domain.answer import Answer
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.event import (
    AgentFailed,
    AnswerDelta,
    CancelledBy,
    LayerClosed,
    ProposalReceived,
    RunCancelled,
    RunFailed,
    RunSucceeded,
)
from moa_server.domain.model import AttemptKind
from moa_server.domain.proposal import AgentFailure, Attempt, LayerResult, Proposal
from moa_server.domain.usage import Usage
from moa_server.telemetry import names
from moa_server.telemetry.run_metrics import RunMetrics, observe_breakers, observe_open_runs
from tests.telemetry.spans import measure, measured

NOW = datetime(2026, 1, 1, tzinfo=UTC)
_mixtures = count()


def after(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def fresh() -> str:
    """A mixture of no other test: the instruments are those of the process."""
    measure()
    return f"mixture-{next(_mixtures)}"


def of(metric: str, mixture: str) -> list[tuple[dict[str, str], float]]:
    """Return the attributes of a metric's points for a mixture, and their values or sums."""
    return [
        ({key: value for key, value in attributes.items() if key != names.MIXTURE}, _total(point))
        for attributes, point in measured(metric)
        if attributes.get(names.MIXTURE) == mixture
    ]


def _total(point: Any) -> float:  # noqa: ANN401 - a number or a histogram
    total: float = point.sum if hasattr(point, "sum") else point.value
    return total


def test_runs_are_counted_by_how_they_ended() -> None:
    mixture, metrics = fresh(), RunMetrics()
    answer = Answer("text", "a", "m", "m", degradations=(Degradation(DegradationReason.AGENT_FAILED, "x"),))
    metrics.see(mixture, RunSucceeded(answer, Usage()))
    metrics.see(mixture, RunFailed("NO_PROPOSALS", "x", (), "", Usage()))
    metrics.see(mixture, RunCancelled(CancelledBy.CALLER, Usage()))
    metrics.see(mixture, RunCancelled(CancelledBy.ABANDONED, Usage()))
    metrics.see(mixture, AnswerDelta("x"))
    ended = {attributes[names.RUN_STATE]: value for attributes, value in of(names.RUNS_ENDED, mixture)}
    assert ended == {"succeeded": 1, "failed": 1, "cancelled": 2}
    assert of(names.DEGRADED, mixture) == [({names.DEGRADATION_REASON: "agent_failed"}, 1)]


def test_every_attempt_of_a_layer_is_counted_failed_ones_too() -> None:
    mixture, metrics = fresh(), RunMetrics()
    first = Attempt("m", AttemptKind.FIRST, NOW, after(2), failure="MODEL_TIMEOUT", usage=Usage(1, 10, 0))
    retry = Attempt("m", AttemptKind.RETRY, after(3), after(5), after(4), usage=Usage(1, 10, 20, cost_nanousd=7))
    dead = Attempt("n", AttemptKind.FIRST, NOW, after(1), failure="MODEL_UNKNOWN", usage=Usage(1, cost_nanousd=None))
    proposal = Proposal("fast", 0, "m", "m", "text", attempts=(first, retry))
    failure = AgentFailure("slow", 1, "n", "MODEL_UNKNOWN", "x", attempts=(dead,))
    for fact in (
        ProposalReceived(0, proposal),
        AgentFailed(0, failure),
        LayerClosed(LayerResult(0, (proposal,), (failure,)).summary()),
    ):
        metrics.see(mixture, fact)
    agents = {
        a[names.AGENT_NAME]: (seconds, a.get(names.ERROR_TYPE)) for a, seconds in of(names.AGENT_DURATION, mixture)
    }
    assert agents == {"fast": (5, None), "slow": (1, "MODEL_UNKNOWN")}
    attempts = {
        (a[names.MODEL], a[names.ATTEMPT_KIND], a.get(names.ERROR_TYPE)): seconds
        for a, seconds in of(names.MODEL_DURATION, mixture)
    }
    assert attempts == {
        ("m", "first", "MODEL_TIMEOUT"): 2,
        ("m", "retry", None): 2,
        ("n", "first", "MODEL_UNKNOWN"): 1,
    }
    assert [seconds for _, seconds in of(names.MODEL_FIRST_TOKEN, mixture)] == [1]
    tokens = {(a[names.MODEL], a[names.TOKEN_TYPE]): total for a, total in of(names.MODEL_TOKENS, mixture)}
    assert tokens == {("m", "input"): 20, ("m", "output"): 20, ("n", "input"): 0, ("n", "output"): 0}
    assert [money for _, money in of(names.COST, mixture)] == [7]


def test_open_runs_and_breakers_are_read_when_they_are_asked_for() -> None:
    measure()
    observe_open_runs(lambda: 3)
    observe_breakers(lambda: {"good": "closed", "bad": "open", "trying": "half_open"})
    assert [point.value for _, point in measured(names.OPEN_RUNS)] == [3]
    breakers = {attributes[names.MODEL]: point.value for attributes, point in measured(names.BREAKER)}
    assert breakers == {"good": 0, "bad": 2, "trying": 1}
