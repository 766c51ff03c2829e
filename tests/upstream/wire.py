"""The two dialects' events, as bytes."""

import json
from typing import Any


def event(data: object, name: str = "") -> bytes:
    """Return one server-sent event."""
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    head = f"event: {name}\n" if name else ""
    return f"{head}data: {text}\n\n".encode()


class OpenAIWire:
    """Chat completions."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._model = model
        self._input_tokens = input_tokens

    def opening(self) -> bytes:
        return self._chunk({"role": "assistant", "content": ""})

    def piece(self, text: str, logprob: float | None = None) -> bytes:
        logprobs = None if logprob is None else {"content": [{"token": text, "logprob": logprob}]}
        return self._chunk({"content": text}, logprobs=logprobs)

    def reasoning(self, text: str, field: str) -> bytes:
        return self._chunk({field: text})

    def refusal(self, text: str) -> bytes:
        return self._chunk({"refusal": text})

    def usage(self, output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
        return {
            "prompt_tokens": self._input_tokens,
            "completion_tokens": output_tokens,
            "total_tokens": self._input_tokens + output_tokens,
            "completion_tokens_details": {"reasoning_tokens": reasoning_tokens},
        }

    def closing(self, finish: str | None, usage: dict[str, Any] | None, *, done: bool) -> bytes:
        last = self._chunk({}, finish=finish) if finish else b""
        counts = b"" if usage is None else event({**self._base(), "choices": [], "usage": usage})
        return last + counts + (event("[DONE]") if done else b"")

    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "code": code}}

    def _base(self) -> dict[str, Any]:
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": self._model}

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, logprobs: object = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return event({**self._base(), "choices": [choice]})


_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class AnthropicWire:
    """Messages."""

    def __init__(self, model: str, input_tokens: int) -> None:
        self._model = model
        self._input_tokens = input_tokens

    def opening(self) -> bytes:
        usage = {"input_tokens": self._input_tokens, "output_tokens": 1}
        message = {"id": "m-1", "type": "message", "role": "assistant", "model": self._model, "content": []}
        start = {"type": "message_start", "message": {**message, "stop_reason": None, "usage": usage}}
        block = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}
        return event(start, "message_start") + event(block, "content_block_start") + event({"type": "ping"}, "ping")

    def piece(self, text: str, logprob: float | None = None) -> bytes:
        return self._delta({"type": "text_delta", "text": text})

    def reasoning(self, text: str, field: str) -> bytes:
        return self._delta({"type": "thinking_delta", "thinking": text})

    def refusal(self, text: str) -> bytes:
        return self._delta({"type": "text_delta", "text": text})

    def usage(self, output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
        return {"input_tokens": self._input_tokens, "output_tokens": output_tokens}

    def closing(self, finish: str | None, usage: dict[str, Any] | None, *, done: bool) -> bytes:
        stop = event({"type": "content_block_stop", "index": 0}, "content_block_stop")
        delta = {"type": "message_delta", "delta": {"stop_reason": _STOPS.get(finish or "", finish)}}
        last = event(delta if usage is None else {**delta, "usage": usage}, "message_delta") if finish else b""
        return stop + last + (event({"type": "message_stop"}, "message_stop") if done else b"")

    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": message}}

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


Wire = OpenAIWire | AnthropicWire


def wire_of(dialect: str, model: str, input_tokens: int) -> Wire:
    """Return the dialect's events for one answer."""
    return (AnthropicWire if dialect == "anthropic" else OpenAIWire)(model, input_tokens)
