"""Writes a prompt as a chat-completions request."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from moa_server.domain.conversation import Image, Message, Role
from moa_server.domain.model import ModelSpec, Prompt
from moa_server.domain.sampling import Sampling
from moa_server.providers.openai_options import OpenAIOptions


def openai_body(spec: ModelSpec, options: OpenAIOptions, prompt: Prompt) -> bytes:
    """Return the request's JSON."""
    body: dict[str, Any] = {
        "model": spec.upstream_model,
        "messages": [_message(message, options) for message in prompt.messages],
        options.max_tokens_field: prompt.sampling.max_tokens or spec.max_output,
        **_sampling(prompt.sampling, options),
    }
    if prompt.response_schema is not None and options.schema != "none":
        body["response_format"] = _format(prompt.response_schema, options)
    if prompt.logprobs and options.logprobs:
        body["logprobs"] = True
    body.update(options.body)
    body["stream"] = True
    if options.usage_in_stream:
        body["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(body)


def _message(message: Message, options: OpenAIOptions) -> Mapping[str, Any]:
    role = options.system_role if message.role is Role.SYSTEM else message.role.value
    return {"role": role, "content": _parts(message) if message.images else message.text}


def _parts(message: Message) -> list[Mapping[str, Any]]:
    """Return a turn with images as parts; texts that follow one another are one part."""
    parts: list[dict[str, Any]] = []
    for part in message.parts:
        if part.image is not None:
            parts.append({"type": "image_url", "image_url": {"url": _data_url(part.image)}})
        elif parts and parts[-1]["type"] == "text":
            parts[-1]["text"] += part.text
        elif part.text:
            parts.append({"type": "text", "text": part.text})
    return list(parts)


def _data_url(image: Image) -> str:
    return f"data:{image.media_type};base64,{base64.b64encode(image.data).decode()}"


def _sampling(sampling: Sampling, options: OpenAIOptions) -> Mapping[str, Any]:
    wanted = {
        "temperature": sampling.temperature if options.sends_sampling else None,
        "top_p": sampling.top_p if options.sends_sampling else None,
        "seed": sampling.seed if options.sends_seed else None,
        "presence_penalty": sampling.presence_penalty if options.sends_penalties else None,
        "frequency_penalty": sampling.frequency_penalty if options.sends_penalties else None,
        "stop": (sampling.stop or None) if options.sends_stop else None,
    }
    return {name: value for name, value in wanted.items() if value is not None}


def _format(schema: str, options: OpenAIOptions) -> Mapping[str, Any]:
    if options.schema == "json_object":
        return {"type": "json_object"}
    held = {"name": "answer", "strict": options.strict_schema, "schema": msgspec.Raw(schema.encode())}
    return {"type": "json_schema", "json_schema": held}
