"""Writes plans and mixtures for the wire, and how far an answer fell short of its plan."""

from collections.abc import Iterable, Mapping
from typing import Final

from google.protobuf.duration_pb2 import Duration

from moa.v1 import plan_pb2 as pb
from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.usage import Budget
from moa_server.engine import MixtureView, ModelView

_MILLION: Final = 1_000_000
# Made of the members themselves: one that the contract does not have fails here, when the server starts.
_REASONS: Final = {
    reason: pb.DegradationReason.Value(f"DEGRADATION_REASON_{reason.name}") for reason in DegradationReason
}
_EFFORTS: Final[Mapping[ReasoningEffort | None, pb.ReasoningEffort.ValueType]] = {
    None: pb.REASONING_EFFORT_UNSPECIFIED,
    **{effort: pb.ReasoningEffort.Value(f"REASONING_EFFORT_{effort.name}") for effort in ReasoningEffort},
}


def write_plan(plan: Plan) -> pb.Plan:
    """Return a plan as the wire has it, without what a caller does not need to know."""
    failing = plan.worst_case_with_failures
    return pb.Plan(
        mixture=plan.mixture,
        strategy=plan.strategy,
        layers=[write_planned_layer(layer) for layer in plan.layers],
        worst_case=write_worst_case(plan.worst_case),
        worst_case_with_failures=None if failing is None else write_worst_case(failing),
        budget=write_budget(plan.budget),
        degradations=write_degradations(plan.degradations),
    )


def write_planned_layer(layer: PlannedLayer) -> pb.PlannedLayer:
    """Return a layer that is to be carried out."""
    return pb.PlannedLayer(
        index=layer.index,
        agents=[
            pb.PlannedAgent(name=one.name, model=one.model, sampling=write_sampling(one.sampling), weight=one.weight)
            for one in layer.agents
        ],
        quorum=layer.quorum,
        grace=write_duration(layer.grace_s),
        answers=layer.answers,
        most=len(layer.agents) if layer.most is None else layer.most,
        folds=layer.folds,
    )


def write_sampling(sampling: Sampling) -> pb.Sampling:
    """Return how an agent draws its words; what nobody says stays unset."""
    return pb.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        stop=sampling.stop,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
        reasoning_effort=_EFFORTS[sampling.reasoning_effort],
        reasoning_tokens=sampling.reasoning_tokens,
    )


def write_worst_case(worst: WorstCase) -> pb.WorstCase:
    """Return the most a plan can use."""
    return pb.WorstCase(calls=worst.calls, tokens=worst.tokens, cost_nanousd=worst.cost_nanousd)


def write_budget(budget: Budget) -> pb.Budget:
    """Return the limits of a plan; what has none stays unset."""
    return pb.Budget(
        calls=budget.calls,
        tokens=budget.tokens,
        cost_nanousd=budget.cost_nanousd,
        time=None if budget.time_s is None else write_duration(budget.time_s),
    )


def write_mixture(view: MixtureView) -> pb.Mixture:
    """Return a mixture as it is offered."""
    return pb.Mixture(
        name=view.name,
        description=view.description,
        strategy=view.strategy,
        layers=[write_planned_layer(layer) for layer in view.layers],
        worst_case=write_worst_case(view.worst_case),
        models=[write_model(model) for model in view.models],
        is_default=view.is_default,
    )


def write_model(model: ModelView) -> pb.ModelStatus:
    """Return whether a model may be called; unspecified where nothing keeps it from being."""
    state = "unspecified" if model.breaker is None else model.breaker
    return pb.ModelStatus(name=model.name, breaker=pb.BreakerState.Value(f"BREAKER_STATE_{state.upper()}"))


def write_degradation(degradation: Degradation) -> pb.Degradation:
    """Return one thing that is less than planned."""
    return pb.Degradation(
        reason=_REASONS[degradation.reason],
        layer=degradation.layer,
        agent=degradation.agent,
        detail=degradation.detail,
    )


def write_degradations(degradations: Iterable[Degradation]) -> list[pb.Degradation]:
    """Return everything that is less than planned."""
    return [write_degradation(degradation) for degradation in degradations]


def write_duration(seconds: float) -> Duration:
    """Return a length of time as the wire has it."""
    whole, microseconds = divmod(round(seconds * _MILLION), _MILLION)
    return Duration(seconds=whole, nanos=microseconds * 1000)
