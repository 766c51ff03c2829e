"""Writes what agents gave for the wire: proposals, failures, layers, the answer, and what they used."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from moa.v1 import run_pb2 as pb
from moa.v1.error_pb2 import ERROR_REASON_UNSPECIFIED, ErrorReason
from moa_server.domain.model import AttemptKind, FinishReason
from moa_server.domain.proposal import AgentFailure, Answer, Attempt, LayerResult, Proposal
from moa_server.domain.usage import Certainty, Usage
from moa_server.service.wire.plans import write_degradations
from moa_server.service.wire.times import write_moment

_FINISHES: Final = {reason: pb.FinishReason.Value(f"FINISH_REASON_{reason.name}") for reason in FinishReason}
_KINDS: Final = {kind: pb.AttemptKind.Value(f"ATTEMPT_KIND_{kind.name}") for kind in AttemptKind}
_CERTAINTIES: Final = {
    Certainty.KNOWN: pb.CERTAINTY_KNOWN,
    Certainty.ESTIMATED: pb.CERTAINTY_ESTIMATED,
    Certainty.UNKNOWN: pb.CERTAINTY_UNKNOWN,
}
_REASONS: Final = {name.removeprefix("ERROR_REASON_"): ErrorReason.Value(name) for name in ErrorReason.keys()}  # noqa: SIM118 - no mapping


def write_reason(reason: str) -> ErrorReason.ValueType:
    """Return an error's reason; unspecified where there is none."""
    return _REASONS.get(reason, ERROR_REASON_UNSPECIFIED)


def write_usage(usage: Usage) -> pb.Usage:
    """Return what was used."""
    return pb.Usage(
        calls=usage.calls,
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cached_input_tokens=usage.cached_input_tokens,
        reasoning_tokens=usage.reasoning_tokens,
        certainty=_CERTAINTIES[usage.certainty] if usage.calls else pb.CERTAINTY_UNSPECIFIED,
        cost_nanousd=usage.cost_nanousd,
    )


def write_proposal(proposal: Proposal) -> pb.Proposal:
    """Return a proposal."""
    return pb.Proposal(
        agent=proposal.agent,
        position=proposal.position,
        model=proposal.model,
        served_model=proposal.served_model,
        text=proposal.text,
        finish_reason=_FINISHES[proposal.finish_reason],
        attempts=_attempts(proposal.attempts),
        usage=write_usage(proposal.usage),
    )


def write_failure(failure: AgentFailure) -> pb.AgentFailure:
    """Return an agent's failure."""
    return pb.AgentFailure(
        agent=failure.agent,
        position=failure.position,
        model=failure.model,
        reason=write_reason(failure.reason),
        detail=failure.detail,
        attempts=_attempts(failure.attempts),
        usage=write_usage(failure.usage),
    )


def write_layer(layer: LayerResult) -> pb.LayerResult:
    """Return a closed layer."""
    return pb.LayerResult(
        index=layer.index,
        proposals=[write_proposal(proposal) for proposal in layer.proposals],
        failures=[write_failure(failure) for failure in layer.failures],
        start_time=_moment(layer.started),
        end_time=_moment(layer.ended),
        usage=write_usage(layer.usage),
        answers=layer.answers,
    )


def write_answer(answer: Answer) -> pb.Answer:
    """Return the answer."""
    return pb.Answer(
        text=answer.text,
        agent=answer.agent,
        model=answer.model,
        served_model=answer.served_model,
        finish_reason=_FINISHES[answer.finish_reason],
        degraded=bool(answer.degradations),
        degradations=write_degradations(answer.degradations),
        votes=[pb.Vote(choice=vote.choice, weight=vote.weight, agents=vote.agents) for vote in answer.votes],
    )


def _attempts(attempts: Iterable[Attempt]) -> list[pb.Attempt]:
    return [_attempt(attempt) for attempt in attempts]


def _attempt(attempt: Attempt) -> pb.Attempt:
    return pb.Attempt(
        model=attempt.model,
        served_model=attempt.served_model,
        kind=_KINDS[attempt.kind],
        start_time=write_moment(attempt.started),
        end_time=write_moment(attempt.ended),
        first_token_time=_moment(attempt.first_token),
        failure=write_reason(attempt.failure),
        usage=write_usage(attempt.usage),
    )


def _moment(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else write_moment(moment)
