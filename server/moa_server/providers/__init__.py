"""Speaks to the endpoints of models: one dialect a file, and the only room that speaks HTTP."""

from moa_server.providers.presets import PRESETS, PROVIDERS, Preset, Provider, options_of
from moa_server.providers.settings_reader import read_settings
from moa_server.providers.transport import Transport

__all__ = ["PRESETS", "PROVIDERS", "Preset", "Provider", "Transport", "options_of", "read_settings"]
