"""Wraps providers: what each wrapper adds is one thing, and each is a model again."""

from moa_server.models.recorded_texts import RecordedTexts
from moa_server.models.stack import breaker_state, build_models

__all__ = ["RecordedTexts", "breaker_state", "build_models"]
