"""Typed reasons why an answer is less than what was planned."""

from dataclasses import dataclass
from enum import StrEnum


class DegradationReason(StrEnum):
    """The kind of a degradation."""

    AGENT_FAILED = "agent_failed"
    STRAGGLER_CUT = "straggler_cut"
    QUORUM_MISSED = "quorum_missed"
    AGGREGATOR_FAILED = "aggregator_failed"
    FALLBACK_SERVED = "fallback_served"
    LAYERS_DROPPED = "layers_dropped"
    AGENTS_DROPPED = "agents_dropped"
    REFERENCES_TRIMMED = "references_trimmed"
    ANSWER_RESTARTED = "answer_restarted"
    ANSWER_TRUNCATED = "answer_truncated"
    STRATEGY_FELL_BACK = "strategy_fell_back"
    AGENT_REFUSED = "agent_refused"
    MAJORITY_MISSED = "majority_missed"
    ANSWER_FILTERED = "answer_filtered"
    PARAMETER_DROPPED = "parameter_dropped"
    JUDGE_FAILED = "judge_failed"
    SIGNAL_MISSING = "signal_missing"
    PRICE_UNKNOWN = "price_unknown"
    OUTLIER_LEFT_OUT = "outlier_left_out"


@dataclass(frozen=True, slots=True)
class Degradation:
    """One thing that is less than planned."""

    reason: DegradationReason
    detail: str
    """One sentence for people."""
    layer: int | None = None
    agent: str = ""
