"""Writes a prompt as a Messages request."""

import base64
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from moa_server.domain.conversation import Message, Part, Role
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.sampling import Sampling
from moa_server.providers.anthropic_options import AnthropicOptions

_CACHED: Final = {"cache_control": {"type": "ephemeral"}}


def anthropic_body(spec: ModelSpec, options: AnthropicOptions, prompt: Prompt) -> bytes:
    """Return the request's JSON. Settings for which the dialect has no word are left out."""
    turns = [_turn(message) for message in prompt.messages if message.role is not Role.SYSTEM]
    body: dict[str, Any] = {
        "model": spec.upstream_model,
        "max_tokens": prompt.sampling.max_tokens or spec.max_output,
        "messages": turns,
        **_sampling(prompt.sampling, options),
    }
    if system := [_text(message.text) for message in prompt.messages if message.role is Role.SYSTEM and message.text]:
        body["system"] = system
    if options.prompt_cache:
        _mark_cached(system, turns)
    if prompt.response_schema is not None and options.schema:
        schema = msgspec.Raw(prompt.response_schema.encode())
        body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}
    return msgspec.json.encode({**body, **options.body, "stream": True})


def _turn(message: Message) -> dict[str, Any]:
    if not message.images:
        return {"role": message.role.value, "content": [_text(message.text)]}
    return {"role": message.role.value, "content": [_block(part) for part in message.parts if part.image or part.text]}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _block(part: Part) -> dict[str, Any]:
    if part.image is None:
        return _text(part.text)
    data = base64.b64encode(part.image.data).decode()
    return {"type": "image", "source": {"type": "base64", "media_type": part.image.media_type, "data": data}}


def _mark_cached(system: list[dict[str, Any]], turns: list[dict[str, Any]]) -> None:
    """Mark the ends of what does not change from call to call: the system texts, and all turns but the last."""
    if system:
        system[-1].update(_CACHED)
    if len(turns) > 1:
        turns[-2]["content"][-1].update(_CACHED)


def _sampling(sampling: Sampling, options: AnthropicOptions) -> Mapping[str, Any]:
    wanted = {
        "temperature": sampling.temperature if options.sends_sampling else None,
        "top_p": sampling.top_p if options.sends_sampling else None,
        "stop_sequences": sampling.stop or None,
    }
    return {name: value for name, value in wanted.items() if value is not None}
