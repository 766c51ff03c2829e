"""What follows when the answering agent fails: another start, else the best proposal, else an error."""

import asyncio
from dataclasses import replace

from moa_server.domain.degradation import Degradation, DegradationReason
from moa_server.domain.errors import AnswerFailed, DeadlineExceeded, MoaError, ModelsUnusable
from moa_server.domain.proposal import LayerResult, Proposal
from moa_server.domain.strategy import Layer
from moa_server.engine.runs.layer import Given, OpenLayer
from moa_server.engine.runs.quorum import are_unusable, causes, limit_of
from moa_server.engine.runs.run_context import RunContext

_SAME_MOMENT_S = 0.005
"""Timers may go off a little early."""


async def answer_layer(
    run: RunContext, layer: Layer, index: int, deadline: float, given: Given
) -> tuple[LayerResult, MoaError | None]:
    """Carry the answering layer out, unless its agent is among those who have ``given`` their proposals already.

    Its result has no proposal when the rule itself goes on, or when the best one shown is to stand in, and there is an
    error when none may.
    """
    result = await OpenLayer(run, layer, index, deadline, given).result()
    if not result.proposals and run.answer_text:
        # Callers have seen the beginning: nobody else may go on from there, and only the mixture may void it.
        if not run.plan.rules.restart_answer:
            return result, _failed(layer, result, deadline)
        result = await _begin_again(run, layer, index, deadline, result)
    may_stand_in = run.plan.rules.best_proposal_on_failure and bool(_stand_ins(layer))
    if result.proposals or layer.hands_back(result) or may_stand_in:
        return result, None
    return result, _failed(layer, result, deadline)


def best_stand_in(layer: Layer) -> Proposal:
    """Return the weightiest proposal that may stand in for the answer, the first of equals."""
    return max(_stand_ins(layer), key=lambda proposal: proposal.weight)


def _stand_ins(layer: Layer) -> tuple[Proposal, ...]:
    return layer.calls[0].shown if layer.stand_ins is None else layer.stand_ins


async def _begin_again(run: RunContext, layer: Layer, index: int, deadline: float, broken: LayerResult) -> LayerResult:
    """Void what was shown of the answer, and have it written once more."""
    agent = broken.failures[0].agent

    def void(detail: str) -> Degradation:
        why = Degradation(DegradationReason.ANSWER_RESTARTED, detail, index, agent)
        run.void_answer(why)
        return why

    degradations = [*broken.degradations, void(f"{agent} broke off and began again")]
    result = await OpenLayer(run, layer, index, deadline).result()
    degradations += result.degradations
    if not result.proposals and run.answer_text:
        degradations.append(void(f"{agent} broke off again"))
    return replace(result, failures=(*broken.failures, *result.failures), degradations=tuple(degradations))


def _failed(layer: Layer, result: LayerResult, deadline: float) -> MoaError:
    failure = result.failures[-1]
    told = {"agent": failure.agent, "cause": failure.reason, **causes(result.failures)}
    name = layer.calls[0].agent.name
    if limit := limit_of((failure,)):
        return limit
    # It had all the time that the run has left: what ended is the run's time, whoever noticed it first.
    if asyncio.get_running_loop().time() >= deadline - _SAME_MOMENT_S:
        return DeadlineExceeded(f"{name} had not finished the answer when the run's time was over", metadata=told)
    kind = ModelsUnusable if are_unusable(result.failures) else AnswerFailed
    return kind(f"{name} could not finish the answer: {failure.detail}", metadata=told)
