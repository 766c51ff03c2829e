"""Chat completions, as the upstream speaks it."""

from collections.abc import Mapping
from typing import Any

from tests.upstream.wire import Asked, Wire, event


class OpenAIWire(Wire):
    """One answer."""

    path = "/chat/completions"
    key_header = "authorization"
    overload_status = "503"
    not_allowed = '{"choices": 7}'

    @staticmethod
    def asked(body: Mapping[str, Any]) -> Asked:
        turns = [(turn.get("role") in {"system", "developer"}, turn) for turn in body.get("messages") or ()]
        held = (body.get("response_format") or {}).get("json_schema") or {}
        return Asked(
            [turn for is_system, turn in turns if is_system],
            [turn for is_system, turn in turns if not is_system],
            body.get("temperature"),
            body.get("top_p"),
            body.get("max_tokens"),
            body.get("stop"),
            held.get("schema"),
            streams=body.get("stream", False),
        )

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

    def whole(self, text: str, finish: str | None, usage: dict[str, Any] | None, reasoning: str = "") -> dict[str, Any]:
        message = {"role": "assistant", "content": text, "refusal": None, "reasoning_content": reasoning or None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": finish}
        return {**self._base(), "object": "chat.completion", "choices": [choice], "usage": usage}

    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "code": code}}

    def overload(self) -> bytes:
        return event(self.error("server_error", "overloaded", 503), "error")

    def _base(self) -> dict[str, Any]:
        return {"id": "c-1", "object": "chat.completion.chunk", "created": 0, "model": self._model}

    def _chunk(self, delta: dict[str, Any], *, finish: str | None = None, logprobs: object = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": logprobs, "finish_reason": finish}
        return event({**self._base(), "choices": [choice]})


WIRE = OpenAIWire
