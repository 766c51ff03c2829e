"""Speaks to the endpoints of models: one dialect a file, and the only room that speaks HTTP."""

from moa_server.providers.presets import PRESETS, PROVIDERS, options_of, unsent_settings
from moa_server.providers.transport import Transport

__all__ = ["PRESETS", "PROVIDERS", "Transport", "options_of", "unsent_settings"]
