"""What follows when the answering agent fails: another start, else the best proposal, else an error."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import AnswerFailed, MoaError
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Layer
from moa_server.engine.runs.layer import OpenLayer
from moa_server.engine.runs.quorum import causes, limit_of
from moa_server.engine.runs.run_context import RunContext


@dataclass(frozen=True, slots=True)
class StandIn:
    """The proposal that stands in for an answer, and for whom."""

    best: Proposal
    failed: str

    @classmethod
    def of(cls, layer: Layer) -> "StandIn":
        """Choose the weightiest proposal that may stand in, the first of equals."""
        return cls(max(_stand_ins(layer), key=lambda proposal: proposal.weight), layer.calls[0].agent.name)


async def answer_layer(
    setting: RunContext, layer: Layer, index: int, deadline: float, given: Mapping[int, Proposal]
) -> tuple[LayerResult, MoaError | None]:
    """Carry the answering layer out, unless its agent is among those who have ``given`` their proposals already.

    Its result has no proposal when the rule itself goes on, or when the best one shown is to stand in, and there is an
    error when none may.
    """
    result = await OpenLayer(setting, layer, index, deadline, given).result()
    if not result.proposals and setting.answer.text:
        if not setting.plan.rules.restart_answer:
            return result, _failed(layer, result)
        result = await _begin_again(setting, layer, index, deadline, result)
    if result.proposals or layer.hands_back(result) or _may_stand_in(setting, layer):
        return result, None
    return result, _failed(layer, result)


async def _begin_again(
    setting: RunContext, layer: Layer, index: int, deadline: float, broken: LayerResult
) -> LayerResult:
    """Void what was shown of the answer, and have it written once more."""
    detail = f"{broken.failures[0].agent} broke off and began again"
    degradation = Degradation(DegradationReason.ANSWER_RESTARTED, detail, index, broken.failures[0].agent)
    setting.void_answer(degradation)
    result = await OpenLayer(setting, layer, index, deadline).result()
    if not result.proposals and setting.answer.text:
        setting.void_answer(degradation)
    return replace(
        result,
        failures=(*broken.failures, *result.failures),
        degradations=(degradation, *result.degradations),
    )


def _may_stand_in(setting: RunContext, layer: Layer) -> bool:
    return setting.plan.rules.best_proposal_on_failure and bool(_stand_ins(layer))


def _stand_ins(layer: Layer) -> tuple[Proposal, ...]:
    return layer.calls[0].shown if layer.stand_ins is None else layer.stand_ins


def _failed(layer: Layer, result: LayerResult) -> MoaError:
    failure = result.failures[-1]
    return limit_of((failure,)) or AnswerFailed(
        f"{layer.calls[0].agent.name} could not finish the answer: {failure.detail}",
        metadata={"agent": failure.agent, "cause": failure.reason, **causes(result.failures)},
    )
