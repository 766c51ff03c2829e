"""Answers as the houses' endpoints stream them, event by event: every kind of content, counts and endings."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from tests.real.response_recordings import responses
from tests.upstream.wire import event

Events = Sequence[Mapping[str, Any] | str]
"""The data of each event; a text stands as it is."""

_CHUNK: Final[Mapping[str, Any]] = {
    "id": "chatcmpl-B1",
    "object": "chat.completion.chunk",
    "created": 1795600000,
    "model": "m-2026-11",
    "service_tier": "default",
    "system_fingerprint": "fp_1",
}
_MESSAGE: Final[Mapping[str, Any]] = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "m-2026-11",
    "content": [],
    "stop_reason": None,
    "stop_sequence": None,
}
TEXT: Final = ("Blå", "bær", " \n\n", "蓝", "莓 ", '"quoted" \\ ', "🫐", "\u2028", " end", ".")


def _chunk(delta: Mapping[str, Any], finish: str | None = None, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    choice = {"index": 0, "delta": delta, "logprobs": more.pop("logprobs", None), "finish_reason": finish}
    return {**_CHUNK, "choices": [choice], "usage": None, "obfuscation": "x7Kq", **more}


def _counts(inputs: int, outputs: int, *, cached: int = 0, thought: int = 0) -> dict[str, Any]:
    usage = {
        "prompt_tokens": inputs,
        "completion_tokens": outputs,
        "total_tokens": inputs + outputs,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }
    return {**_CHUNK, "choices": [], "usage": usage}


_ROLE: Final = _chunk({"role": "assistant", "content": "", "refusal": None})
_SAID: Final = [_chunk({"content": piece}) for piece in TEXT]


def _weighed(piece: str, logprob: float) -> dict[str, Any]:
    token = {"token": piece, "logprob": logprob, "bytes": list(piece.encode()), "top_logprobs": []}
    return _chunk({"content": piece}, logprobs={"content": [token], "refusal": None})


def _called(**part: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    return _chunk({"tool_calls": [{"index": 0, **part}]})


CHAT_COMPLETIONS: Final[Mapping[str, Events]] = {
    "text": [_ROLE, *_SAID, _chunk({}, "stop"), _counts(9, 14), "[DONE]"],
    "cached prompt": [_ROLE, *_SAID, _chunk({}, "stop"), _counts(2010, 14, cached=1920), "[DONE]"],
    "hidden reasoning": [_ROLE, *_SAID, _chunk({}, "stop"), _counts(9, 334, thought=320), "[DONE]"],
    "cut at its limit": [_ROLE, *_SAID[:4], _chunk({}, "length"), _counts(9, 4), "[DONE]"],
    "last words with the finish": [_ROLE, *_SAID[:-1], _chunk({"content": "."}, "stop"), _counts(9, 14), "[DONE]"],
    "no counts": [_ROLE, *_SAID, _chunk({}, "stop"), "[DONE]"],
    "logprobs": [_ROLE, _weighed("Yes", -0.25), _weighed(".", -0.75), _chunk({}, "stop"), _counts(9, 2), "[DONE]"],
    "filters before the first word": [
        {**_CHUNK, "choices": [], "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": {}}]},
        _ROLE,
        *_SAID,
        _chunk({}, "stop"),
        _counts(9, 14),
        "[DONE]",
    ],
    "refusal": [
        _ROLE,
        _chunk({"refusal": "I cannot"}),
        _chunk({"refusal": " help with that."}),
        _chunk({}, "stop"),
        _counts(9, 6),
        "[DONE]",
    ],
    "tool call": [
        _chunk({"role": "assistant", "content": None}),
        _called(id="call_1", type="function", function={"name": "weather", "arguments": ""}),
        _called(function={"arguments": '{"city":'}),
        _called(function={"arguments": '"Oslo"}'}),
        _chunk({}, "tool_calls"),
        _counts(60, 17),
        "[DONE]",
    ],
    "error in the middle": [
        _ROLE,
        *_SAID[:3],
        {"error": {"message": "The server had an error", "type": "server_error", "param": None, "code": None}},
    ],
}


def _start(**usage: int) -> dict[str, Any]:
    counts = {"cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard", **usage}
    return {"type": "message_start", "message": {**_MESSAGE, "usage": counts}}


def _block(index: int, block: Mapping[str, Any], *deltas: Mapping[str, Any]) -> list[dict[str, Any]]:
    parts = [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
    start = {"type": "content_block_start", "index": index, "content_block": block}
    return [start, *parts, {"type": "content_block_stop", "index": index}]


def _texts(index: int, *pieces: str) -> list[dict[str, Any]]:
    return _block(index, {"type": "text", "text": ""}, *({"type": "text_delta", "text": piece} for piece in pieces))


def _end(reason: str, sequence: str | None = None, **usage: int) -> list[dict[str, Any]]:
    delta = {"stop_reason": reason, "stop_sequence": sequence}
    return [{"type": "message_delta", "delta": delta, "usage": usage}, {"type": "message_stop"}]


_PING: Final = {"type": "ping"}
_THINKING: Final = {"type": "thinking", "thinking": "", "signature": ""}
_SIGNED: Final = {"type": "signature_delta", "signature": "EqQBCgIYAhIM1gbcDa9GJwZA2b3hGgxBdjrkzLoky3dl1pk"}

MESSAGES: Final[Mapping[str, Events]] = {
    "text": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, *TEXT)[:2],
        _PING,
        *_texts(0, *TEXT)[2:],
        *_end("end_turn", output_tokens=16),
    ],
    "cached prompt": [
        _start(input_tokens=11, output_tokens=1, cache_read_input_tokens=1920, cache_creation_input_tokens=300),
        *_texts(0, *TEXT),
        *_end("end_turn", output_tokens=16),
    ],
    "all counts at the end": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, *TEXT),
        *_end("end_turn", input_tokens=12, output_tokens=16, cache_read_input_tokens=5, cache_creation_input_tokens=0),
    ],
    "thinking": [
        _start(input_tokens=11, output_tokens=1),
        *_block(
            0,
            _THINKING,
            {"type": "thinking_delta", "thinking": "Two and two"},
            {"type": "thinking_delta", "thinking": " is four."},
            _SIGNED,
        ),
        *_texts(1, "Four", "."),
        *_end("end_turn", output_tokens=40),
    ],
    "thinking that is left out": [
        _start(input_tokens=11, output_tokens=1),
        *_block(0, _THINKING, _SIGNED),
        _PING,
        _PING,
        *_texts(1, "Four", "."),
        *_end("end_turn", output_tokens=400),
    ],
    "thinking that is sealed": [
        _start(input_tokens=11, output_tokens=1),
        *_block(0, {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix"}),
        *_texts(1, "Four", "."),
        *_end("end_turn", output_tokens=40),
    ],
    "two texts": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, "One, "),
        *_texts(1, "two."),
        *_end("end_turn", output_tokens=6),
    ],
    "cut at its limit": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, *TEXT[:4]),
        *_end("max_tokens", output_tokens=4),
    ],
    "stopped by a sequence": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, "one"),
        *_end("stop_sequence", "END", output_tokens=2),
    ],
    "refusal": [_start(input_tokens=11, output_tokens=1), *_texts(0, "I "), *_end("refusal", output_tokens=2)],
    "tool call": [
        _start(input_tokens=300, output_tokens=2),
        *_block(
            0,
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"city":'},
            {"type": "input_json_delta", "partial_json": '"Oslo"}'},
        ),
        *_end("tool_use", output_tokens=30),
    ],
    "error in the middle": [
        _start(input_tokens=11, output_tokens=1),
        *_texts(0, *TEXT[:3])[:-1],
        {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}, "request_id": "req_1"},
    ],
}

RECORDINGS: Final[Mapping[str, Mapping[str, Events]]] = {
    "openai": CHAT_COMPLETIONS,
    "anthropic": MESSAGES,
    "responses": responses(TEXT),
}
"""By dialect and by what is in them."""


def written(events: Events, *, names: bool, escaped: bool = False, ends: bytes = b"\n") -> bytes:
    """Return the body of the answer; with the events' names, and with what is beyond ASCII escaped."""
    body = b"".join(
        event(
            data if isinstance(data, str) else json.dumps(data, ensure_ascii=escaped),
            str(data["type"]) if names and not isinstance(data, str) else "",
        )
        for data in events
    )
    return body.replace(b"\n", ends)
