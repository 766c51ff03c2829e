"""Messages, as the upstream speaks it."""

from collections.abc import Mapping
from typing import Any

from tests.upstream.wire import Asked, Wire, event

_STOPS = {"stop": "end_turn", "length": "max_tokens", "content_filter": "refusal"}


class AnthropicWire(Wire):
    """One answer."""

    path = "/messages"
    key_header = "x-api-key"
    overload_status = "529"
    not_allowed = '{"type": 7}'

    @staticmethod
    def asked(body: Mapping[str, Any]) -> Asked:
        held = (body.get("output_config") or {}).get("format") or {}
        return Asked(
            body.get("system"),
            body.get("messages") or (),
            body.get("temperature"),
            body.get("top_p"),
            body.get("max_tokens"),
            body.get("stop_sequences"),
            held.get("schema"),
            streams=body.get("stream", False),
        )

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

    def whole(self, text: str, finish: str | None, usage: dict[str, Any] | None, reasoning: str = "") -> dict[str, Any]:
        thought = [{"type": "thinking", "thinking": reasoning, "signature": "s"}] if reasoning else []
        blocks = [*thought, {"type": "text", "text": text}]
        message = {"id": "m-1", "type": "message", "role": "assistant", "model": self._model, "content": blocks}
        return {**message, "stop_reason": _STOPS.get(finish or "", finish), "stop_sequence": None, "usage": usage}

    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        return {"type": "error", "error": {"type": kind, "message": message}}

    def overload(self) -> bytes:
        return event(self.error("overloaded_error", "overloaded", None), "error")

    def _delta(self, delta: dict[str, Any]) -> bytes:
        return event({"type": "content_block_delta", "index": 0, "delta": delta}, "content_block_delta")


WIRE = AnthropicWire
