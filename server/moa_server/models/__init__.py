"""Wraps providers: what each wrapper adds is one thing, and each is a model again."""

from moa_server.models.recorded_texts import RecordedTexts
from moa_server.models.stack import breaker_state, build_models
from moa_server.models.tokenizer_file import TokenizerFile

__all__ = ["RecordedTexts", "TokenizerFile", "breaker_state", "build_models"]
