"""In which order proposals are shown as references."""

import hashlib

from moa_server.domain.mixture import ReferenceOrder
from moa_server.domain.plan import Plan
from moa_server.domain.proposal import LayerResult, Proposal


def ordered(plan: Plan, result: LayerResult) -> tuple[Proposal, ...]:
    """Return a layer's proposals as the plan's rules want them shown."""
    match plan.rules.reference_order:
        case ReferenceOrder.CONFIGURED:
            return result.proposals
        case ReferenceOrder.SHUFFLED:
            return shuffled(result.proposals, plan.seed, result.index)
        case ReferenceOrder.ARRIVAL:
            return _arrived(result)


def shuffled(proposals: tuple[Proposal, ...], seed: int, layer: int) -> tuple[Proposal, ...]:
    """Return proposals in an order that the seed and the layer alone decide, on any version of Python."""
    return tuple(sorted(proposals, key=lambda proposal: draw(seed, layer, proposal.position)))


def draw(seed: int, *place: int) -> bytes:
    """Return what the seed gives a place."""
    return hashlib.sha256(":".join(map(str, (seed, *place))).encode()).digest()


def _arrived(result: LayerResult) -> tuple[Proposal, ...]:
    ranks = {position: rank for rank, position in enumerate(result.arrival)}
    return tuple(sorted(result.proposals, key=lambda proposal: ranks.get(proposal.position, len(ranks))))
