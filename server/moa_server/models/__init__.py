"""Wraps providers: what each wrapper adds is one thing, and each is a model again."""

from moa_server.models.building import breaker_state, build_models
from moa_server.models.circuit import BreakerState
from moa_server.models.recorded_texts import RecordedTexts
from moa_server.models.stack import wrap

__all__ = ["BreakerState", "RecordedTexts", "breaker_state", "build_models", "wrap"]
