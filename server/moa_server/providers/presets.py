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
_AZURE: Final[Mapping[str, Any]] = {
    **_NO_TAGS,
    "key_header": "api-key",
    "max_tokens_field": "max_completion_tokens",
}
_GEMINI: Final[Mapping[str, Any]] = {
    "think_tags": (("<thought>", "</thought>"),),
    "efforts": ("minimal", "low", "medium", "high"),
    "reasoning_in_completion": False,
    "logprobs": False,
    "strict_schema": False,
}

# What each rests on stands above it: whose document, or whose types of requests, and when it was read.
_KNOWN: Final[Mapping[str, Preset]] = {
    # openai 3.57 (types of the SDK), 25 November 2026
    "openai": Preset(
        "openai",
        "https://api.openai.com/v1",
        at_home={**_NO_TAGS, "max_tokens_field": "max_completion_tokens", "expects_done": True, "strict_limits": True},
        reasons=True,
    ),
    "openai-responses": Preset("responses", "https://api.openai.com/v1", reasons=True),
    # Microsoft Learn, "Azure OpenAI in Microsoft Foundry Models v1 API", 25 November 2026: no version in the address,
    # and the deployment is the model. The endpoint names the resource: https://NAME.openai.azure.com/openai/v1
    "azure": Preset("openai", "", _AZURE, reasons=True),
    # The form before it, as "Azure OpenAI REST API reference" has it: the endpoint names the resource and the
    # deployment, https://NAME.openai.azure.com/openai/deployments/DEPLOYMENT, and the version is dated.
    "azure-dated": Preset("openai", "", {**_AZURE, "query": {"api-version": "2024-10-21"}}, reasons=True),
    # Google AI for Developers, "OpenAI compatibility"
    "gemini": Preset(
        "openai",
        "https://generativelanguage.googleapis.com/v1beta/openai",
        {**_GEMINI, "sends_seed": False, "sends_penalties": False},
        reasons=True,
    ),
    # Google Cloud, "OpenAI libraries with Gemini Enterprise Agent Platform" (Vertex AI, as it was called), 25 November
    # 2026. Its token lasts an hour at most. The endpoint names the project and the region, or "global":
    # https://aiplatform.googleapis.com/v1/projects/PROJECT/locations/global/endpoints/openapi
    "vertex": Preset("openai", "", _GEMINI, reasons=True),
    # AWS, "Invoke a model with the OpenAI Chat Completions API" (Amazon Bedrock User Guide), 25 November 2026; by an
    # API key of Bedrock. The endpoint names the region: https://bedrock-runtime.REGION.amazonaws.com/openai/v1
    "bedrock": Preset(
        "openai",
        "",
        {
            "think_tags": (("<reasoning>", "</reasoning>"), ("<think>", "</think>")),
            "max_tokens_field": "max_completion_tokens",
            "strict_schema": False,
        },
    ),
    # mistralai 3.7 (types of the SDK), 25 November 2026. It refuses fields that it does not know.
    "mistral": Preset(
        "openai",
        "https://api.mistral.ai/v1",
        {**_NO_TAGS, "seed_field": "random_seed", "usage_in_stream": False, "efforts": ("none", "high")},
    ),
    # groq 1.7 (types of the SDK) and GroqDocs, "OpenAI Compatibility", 25 November 2026: stream_options is not among
    # the types of requests, and what it gives is among those of answers; logprobs are refused, penalties not supported.
    "groq": Preset(
        "openai",
        "https://api.groq.com/openai/v1",
        {"max_tokens_field": "max_completion_tokens", "logprobs": False, "sends_penalties": False},
    ),
    # together 3.1 (types of the SDK) and Together AI, "OpenAI compatibility", 25 November 2026: log-probabilities are
    # asked for by number and come as bare floats.
    "together": Preset("openai", "https://api.together.ai/v1", {"strict_schema": False, "counts_logprobs": True}),
    "openrouter": Preset(
        "openai", "https://openrouter.ai/api/v1", {**_NO_TAGS, "logprobs": False, "efforts": ALL_EFFORTS}
    ),
    "deepseek": Preset(
        "openai",
        "https://api.deepseek.com/v1",
        {"schema": "json_object", "sends_seed": False, "efforts": (*USUAL_EFFORTS, "max")},
        reasons=True,
    ),
    # xAI Docs, "Best Practices Guide" and "Chat Completions API (Legacy)", 25 November 2026: its reasoning models
    # refuse penalties and stop sequences; what is new there is for the Responses dialect only.
    "xai": Preset(
        "openai", "https://api.x.ai/v1", {**_NO_TAGS, "sends_penalties": False, "sends_stop": False}, reasons=True
    ),
    # cerebras-cloud-sdk 1.91 (types of the SDK) and Cerebras Inference, "OpenAI Compatibility", 25 November 2026
    "cerebras": Preset("openai", "https://api.cerebras.ai/v1", {"max_tokens_field": "max_completion_tokens"}),
    # fireworks-ai 1.2 (types of the SDK) and Fireworks AI, "OpenAI compatibility", 25 November 2026
    "fireworks": Preset("openai", "https://api.fireworks.ai/inference/v1", _LOCAL),
    # NVIDIA, "NIM for LLMs: API Reference" (2.1), 25 November 2026: vLLM or SGLang behind it, hosted and in containers
    "nim": Preset("openai", "https://integrate.api.nvidia.com/v1", _LOCAL),
    "vllm": Preset("openai", "http://localhost:8000/v1", _LOCAL),
    "sglang": Preset("openai", "http://localhost:30000/v1", _LOCAL),
    "llama.cpp": Preset("openai", "http://localhost:8080/v1", _LOCAL),
    # Ollama, "OpenAI compatibility" (docs/api), 25 November 2026
    "ollama": Preset("openai", "http://localhost:11434/v1", _LOCAL),
    # LM Studio Docs, "OpenAI Compatible Endpoints" and "Structured Output", 25 November 2026: log-probabilities are
    # answered with null.
    "lm-studio": Preset("openai", "http://localhost:1234/v1", {**_LOCAL, "logprobs": False}),
    # LiteLLM, "LiteLLM Proxy Server", 25 November 2026; what a request may hold hangs on the model behind it.
    "litellm": Preset("openai", "http://localhost:4000/v1"),
    # anthropic 2.14 (types of the SDK), 25 November 2026. What its models of all ages refuse; what the newer ones do
    # beside it is found out.
    "anthropic": Preset(
        "anthropic",
        "https://api.anthropic.com/v1",
        at_home={"both_samplings": False, "most_temperature": 1.0, "blank_stops": False},
        reasons=True,
    ),
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
    dialect = DIALECTS[PRESETS[spec.provider].dialect]
    return dialect.takes(_chosen(spec), sampling.over(spec.own_sampling)).unsent


def gives_logprobs(spec: ModelSpec) -> bool:
    """Tell whether a model gives the log-probabilities of its words, as far as its dialect and its preset know."""
    return bool(getattr(_chosen(spec), "logprobs", False))  # a dialect that has no such setting has no word for them


def _chosen(spec: ModelSpec) -> Any:  # noqa: ANN401 - what each dialect has of its own
    """Return the options by which a model is asked."""
    return options_of(spec.provider)(**_completed(PRESETS[spec.provider], spec).dialect)


def _completed(preset: Preset, spec: ModelSpec) -> ModelSpec:
    """Return what the operator says of a model with what the preset knows beside it."""
    at_home = preset.at_home if spec.endpoint in {"", preset.endpoint} else {}
    settings = {**preset.settings, **at_home, **spec.dialect}
    return replace(spec, endpoint=spec.endpoint or preset.endpoint, dialect=settings)


def _make(preset: Preset, spec: ModelSpec, http: httpx.AsyncBaseTransport) -> Model:
    return HttpModel(_completed(preset, spec), DIALECTS[preset.dialect], http)


PROVIDERS: Final[Mapping[str, Provider]] = {name: partial(_make, preset) for name, preset in PRESETS.items()}
"""By the names of `PRESETS`."""
