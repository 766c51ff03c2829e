"""Writes plans and mixtures for the wire."""

from collections.abc import Iterable
from typing import Final

from moa.v1 import plan_pb2 as pb
from moa_server.domain.agent import Agent
from moa_server.domain.budget import Budget
from moa_server.domain.degradation import Degradation
from moa_server.domain.plan import Plan, PlannedLayer, WorstCase
from moa_server.domain.sampling import Sampling
from moa_server.engine import MixtureView, ModelView
from moa_server.service.wire.times import write_duration

_BREAKERS: Final = {
    "closed": pb.BREAKER_STATE_CLOSED,
    "open": pb.BREAKER_STATE_OPEN,
    "half_open": pb.BREAKER_STATE_HALF_OPEN,
}


def write_plan(plan: Plan) -> pb.Plan:
    """Return a plan as the wire has it, without what a caller does not need to know."""
    return pb.Plan(
        mixture=plan.mixture,
        strategy=plan.strategy,
        layers=[write_planned_layer(layer) for layer in plan.layers],
        worst_case=_worst_case(plan.worst_case),
        budget=_budget(plan.budget),
        degradations=write_degradations(plan.degradations),
    )


def write_planned_layer(layer: PlannedLayer) -> pb.PlannedLayer:
    """Return a layer that is to be carried out."""
    return pb.PlannedLayer(
        index=layer.index,
        agents=[_agent(agent) for agent in layer.agents],
        quorum=layer.quorum,
        grace=write_duration(layer.grace_s),
        answers=layer.answers,
        most=len(layer.agents) if layer.most is None else layer.most,
        folds=layer.folds,
    )


def write_mixture(view: MixtureView) -> pb.Mixture:
    """Return a mixture as it is offered."""
    return pb.Mixture(
        name=view.name,
        description=view.description,
        strategy=view.strategy,
        layers=[write_planned_layer(layer) for layer in view.layers],
        worst_case=_worst_case(view.worst_case),
        models=[_model(model) for model in view.models],
        is_default=view.is_default,
    )


def write_degradation(degradation: Degradation) -> pb.Degradation:
    """Return one thing that is less than planned."""
    return pb.Degradation(
        reason=pb.DegradationReason.Value(f"DEGRADATION_REASON_{degradation.reason.name}"),
        layer=degradation.layer,
        agent=degradation.agent,
        detail=degradation.detail,
    )


def write_degradations(degradations: Iterable[Degradation]) -> list[pb.Degradation]:
    """Return everything that is less than planned."""
    return [write_degradation(degradation) for degradation in degradations]


def _agent(agent: Agent) -> pb.PlannedAgent:
    return pb.PlannedAgent(name=agent.name, model=agent.model, sampling=_sampling(agent.sampling), weight=agent.weight)


def _sampling(sampling: Sampling) -> pb.Sampling:
    return pb.Sampling(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        max_tokens=sampling.max_tokens,
        seed=sampling.seed,
        stop=sampling.stop,
        presence_penalty=sampling.presence_penalty,
        frequency_penalty=sampling.frequency_penalty,
    )


def _worst_case(worst: WorstCase) -> pb.WorstCase:
    return pb.WorstCase(calls=worst.calls, tokens=worst.tokens, cost_nanousd=worst.cost_nanousd)


def _budget(budget: Budget) -> pb.Budget:
    return pb.Budget(
        calls=budget.calls,
        tokens=budget.tokens,
        cost_nanousd=budget.cost_nanousd,
        time=None if budget.time_s is None else write_duration(budget.time_s),
    )


def _model(model: ModelView) -> pb.ModelStatus:
    breaker = _BREAKERS.get(model.breaker or "", pb.BREAKER_STATE_UNSPECIFIED)
    return pb.ModelStatus(name=model.name, breaker=breaker)
