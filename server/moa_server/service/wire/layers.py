"""Writes layers for the wire: what agents gave in them, and what that used."""

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from moa.v1 import run_pb2 as pb
from moa.v1.deliberation_pb2 import Voice as WrittenVoice
from moa.v1.error_pb2 import ERROR_REASON_UNSPECIFIED, ErrorReason
from moa_server.domain.errors import DeadlineExceeded, NotNeeded, StragglerCut
from moa_server.domain.model import AttemptKind, FinishReason
from moa_server.domain.proposal import (
    AgentFailure,
    AgentSummary,
    Attempt,
    LayerEnd,
    LayerResult,
    LayerSummary,
    Proposal,
    Voice,
)
from moa_server.domain.usage import Certainty, Usage
from moa_server.service.wire.plans import write_duration

# Made of the members themselves: one that the contract does not have fails here, when the server starts.
FINISHES: Final = {reason: pb.FinishReason.Value(f"FINISH_REASON_{reason.name}") for reason in FinishReason}
_KINDS: Final = {kind: pb.AttemptKind.Value(f"ATTEMPT_KIND_{kind.name}") for kind in AttemptKind}
_CERTAINTIES: Final = {certainty: pb.Certainty.Value(f"CERTAINTY_{certainty.name}") for certainty in Certainty}
_LAYER_ENDS: Final = {end: pb.LayerEnd.Value(f"LAYER_END_{end.name}") for end in LayerEnd}
_ENDS: Final = {
    "": pb.ATTEMPT_END_ANSWERED,
    StragglerCut.reason(): pb.ATTEMPT_END_QUORUM,
    NotNeeded.reason(): pb.ATTEMPT_END_DECIDED,
    DeadlineExceeded.reason(): pb.ATTEMPT_END_DEADLINE,
}
"""How a turn or an attempt ended, by the reason of its error; any other has failed."""
_REASONS: Final = {name.removeprefix("ERROR_REASON_"): ErrorReason.Value(name) for name in ErrorReason.keys()}  # noqa: SIM118 - no mapping


def write_reason(reason: str) -> ErrorReason.ValueType:
    """Return an error's reason; unspecified where there is none, or only a newer server knows it."""
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


def write_voice(voice: Voice) -> WrittenVoice:
    """Return an agent at its place."""
    return WrittenVoice(agent=voice.agent, position=voice.position)


def write_proposal(proposal: Proposal) -> pb.Proposal:
    """Return a proposal."""
    return pb.Proposal(
        agent=proposal.agent,
        position=proposal.position,
        model=proposal.model,
        served_model=proposal.served_model,
        text=proposal.text,
        finish_reason=FINISHES[proposal.finish_reason],
        attempts=write_attempts(proposal.attempts),
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
        attempts=write_attempts(failure.attempts),
        usage=write_usage(failure.usage),
        end=write_end(failure.reason),
        permanent=failure.permanent,
    )


def write_attempts(attempts: Iterable[Attempt]) -> list[pb.Attempt]:
    """Return the physical calls of one agent, in order."""
    return [
        pb.Attempt(
            model=attempt.model,
            served_model=attempt.served_model,
            kind=_KINDS[attempt.kind],
            start_time=write_time(attempt.started),
            end_time=write_time(attempt.ended),
            first_token_time=write_time(attempt.first_token),
            failure=write_reason(attempt.failure),
            usage=write_usage(attempt.usage),
            end=write_end(attempt.failure),
            upstream_code=attempt.upstream_code,
        )
        for attempt in attempts
    ]


def write_end(failure: str) -> pb.AttemptEnd.ValueType:
    """Return how a turn or an attempt ended, by the reason of its error."""
    return _ENDS.get(failure, pb.ATTEMPT_END_FAILED)


def write_layer(layer: LayerResult) -> pb.LayerResult:
    """Return a closed layer."""
    return pb.LayerResult(
        summary=write_summary(layer.summary()),
        proposals=[write_proposal(proposal) for proposal in layer.proposals],
        failures=[write_failure(failure) for failure in layer.failures],
    )


def write_summary(layer: LayerSummary) -> pb.LayerSummary:
    """Return a closed layer without its texts."""
    return pb.LayerSummary(
        index=layer.index,
        start_time=write_time(layer.started),
        end_time=write_time(layer.ended),
        end=_LAYER_ENDS[layer.end],
        usage=write_usage(layer.usage),
        answers=layer.answers,
        quorum=layer.quorum,
        agents=[_agent_summary(agent) for agent in layer.agents],
    )


def _agent_summary(agent: AgentSummary) -> pb.AgentSummary:
    return pb.AgentSummary(
        voice=write_voice(agent.voice),
        end=write_end(agent.failure),
        failure=write_reason(agent.failure),
        asked=agent.asked,
        served=agent.served if agent.served != agent.asked else "",
        attempts=agent.attempts,
        time=write_duration(agent.time_s),
        usage=write_usage(agent.usage),
    )


def write_moment(moment: datetime, into: Timestamp) -> Timestamp:
    """Write a moment into its place, and return that."""
    into.seconds, into.nanos = int(moment.timestamp()), moment.microsecond * 1000
    return into


def write_time(moment: datetime | None) -> Timestamp | None:
    """Return a moment, where there is one."""
    return None if moment is None else write_moment(moment, Timestamp())
