"""Says what a layer's outcome means for its run: go on, go on degraded, or end."""

from collections.abc import Sequence

from moa_server.domain import errors
from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import MoaError, ModelError, ModelsUnusable, NoProposals, QuorumMissed
from moa_server.domain.mixture import Rules
from moa_server.domain.proposal import AgentFailure, LayerResult, Proposal
from moa_server.domain.strategy import Layer

_OF_THE_RUN: dict[str, type[MoaError]] = {
    error.reason(): error for error in (errors.BudgetExceeded, errors.DeadlineExceeded, errors.JournalUnavailable)
}
"""Failures that are not a model's: when every agent has the same one, it is the run's."""

_DEGRADATIONS = {
    errors.StragglerCut.reason(): DegradationReason.STRAGGLER_CUT,
    errors.ModelRefused.reason(): DegradationReason.AGENT_REFUSED,
}


def quorum_of(layer: Layer, planned: int | None) -> int | None:
    """Return how many of those that count close a layer; None means that all its agents are waited for."""
    wanted = layer.quorum if layer.quorum is not None else planned
    if wanted is None or layer.answers:
        return None
    return min(wanted, sum(call.in_quorum for call in layer.calls))


def counted(layer: Layer, proposals: Sequence[Proposal]) -> int:
    """Return how many proposals count towards a layer's quorum."""
    return sum(layer.calls[proposal.position].in_quorum for proposal in proposals)


def check_layer(layer: Layer, result: LayerResult, rules: Rules) -> list[Degradation]:
    """Return what is less than planned about a closed layer.

    Raises:
        NoProposals: nobody answered.
        QuorumMissed: too few did, and the mixture does not go on with fewer.
        ModelsUnusable: either of them, and it will be the same until the operator mends what failed.
    """
    if layer.answers or layer.excused:
        return []
    wanted, given = quorum_of(layer, rules.quorum), counted(layer, result.proposals)
    is_short = wanted is not None and given < wanted and layer.enough is None
    if not result.proposals and not (layer.falls_back and not (is_short and rules.fail_below_quorum)):
        nobody = ModelsUnusable if are_unusable(result.failures) else NoProposals
        raise limit_of(result.failures) or nobody(
            f"every agent of layer {result.index} failed",
            metadata={"layer": str(result.index), **causes(result.failures)},
        )
    if not is_short:
        return []
    detail = f"{given} of the {wanted} proposals that layer {result.index} needs were given"
    if rules.fail_below_quorum:
        counts = {"quorum": str(wanted), "proposals": str(given)}
        missed = ModelsUnusable if are_unusable(result.failures) else QuorumMissed
        raise missed(detail, metadata={"layer": str(result.index), **counts, **causes(result.failures)})
    return [Degradation(DegradationReason.QUORUM_MISSED, detail, result.index)]


def limit_of(failures: tuple[AgentFailure, ...]) -> MoaError | None:
    """Return the run's own limit if that is what every one of these failures comes from."""
    reasons = {failure.reason for failure in failures}
    whole = _OF_THE_RUN.get(next(iter(reasons))) if len(reasons) == 1 else None
    return whole(failures[0].detail) if whole else None


def are_unusable(failures: Sequence[AgentFailure]) -> bool:
    """Tell whether all of these will be the same whenever they are asked, until the operator mends what failed."""
    return bool(failures) and all(failure.permanent and _is_operators(failure.reason) for failure in failures)


def _is_operators(reason: str) -> bool:
    kind = errors.BY_REASON.get(reason, MoaError)  # of a newer server, it is nothing that is known here
    return issubclass(kind, ModelError) and kind.is_operators


def causes(failures: tuple[AgentFailure, ...]) -> dict[str, str]:
    """Return each agent's reason, as metadata."""
    return {f"agent.{failure.agent}": failure.reason for failure in failures}


def degradation_of(failure: AgentFailure, layer: int) -> Degradation:
    """Return a failure as a reason why the answer is less than planned."""
    reason = _DEGRADATIONS.get(failure.reason, DegradationReason.AGENT_FAILED)
    return Degradation(reason, failure.detail, layer, failure.agent)
