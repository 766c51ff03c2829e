"""The providers: what is known of common endpoints, where they are, and how each differs from the dialect it speaks."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final

import httpx

from moa_server.domain.agent import Sampling
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import Model
from moa_server.providers.dialects import DIALECTS
from moa_server.providers.effort import ALL_EFFORTS, USUAL_EFFORTS
from moa_server.providers.http_model import HttpModel


@dataclass(frozen=True, slots=True)
class Preset:
    """A name that a configuration may give as a model's provider."""

    dialect: str
    """A name of `DIALECTS`."""
    endpoint: str = ""
    """Where it is when the configuration does not say; empty means that it has to."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """The dialect's settings that differ; the configuration's own come before them."""
    at_home: Mapping[str, Any] = field(default_factory=dict)
    """Those that differ at its own endpoint only: the plain dialect's name serves for any other endpoint as well."""
    reasons: bool = False
    """Whether the current models at its own endpoint reason unless told not to."""


_NO_TAGS: Final[Mapping[str, Any]] = {"think_tags": ()}
_LOCAL: Final[Mapping[str, Any]] = {"strict_schema": False}

_KNOWN: Final[Mapping[str, Preset]] = {
    "openai": Preset(
        "openai",
        "https://api.openai.com/v1",
        at_home={**_NO_TAGS, "max_tokens_field": "max_completion_tokens", "expects_done": True, "strict_limits": True},
        reasons=True,
    ),
    "openai-responses": Preset("responses", "https://api.openai.com/v1", reasons=True),
    # The endpoint names the resource and the deployment: https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT
    "azure": Preset(
        "openai",
        "",
        {
            **_NO_TAGS,
            "key_header": "api-key",
            "query": {"api-version": "2024-10-21"},
            "max_tokens_field": "max_completion_tokens",
        },
        reasons=True,
    ),
    "gemini": Preset(
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        {
            "think_tags": (("<thought>", "</thought>"),),
            "efforts": ("minimal", "low", "medium", "high"),
            "reasoning_in_completion": False,
            "sends_seed": False,
            "sends_penalties": False,
            "logprobs": False,
            "strict_schema": False,
        },
        reasons=True,
    ),
    # It names the seed differently, and refuses fields that it does not know.
    "mistral": Preset(
        "openai",
        "https://api.mistral.ai/v1",
        {**_NO_TAGS, "sends_seed": False, "usage_in_stream": False, "logprobs": False, "efforts": ("none", "high")},
    ),
    "groq": Preset(
        "openai",
        "https://api.groq.com/openai/v1",
        {"max_tokens_field": "max_completion_tokens", "logprobs": False, "sends_penalties": False},
    ),
    "together": Preset("openai", "https://api.together.xyz/v1", {"strict_schema": False, "logprobs": False}),
    "openrouter": Preset(
        "openai", "https://openrouter.ai/api/v1", {**_NO_TAGS, "logprobs": False, "efforts": ALL_EFFORTS}
    ),
    "deepseek": Preset(
        "openai",
        "https://api.deepseek.com/v1",
        {"schema": "json_object", "sends_seed": False, "efforts": (*USUAL_EFFORTS, "max")},
        reasons=True,
    ),
    "vllm": Preset("openai", "http://localhost:8000/v1", _LOCAL),
    "sglang": Preset("openai", "http://localhost:30000/v1", _LOCAL),
    "llama.cpp": Preset("openai", "http://localhost:8080/v1", _LOCAL),
    "ollama": Preset("openai", "http://localhost:11434/v1", {**_LOCAL, "logprobs": False}),
    "anthropic": Preset("anthropic", "https://api.anthropic.com/v1", reasons=True),
}

PRESETS: Final[Mapping[str, Preset]] = {**{name: Preset(name) for name in DIALECTS}, **_KNOWN}
"""By the names that a configuration may give: every dialect's own is one, whether or not an endpoint is known by it."""

Provider = Callable[[ModelSpec, httpx.AsyncBaseTransport], Model]
"""Makes a model of what the operator says of it."""


def options_of(provider: str) -> type[Any]:
    """Return the frozen dataclass of what may be said under ``dialect`` of a model with this provider."""
    return DIALECTS[PRESETS[provider].dialect].options


def unsent_settings(spec: ModelSpec, sampling: Sampling) -> Mapping[str, str]:
    """Return which of an agent's settings a model is not sent, as far as that is known beforehand, and why."""
    preset = PRESETS[spec.provider]
    dialect = DIALECTS[preset.dialect]
    return dialect.takes(dialect.options(**_completed(preset, spec).dialect), sampling).unsent


def _completed(preset: Preset, spec: ModelSpec) -> ModelSpec:
    """Return what the operator says of a model with what the preset knows beside it."""
    at_home = preset.at_home if spec.endpoint in {"", preset.endpoint} else {}
    settings = {**preset.settings, **at_home, **spec.dialect}
    return replace(spec, endpoint=spec.endpoint or preset.endpoint, dialect=settings)


def _make(preset: Preset, spec: ModelSpec, http: httpx.AsyncBaseTransport) -> Model:
    return HttpModel(_completed(preset, spec), DIALECTS[preset.dialect], http)


PROVIDERS: Final[Mapping[str, Provider]] = {name: partial(_make, preset) for name, preset in PRESETS.items()}
"""By the names of `PRESETS`."""
