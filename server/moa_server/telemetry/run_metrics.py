"""Counts what runs come to, from the facts they tell."""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from moa_server.domain.event import (
    AgentFailed,
    AnswerDelta,
    Fact,
    LayerClosed,
    ProposalDelta,
    ProposalReceived,
    RunCancelled,
    RunFailed,
    RunSucceeded,
)
from moa_server.domain.proposal import AgentFailure, AgentSummary, Attempt, Proposal
from moa_server.telemetry import names

_PIECES: Final = (AnswerDelta, ProposalDelta)
_BREAKER: Final = {"closed": 0, "half_open": 1, "open": 2}


class RunMetrics:
    """The instruments that runs are counted with. Pieces of text, of which there are many, cost next to nothing."""

    def __init__(self) -> None:
        meter = metrics.get_meter(names.METRICS_SCOPE)
        seconds, tokens = names.MODEL_SECONDS, names.TOKENS
        self._ended = meter.create_counter(names.RUNS_ENDED, "{run}", "Runs that ended, by how")
        self._degraded = meter.create_counter(names.DEGRADED, "{degradation}", "Reasons why answers were less")
        self._cost = meter.create_counter(names.COST, "{nanousd}", "Money, as far as prices are known")
        self._agent = meter.create_histogram(
            names.AGENT_DURATION, "s", "How long agents took", explicit_bucket_boundaries_advisory=seconds
        )
        self._model = meter.create_histogram(
            names.MODEL_DURATION, "s", "How long attempts took", explicit_bucket_boundaries_advisory=seconds
        )
        self._first_token = meter.create_histogram(
            names.MODEL_FIRST_TOKEN, "s", "Time to the first token", explicit_bucket_boundaries_advisory=seconds
        )
        self._tokens = meter.create_histogram(
            names.MODEL_TOKENS, "{token}", "Tokens of attempts", explicit_bucket_boundaries_advisory=tokens
        )

    def see(self, mixture: str, fact: Fact) -> None:
        """Count a fact about a run of a mixture; a fact is counted once, where it happened."""
        if isinstance(fact, _PIECES):
            return
        of = {names.MIXTURE: mixture}
        match fact:
            case LayerClosed(layer):
                self._see_agents(layer.agents, of)
            case ProposalReceived(_, Proposal(attempts=attempts)) | AgentFailed(_, AgentFailure(attempts=attempts)):
                for attempt in attempts:
                    self._see_attempt(attempt, of)
            case RunSucceeded(answer):
                self._ended.add(1, {**of, names.RUN_STATE: "succeeded"})
                for degradation in answer.degradations:
                    self._degraded.add(1, {**of, names.DEGRADATION_REASON: str(degradation.reason)})
            case RunFailed(reason):
                self._ended.add(1, {**of, names.RUN_STATE: "failed", names.ERROR_TYPE: reason})
            case RunCancelled():
                self._ended.add(1, {**of, names.RUN_STATE: "cancelled"})

    def _see_agents(self, agents: Iterable[AgentSummary], of: Mapping[str, str]) -> None:
        for agent in agents:
            if agent.attempts:
                error = {names.ERROR_TYPE: agent.failure} if agent.failure else {}
                self._agent.record(agent.time_s, {**of, names.AGENT_NAME: agent.voice.agent, **error})

    def _see_attempt(self, attempt: Attempt, of: Mapping[str, str]) -> None:
        kind = {**of, names.OPERATION_NAME: names.CHAT, names.MODEL: attempt.model}
        error = {names.ERROR_TYPE: attempt.failure} if attempt.failure else {}
        took, usage = (attempt.ended - attempt.started).total_seconds(), attempt.usage
        self._model.record(took, {**kind, names.ATTEMPT_KIND: str(attempt.kind), **error})
        if attempt.first_token is not None:
            self._first_token.record((attempt.first_token - attempt.started).total_seconds(), kind)
        self._tokens.record(usage.input_tokens, {**kind, names.TOKEN_TYPE: "input"})
        self._tokens.record(usage.output_tokens, {**kind, names.TOKEN_TYPE: "output"})
        if usage.cost_nanousd:  # one that is unknown adds nothing, so that the sum is never made up
            self._cost.add(usage.cost_nanousd, kind)


def observe_open_runs(count: Callable[[], int]) -> None:
    """Report how many runs are open whenever metrics are read."""

    def read(_options: CallbackOptions) -> Iterable[Observation]:
        yield Observation(count())

    meter = metrics.get_meter(names.METRICS_SCOPE)
    meter.create_observable_gauge(names.OPEN_RUNS, [read], "{run}", "Runs under way on this server")


def observe_breakers(states: Callable[[], Mapping[str, str]]) -> None:
    """Report the state of each model's breaker whenever metrics are read: 0 closed, 1 half open, 2 open."""

    def read(_options: CallbackOptions) -> Iterable[Observation]:
        for model, state in states().items():
            yield Observation(_BREAKER[state], {names.MODEL: model})

    meter = metrics.get_meter(names.METRICS_SCOPE)
    meter.create_observable_gauge(names.BREAKER, [read], "1", "Whether models may be called")
