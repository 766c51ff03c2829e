"""Answers, with the houses' own SDKs, what the tests ask line by line; run by the Python of the SDKs' environment.

A line holds ``{"do": NAME, ...}``, the arguments of a function below; the answer is a line of JSON.
"""

import importlib
import json
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

_REQUESTS: Final = {
    "openai": ("openai.types.chat.completion_create_params", "CompletionCreateParamsStreaming"),
    "openai responses": ("openai.types.responses.response_create_params", "ResponseCreateParamsStreaming"),
    "anthropic": ("anthropic.types.message_create_params", "MessageCreateParamsStreaming"),
    "mistralai": ("mistralai.client.models", "ChatCompletionStreamRequest"),
    "groq": ("groq.types.chat.completion_create_params", "CompletionCreateParams"),
    "together": ("together.types.chat.completion_create_params", "CompletionCreateParamsStreaming"),
}
"""The type of a request, by SDK."""
_RESPONSE_ENDS: Final = frozenset({"response.completed", "response.incomplete", "response.failed"})


def check(sdk: str, body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return what of a request's body the SDK's type has no place for, by field."""
    kind = _adapter(sdk)
    refused: dict[str, list[str]] = {}
    try:
        # Not as JSON: there, a text passes for an iterable of its letters.
        taken = kind.validate_python(body, strict=True, extra="forbid")
    except ValidationError as error:
        _note(refused, error)
        # One field may keep the others from being looked at: those that are wrong are taken out, and the rest again.
        rest = {name: value for name, value in body.items() if name not in refused}
        return {**(check(sdk, rest) if len(rest) < len(body) else {}), **refused}
    for name, value in _items(taken):
        try:
            _exhaust(value)
        except ValidationError as error:
            _note(refused, error, name)
    return refused


def fitting(dialect: str, schema: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
    """Return what the SDK makes of a schema before it sends it, for an endpoint that is strict about schemas."""
    copy = json.loads(json.dumps(schema))
    if dialect == "anthropic":
        return importlib.import_module("anthropic").transform_schema(copy)
    return importlib.import_module("openai.lib._pydantic")._ensure_strict_json_schema(copy, path=(), root=copy)  # noqa: SLF001


def read_openai(endpoint: str, model: str) -> dict[str, Any]:
    """Ask for a stream in chat completions, and return it as the SDK gathers it."""
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=endpoint, api_key="k", max_retries=0, timeout=20)
    messages = [{"role": "user", "content": "Hello there"}]
    try:
        with client.chat.completions.stream(
            model=model, messages=messages, stream_options={"include_usage": True}
        ) as stream:
            completion = stream.get_final_completion()
    except openai.LengthFinishReasonError as error:
        completion = error.completion
    except (openai.OpenAIError, ValidationError) as error:
        return {"failed": type(error).__name__}
    [choice] = completion.choices
    logprobs = [token.logprob for token in (choice.logprobs.content if choice.logprobs else None) or ()]
    return {
        "text": choice.message.content or "",
        "refusal": choice.message.refusal or "",
        "tools": len(choice.message.tool_calls or ()),
        "finish": choice.finish_reason,
        "model": completion.model,
        "logprob": sum(logprobs) / len(logprobs) if logprobs else None,
        "usage": completion.usage.model_dump(exclude_none=True) if completion.usage else None,
    }


def read_anthropic(endpoint: str, model: str) -> dict[str, Any]:
    """Ask for a stream of messages, and return it as the SDK gathers it."""
    anthropic = importlib.import_module("anthropic")
    client = anthropic.Anthropic(base_url=endpoint.removesuffix("/v1"), api_key="k", max_retries=0, timeout=20)
    messages = [{"role": "user", "content": "Hello there"}]
    try:
        with client.messages.stream(model=model, max_tokens=100, messages=messages) as stream:
            message = stream.get_final_message()
    except anthropic.AnthropicError as error:
        return {"failed": type(error).__name__}
    return {
        "text": "".join(block.text for block in message.content if block.type == "text"),
        "refusal": "yes" if message.stop_reason == "refusal" else "",
        "tools": sum(block.type == "tool_use" for block in message.content),
        "finish": message.stop_reason,
        "model": message.model,
        "logprob": None,
        "usage": message.usage.model_dump(exclude_none=True),
    }


def read_responses(endpoint: str, model: str) -> dict[str, Any]:
    """Ask for a stream of a response, and return it as the SDK gathers it."""
    openai = importlib.import_module("openai")
    client = openai.OpenAI(base_url=endpoint, api_key="k", max_retries=0, timeout=20)
    ends = []
    try:
        with client.responses.stream(model=model, input=[{"role": "user", "content": "Hello there"}]) as stream:
            ends += [event.response for event in stream if event.type in _RESPONSE_ENDS]
    except openai.OpenAIError as error:
        return {"failed": type(error).__name__}
    if not ends or ends[0].status == "failed":
        return {"failed": "failed" if ends else "no end"}
    [response] = ends
    parts = [part for item in response.output if item.type == "message" for part in item.content]
    return {
        "text": response.output_text,
        "refusal": "".join(part.refusal for part in parts if part.type == "refusal"),
        "tools": sum(item.type == "function_call" for item in response.output),
        "finish": response.status,
        "model": response.model,
        "logprob": None,
        "usage": response.usage.model_dump(exclude_none=True) if response.usage else None,
    }


@cache
def _adapter(sdk: str) -> Any:  # noqa: ANN401 - a type of a package that is not in the tests' environment
    module, name = _REQUESTS[sdk]
    return TypeAdapter(getattr(importlib.import_module(module), name))


def _items(taken: Any) -> Iterable[tuple[str, Any]]:  # noqa: ANN401 - a dict or a model
    return (
        taken.items()
        if isinstance(taken, dict)
        else [(name, getattr(taken, name)) for name in type(taken).model_fields]
    )


def _exhaust(value: object) -> None:
    """Go through all of a value: what is typed as an iterable is only checked then."""
    if isinstance(value, dict):
        for part in value.values():
            _exhaust(part)
    elif not isinstance(value, str | bytes) and isinstance(value, Iterable):
        for part in value:
            _exhaust(part)


def _note(refused: dict[str, list[str]], error: ValidationError, within: str = "") -> None:
    for problem in error.errors(include_url=False, include_input=False):
        where = [within, *map(str, problem["loc"])] if within else [*map(str, problem["loc"])]
        refused.setdefault(where[0], []).append(f"{'.'.join(where)}: {problem['msg']}")


_TASKS: Final = {task.__name__: task for task in (check, fitting, read_openai, read_anthropic, read_responses)}

if __name__ == "__main__":
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_TASKS[asked.pop("do")](**asked)), flush=True)  # noqa: T201 - the answer
