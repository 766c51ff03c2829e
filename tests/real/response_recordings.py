"""Answers of the Responses dialect as they are streamed: its events tell of items, of their parts, and of the whole."""

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any, Final

_Json = dict[str, Any]

_RESPONSE: Final[Mapping[str, Any]] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1795600000,
    "model": "m-2026-11",
    "error": None,
    "incomplete_details": None,
    "instructions": None,
    "metadata": {},
    "parallel_tool_calls": True,
    "temperature": 1.0,
    "tool_choice": "auto",
    "tools": [],
    "top_p": 1.0,
    "usage": None,
}


def _response(status: str, output: Sequence[_Json] = (), **more: Any) -> _Json:  # noqa: ANN401 - JSON
    return {**_RESPONSE, "status": status, "output": list(output), **more}


def _usage(inputs: int, outputs: int, *, cached: int = 0, thought: int = 0) -> _Json:
    return {
        "input_tokens": inputs,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": outputs,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": inputs + outputs,
    }


class _Item:
    """One item of the output: its events, and what it is in the end."""

    def __init__(self, index: int, kind: str, **fields: Any) -> None:  # noqa: ANN401 - JSON
        self._at = {"output_index": index, "item_id": f"{kind}_{index}"}
        self.whole: _Json = {"id": f"{kind}_{index}", "type": kind, "status": "completed", **fields}
        self.events: list[_Json] = []

    def added(self, **empty: Any) -> None:  # noqa: ANN401 - JSON
        item = {**self.whole, "status": "in_progress", **empty}
        self.events.append(
            {"type": "response.output_item.added", "output_index": self._at["output_index"], "item": item}
        )

    def told(self, kind: str, **more: Any) -> None:  # noqa: ANN401 - JSON
        self.events.append({"type": f"response.{kind}", **self._at, **more})

    def done(self) -> "_Item":
        index = self._at["output_index"]
        self.events.append({"type": "response.output_item.done", "output_index": index, "item": self.whole})
        return self


def _message(index: int, *pieces: str, refusal: bool = False) -> _Item:
    text = "".join(pieces)
    word, kind = ("refusal", "refusal") if refusal else ("text", "output_text")
    more: _Json = {} if refusal else {"annotations": [], "logprobs": []}
    part = {"type": kind, word: text, **more}
    item = _Item(index, "message", role="assistant", content=[part])
    item.added(content=[])
    item.told("content_part.added", content_index=0, part={**part, word: ""})
    log: _Json = {} if refusal else {"logprobs": []}
    for piece in pieces:
        item.told(f"{kind}.delta", content_index=0, delta=piece, **log)
    item.told(f"{kind}.done", content_index=0, **{word: text}, **log)
    item.told("content_part.done", content_index=0, part=part)
    return item.done()


def _reasoning(index: int, *pieces: str) -> _Item:
    part = {"type": "summary_text", "text": "".join(pieces)}
    item = _Item(index, "reasoning", summary=[part] if pieces else [])
    item.added(summary=[])
    if pieces:
        item.told("reasoning_summary_part.added", summary_index=0, part={**part, "text": ""})
        for piece in pieces:
            item.told("reasoning_summary_text.delta", summary_index=0, delta=piece)
        item.told("reasoning_summary_text.done", summary_index=0, text=part["text"])
        item.told("reasoning_summary_part.done", summary_index=0, part=part)
    return item.done()


def _call(index: int) -> _Item:
    item = _Item(index, "function_call", call_id="call_1", name="weather", arguments='{"city":"Oslo"}')
    item.added(arguments="")
    for piece in ('{"city":', '"Oslo"}'):
        item.told("function_call_arguments.delta", delta=piece)
    item.told("function_call_arguments.done", name="weather", arguments='{"city":"Oslo"}')
    return item.done()


def _stream(*items: _Item, last: str = "completed", **end: Any) -> list[_Json]:  # noqa: ANN401 - JSON
    begun = [{"type": f"response.{kind}", "response": _response("in_progress")} for kind in ("created", "in_progress")]
    said = [event for item in items for event in item.events]
    whole = _response(last, [item.whole for item in items], **end)
    return _numbered([*begun, *said, {"type": f"response.{last}", "response": whole}])


def _numbered(events: Sequence[_Json]) -> list[_Json]:
    return [{**event, "sequence_number": number} for event, number in zip(events, count(), strict=False)]


def responses(text: Sequence[str]) -> Mapping[str, list[_Json]]:
    """Return the recordings, of answers with this text."""
    broken = {"type": "error", "code": "server_error", "message": "The server had an error", "param": None}
    failed = {"code": "server_error", "message": "The server had an error"}
    return {
        "text": _stream(_message(0, *text), usage=_usage(9, 14)),
        "cached prompt": _stream(_message(0, *text), usage=_usage(2010, 14, cached=1920)),
        "hidden reasoning": _stream(_reasoning(0), _message(1, *text), usage=_usage(9, 334, thought=320)),
        "told reasoning": _stream(
            _reasoning(0, "**Adding** ", "two and two."), _message(1, "Four", "."), usage=_usage(9, 30, thought=24)
        ),
        "cut at its limit": _stream(
            _message(0, *text[:4]),
            last="incomplete",
            incomplete_details={"reason": "max_output_tokens"},
            usage=_usage(9, 4),
        ),
        "refusal": _stream(_message(0, "I cannot", " help.", refusal=True), usage=_usage(9, 6)),
        "tool call": _stream(_call(0), usage=_usage(60, 17)),
        "failure at the end": _stream(_message(0, *text[:3]), last="failed", error=failed),
        "error in the middle": [*_stream(_message(0, *text))[:7], {**broken, "sequence_number": 7}],
    }
