"""Responses, as the upstream speaks it."""

from collections.abc import Mapping
from typing import Any

from tests.upstream.wire import Asked, Wire, event

_PLACE: dict[str, Any] = {"item_id": "msg_1", "output_index": 0, "content_index": 0}
_MESSAGE: dict[str, Any] = {"id": "msg_1", "type": "message", "role": "assistant", "content": []}
_INCOMPLETE = {"length": "max_output_tokens"}


class ResponsesWire(Wire):
    """One answer."""

    path = "/responses"
    key_header = "authorization"
    overload_status = "529"
    not_allowed = '{"type": 7}'
    takes_stop = False

    @staticmethod
    def asked(body: Mapping[str, Any]) -> Asked:
        items = [(item.get("role") in {"system", "developer"}, item) for item in body.get("input") or ()]
        held = (body.get("text") or {}).get("format") or {}
        return Asked(
            [item for is_system, item in items if is_system],
            [item for is_system, item in items if not is_system],
            body.get("temperature"),
            body.get("top_p"),
            body.get("max_output_tokens"),
            None,
            held.get("schema"),
            streams=body.get("stream", False),
        )

    def opening(self) -> bytes:
        created = self._event("created", response=self._response("in_progress"))
        added = self._event("output_item.added", output_index=0, item={**_MESSAGE, "status": "in_progress"})
        part = {"type": "output_text", "text": "", "annotations": []}
        return created + added + self._event("content_part.added", **_PLACE, part=part)

    def piece(self, text: str, logprob: float | None = None) -> bytes:
        return self._event("output_text.delta", **_PLACE, delta=text, logprobs=[])

    def reasoning(self, text: str, field: str) -> bytes:
        return self._event("reasoning_text.delta", item_id="rs_1", output_index=1, content_index=0, delta=text)

    def refusal(self, text: str) -> bytes:
        return self._event("refusal.delta", **_PLACE, delta=text)

    def usage(self, output_tokens: int, reasoning_tokens: int) -> dict[str, Any]:
        return {
            "input_tokens": self._input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": output_tokens,
            "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
            "total_tokens": self._input_tokens + output_tokens,
        }

    def closing(self, finish: str | None, usage: dict[str, Any] | None, *, done: bool) -> bytes:
        if finish is None:
            return b""
        status = "completed" if finish == "stop" else "incomplete"
        details = None if finish == "stop" else {"reason": _INCOMPLETE.get(finish, finish)}
        item = self._event("output_item.done", output_index=0, item={**_MESSAGE, "status": status})
        return item + self._event(status, response=self._response(status, incomplete_details=details, usage=usage))

    def whole(self, text: str, finish: str | None, usage: dict[str, Any] | None, reasoning: str = "") -> dict[str, Any]:
        thought = [{"id": "rs_1", "type": "reasoning", "summary": [{"type": "summary_text", "text": reasoning}]}]
        part = {"type": "output_text", "text": text, "annotations": []}
        output = [*(thought if reasoning else []), {**_MESSAGE, "content": [part]}]
        status = None if finish is None else "completed" if finish == "stop" else "incomplete"
        details = None if finish in (None, "stop") else {"reason": _INCOMPLETE.get(finish, finish)}
        return {**self._response(status or ""), "output": output, "incomplete_details": details, "usage": usage}

    def error(self, kind: str, message: str, code: str | int | None) -> dict[str, Any]:
        return {"error": {"message": message, "type": kind, "code": code, "param": None}}

    def overload(self) -> bytes:
        error = {"code": "server_is_overloaded", "message": "overloaded"}
        return self._event("failed", response=self._response("failed", error=error))

    def _response(self, status: str, **more: object) -> dict[str, Any]:
        return {"id": "resp_1", "object": "response", "model": self._model, "output": [], "status": status, **more}

    @staticmethod
    def _event(kind: str, **fields: object) -> bytes:
        return event({"type": f"response.{kind}", "sequence_number": 1, **fields}, f"response.{kind}")


WIRE = ResponsesWire
