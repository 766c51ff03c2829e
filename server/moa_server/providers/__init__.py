"""Speaks to the endpoints of models: one dialect a file, and the only room that speaks HTTP."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, Final

import httpx

from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.providers.anthropic import AnthropicModel
from moa_server.providers.anthropic_options import AnthropicOptions
from moa_server.providers.dialect import read_options
from moa_server.providers.openai import OpenAIModel
from moa_server.providers.openai_options import OpenAIOptions
from moa_server.providers.presets import PRESETS, Preset
from moa_server.providers.transport import Transport

Provider = Callable[[ModelSpec, httpx.AsyncBaseTransport], Model]
"""Makes a model of what the operator says of it."""

_DIALECTS: Final[Mapping[str, Provider]] = {"anthropic": AnthropicModel, "openai": OpenAIModel}
_OPTIONS: Final[Mapping[str, type]] = {"anthropic": AnthropicOptions, "openai": OpenAIOptions}


def read_settings(provider: str, settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a model's settings under ``dialect``, checked together with those that its provider's preset adds.

    Raises:
        ValueError: a setting is unknown or is not of its kind.
    """
    preset = PRESETS[provider]
    read_options(_OPTIONS[preset.dialect], {**preset.settings, **settings})
    return settings


def options_of(provider: str) -> type[Any]:
    """Return the frozen dataclass of what may be said under ``dialect`` of a model with this provider."""
    return _OPTIONS[PRESETS[provider].dialect]


def _make(preset: Preset, spec: ModelSpec, http: httpx.AsyncBaseTransport) -> Model:
    at_home = preset.at_home if spec.endpoint in {"", preset.endpoint} else {}
    settings = {**preset.settings, **at_home, **spec.dialect}
    return _DIALECTS[preset.dialect](replace(spec, endpoint=spec.endpoint or preset.endpoint, dialect=settings), http)


PROVIDERS: Final[Mapping[str, Provider]] = {name: partial(_make, preset) for name, preset in PRESETS.items()}
"""By the names that a configuration may give."""

__all__ = ["PRESETS", "PROVIDERS", "Preset", "Provider", "Transport", "options_of", "read_settings"]
