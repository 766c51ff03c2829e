"""What chat completions has of its own, and what differs between the endpoints that speak it."""

import json
import tracemalloc
from typing import Any

import pytest

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelProtocolBroken,
    ModelRefused,
    ModelStreamCut,
    ModelThrottled,
    ModelUnavailable,
)
from moa_server.domain.model import FinishReason, Prompt
from moa_server.domain.usage import Certainty, Usage
from moa_server.providers.dialects.openai import OpenAIOptions
from tests.providers.asker import HELLO, Asker
from tests.upstream import Events, Raw, Speech, Upstream

INSTRUCTION = "Answer with one JSON document that satisfies this JSON Schema, and with nothing beside it:\n"


def chunk(content: str | None = None, finish: str | None = None, **more: object) -> dict[str, object]:
    delta = {} if content is None else {"content": content}
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **more}


async def test_the_whole_request(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    sampling = Sampling(0.0, 0.5, 9, 7, ("a", "b"), 0.1, 0.2)
    messages = (Message.of(Role.SYSTEM, "Be brief."), Message.of(Role.USER, "Hi").with_text(" there"))
    schema = '{"type": "object", "properties": {}, "additionalProperties": false}'
    await openai.ask(Prompt(messages, sampling, response_schema=schema, logprobs=True))
    [call] = upstream.calls
    assert call.path == "/v1/chat/completions"
    assert call.headers["accept-encoding"] == "identity"
    assert call.body == {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi there"}],
        "max_tokens": 9,
        "temperature": 0.0,
        "top_p": 0.5,
        "seed": 7,
        "presence_penalty": 0.1,
        "frequency_penalty": 0.2,
        "stop": ["a", "b"],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "strict": True, "schema": json.loads(schema)},
        },
        "logprobs": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"think_tags": (("<a>", ""),)}, "think_tags: a tag is empty"),
        ({"think_tags": (), "begins_thinking": True}, "begins_thinking: needs think_tags"),
    ],
)
def test_options_that_contradict_each_other_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        OpenAIOptions(**settings)


async def test_a_request_to_an_endpoint_of_other_habits(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    dialect = {
        "path": "/elsewhere/complete",
        "query": {"api-version": "2026 11"},
        "headers": {"x-title": "moa"},
        "key_header": "api-key",
        "body": {"provider": {"sort": "price"}, "stream": False},
        "max_tokens_field": "max_completion_tokens",
        "system_role": "developer",
        "sends_sampling": False,
        "sends_penalties": False,
        "sends_seed": False,
        "sends_stop": False,
        "usage_in_stream": False,
        "schema": "json_object",
        "logprobs": False,
    }
    messages = (Message.of(Role.SYSTEM, "Be brief."), *HELLO.messages)
    sampling = Sampling(0.0, 0.5, 9, 7, ("a", "b"), 0.1, 0.2)
    await openai.ask(Prompt(messages, sampling, response_schema="{}", logprobs=True), dialect=dialect)
    [call] = upstream.calls
    assert call.path == "/v1/elsewhere/complete?api-version=2026+11"
    assert call.headers["x-title"] == "moa"
    assert call.body == {
        "model": "m",
        "messages": [
            {"role": "developer", "content": f"Be brief.\n\n{INSTRUCTION}{{}}"},
            {"role": "user", "content": "Hello there"},
        ],
        "max_completion_tokens": 9,
        "response_format": {"type": "json_object"},
        "provider": {"sort": "price"},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("effort", "efforts", "said"),
    [("high", None, "high"), ("max", None, "high"), ("none", ("none", "low"), "none"), ("low", (), None)],
)
async def test_an_effort_is_sent_in_the_steps_of_the_endpoint(
    openai: Asker, upstream: Upstream, effort: str, efforts: tuple[str, ...] | None, said: str | None
) -> None:
    upstream.script("m", Speech("ok"))
    dialect = {} if efforts is None else {"efforts": efforts}
    asked = Prompt(HELLO.messages, Sampling(reasoning_effort=ReasoningEffort(effort)))
    await openai.ask(asked, dialect=dialect, reasoning_effort=ReasoningEffort.MEDIUM)
    await openai.ask(HELLO, dialect=dialect, reasoning_effort=ReasoningEffort(effort))
    assert [call.body.get("reasoning_effort") for call in upstream.calls] == [said, said]


USAGES: list[tuple[dict[str, Any] | None, Usage | None]] = [
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, Usage(0, 9, 3)),
    ({"prompt_tokens": 9, "completion_tokens": 3}, Usage(0, 9, 3)),
    (
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_tokens_details": {"cached_tokens": 8},
         "completion_tokens_details": {"reasoning_tokens": 2}},
        Usage(0, 9, 3, 8, 2),
    ),
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_cache_hit_tokens": 4}, Usage(0, 9, 3, 4)),
    (
        {"prompt_tokens": 9, "completion_tokens": 3,
         "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5}},
        Usage(0, 9, 3, 4, cache_write_tokens=5),
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 3,
         "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": 5}},
        None,
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 3,
         "prompt_tokens_details": {"cached_tokens": 5, "cache_write_tokens": -5}},
        None,
    ),
    (
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 32,
         "completion_tokens_details": {"reasoning_tokens": 20}},
        Usage(0, 9, 23, 0, 20),
    ),
    ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 99}, None),
    ({"prompt_tokens": -9, "completion_tokens": 3}, None),
    ({"prompt_tokens": 9, "completion_tokens": -3}, None),
    ({"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": {"cached_tokens": 10}}, None),
    ({"prompt_tokens": 9, "completion_tokens": 3, "completion_tokens_details": {"reasoning_tokens": 4}}, None),
    ({"prompt_tokens": 9, "completion_tokens": 0}, None),
    ({"prompt_tokens": 0, "completion_tokens": 3}, None),
    ({"prompt_tokens": "9", "completion_tokens": 3}, None),
    ({"prompt_tokens": 1e30, "completion_tokens": 3}, None),
    ({"prompt_tokens": 10**30, "completion_tokens": 3}, None),
    ({}, None),
    (None, None),
]  # fmt: skip


@pytest.mark.parametrize(("reported", "known"), USAGES, ids=lambda value: json.dumps(value, default=lambda _: "known"))
async def test_usage_is_believed_unless_it_contradicts_itself(
    openai: Asker, upstream: Upstream, reported: dict[str, Any] | None, known: Usage | None
) -> None:
    upstream.script("m", Speech("one two three", usage=reported))
    usage = (await openai.ask()).usage
    assert usage.certainty is (Certainty.ESTIMATED if known is None else Certainty.KNOWN)
    if known is not None:
        assert usage == known
    else:
        assert usage.input_tokens >= 2
        assert usage.output_tokens >= 3


async def test_reasoning_that_only_the_total_counts(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("yes", usage={"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 99}))
    usage = (await openai.ask(dialect={"reasoning_in_completion": False})).usage
    assert (usage.output_tokens, usage.certainty) == (90, Certainty.KNOWN)


@pytest.mark.parametrize("field", ["reasoning", "reasoning_content"])
async def test_reasoning_in_a_field_is_told_apart(openai: Asker, upstream: Upstream, field: str) -> None:
    upstream.script("m", Speech("yes", reasoning="because of it", reasoning_field=field))
    reply = await openai.ask()
    assert (reply.text, reply.usage.reasoning_tokens) == ("yes", 3)


async def test_reasoning_between_tags_is_told_apart_wherever_it_is_cut(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", *(Speech("<think>why not</think>\n\nyes, so", tokens=tokens) for tokens in range(1, 30)))
    for _ in range(29):
        assert (await openai.ask()).text == "yes, so" == "".join(openai.heard)


async def test_reasoning_in_parts_is_told_apart(openai: Asker, upstream: Upstream) -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": "yes"}]
    delta = {"choices": [{"index": 0, "delta": {"content": parts}, "finish_reason": "stop"}]}
    upstream.script("m", Events(delta, "[DONE]"))
    reply = await openai.ask()
    assert reply.text == "yes"
    assert reply.usage.reasoning_tokens > 0


async def test_the_mean_log_probability(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("one two", logprob=-0.5), Speech("one two"))
    assert (await openai.ask()).mean_logprob == -0.5
    assert (await openai.ask()).mean_logprob is None


@pytest.mark.parametrize(
    "told",
    [
        [-0.5, -1.5],
        [[-0.5], [None, -1.5]],
        [{"content": [{"token": "one", "logprob": -0.5}]}, {"content": [{"token": " two", "logprob": -1.5}]}],
        [{"token_logprobs": [-0.5], "tokens": ["one"]}, {"token_logprobs": [-1.5, None]}],
        [{"content": [{"logprob": -0.5}], "token_logprobs": [-9.0]}, {"content": None, "token_logprobs": [-1.5]}],
        [-1, {"content": []}],
    ],
    ids=["bare", "lists", "own form", "plain completions", "both forms", "whole number"],
)
async def test_log_probabilities_are_read_in_every_form(openai: Asker, upstream: Upstream, told: list[Any]) -> None:
    choices = [
        {"index": 0, "delta": {"content": word}, "logprobs": logprobs}
        for word, logprobs in zip(("one", " two"), told, strict=True)
    ]
    end = {"index": 0, "delta": {}, "logprobs": None, "finish_reason": "stop"}
    upstream.script("m", Events(*({"choices": [choice]} for choice in (*choices, end)), "[DONE]"))
    reply = await openai.ask()
    assert (reply.text, reply.mean_logprob) == ("one two", -1.0)


async def test_the_seed_and_the_log_probabilities_are_asked_for_as_the_endpoint_calls_them(
    openai: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Speech("ok"))
    dialect = {"seed_field": "random_seed", "counts_logprobs": True}
    await openai.ask(Prompt(HELLO.messages, Sampling(seed=7), logprobs=True), dialect=dialect)
    [call] = upstream.calls
    assert call.body.keys() & {"seed", "random_seed", "logprobs"} == {"random_seed", "logprobs"}
    assert (call.body["random_seed"], call.body["logprobs"]) == (7, 1)
    assert call.body["logprobs"] is not True


async def test_a_refusal(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("", refusal="I would rather not."))
    failure = await openai.failure()
    assert type(failure) is ModelRefused
    assert failure.usage is not None
    assert "rather" not in failure.detail
    assert openai.heard == []


async def test_a_text_that_was_cut_by_a_filter_keeps_what_it_has(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("half a", finish="content_filter"))
    assert (await openai.ask()).finish_reason is FinishReason.CONTENT_FILTER


@pytest.mark.parametrize(
    ("events", "dialect"),
    [
        ([chunk("yes", "stop")], {}),
        ([chunk("yes"), "[DONE]"], {}),
        ([chunk("yes"), chunk(finish="stop"), {"choices": [], "usage": {"prompt_tokens": 1}}], {}),
        ([chunk("yes"), chunk(finish="stop"), {"choices": None, "usage": None}, "[DONE]"], {"expects_done": True}),
        ([chunk("yes", "eos")], {}),
        ([chunk("yes", "a word of their own")], {}),
        ([chunk("yes"), {"choices": [{"index": 1, "delta": {"content": "no"}}]}, chunk(finish="stop")], {}),
        ([{"choices": [{"index": 0, "delta": None}]}, chunk("yes", "stop", error=None, usage=None)], {}),
    ],
)
async def test_streams_that_end_in_different_ways(
    openai: Asker, upstream: Upstream, events: list[Any], dialect: dict[str, Any]
) -> None:
    upstream.script("m", Events(*events))
    assert (await openai.ask(dialect=dialect)).text == "yes"


CALL = {"index": 0, "id": "t", "type": "function", "function": {"name": "look", "arguments": "{}"}}
CALLED = {"choices": [{"index": 0, "delta": {"tool_calls": [CALL]}}]}


@pytest.mark.parametrize(
    "events",
    [
        [CALLED, chunk(finish="tool_calls"), "[DONE]"],
        [chunk("Let me look."), CALLED, chunk(finish="tool_calls"), "[DONE]"],
        [chunk(finish="function_call"), "[DONE]"],
        [CALLED, chunk(finish="stop"), "[DONE]"],
        [{"choices": [{"index": 0, "delta": {"function_call": {"name": "look"}}}]}, chunk(finish="stop"), "[DONE]"],
    ],
    ids=["alone", "after words", "by its reason alone", "by its delta alone", "in the older form"],
)
async def test_a_tool_that_is_called_is_no_answer(openai: Asker, upstream: Upstream, events: list[Any]) -> None:
    upstream.script("m", Events(*events))
    failure = await openai.failure()
    assert (type(failure), failure.permanent) == (ModelAnsweredNothing, True)
    assert failure.detail == "voice called a tool in place of an answer, though it is offered none"
    assert failure.usage is not None


async def test_an_event_that_is_nested_without_end_breaks_the_protocol(openai: Asker, upstream: Upstream) -> None:
    deep = "[" * 100_000 + "]" * 100_000
    upstream.script("m", Events(f'{{"choices": [{{"index": 0, "delta": {{"tool_calls": {deep}}}}}]}}'))
    assert type(await openai.failure()) is ModelProtocolBroken


@pytest.mark.parametrize("calls", [None, [], {}])
async def test_no_call_is_no_tool_call(openai: Asker, upstream: Upstream, calls: object) -> None:
    said = {"choices": [{"index": 0, "delta": {"content": "yes", "tool_calls": calls, "function_call": None}}]}
    upstream.script("m", Events(said, chunk(finish="stop"), "[DONE]"))
    assert (await openai.ask()).text == "yes"


@pytest.mark.parametrize("word", ["insufficient_system_resource", "abort"])
async def test_an_answer_that_the_endpoint_could_not_go_on_with_is_no_answer(
    openai: Asker, upstream: Upstream, word: str
) -> None:
    upstream.script("m", Events(chunk("half an"), chunk(finish=word), "[DONE]"))
    failure = await openai.failure()
    assert (type(failure), failure.permanent) == (ModelUnavailable, False)
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0


async def test_an_endpoint_that_owes_its_last_marker(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(chunk("yes", "stop")))
    assert type(await openai.failure(dialect={"expects_done": True})) is ModelStreamCut


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"error": {"message": "slow down", "code": 429}}, ModelThrottled),
        ({"error": {"message": "slow down", "type": "rate_limit_exceeded"}}, ModelThrottled),
        ({"error": {"message": "oops", "code": 502}, **chunk("", "error")}, ModelUnavailable),
        ({"error": "oops"}, ModelUnavailable),
        (chunk("", "error"), ModelUnavailable),
    ],
)
async def test_an_error_object_inside_a_stream(
    openai: Asker, upstream: Upstream, event: dict[str, Any], kind: type[Exception]
) -> None:
    upstream.script("m", Events(chunk("half an"), event, "[DONE]"))
    failure = await openai.failure()
    assert type(failure) is kind
    assert failure.usage is not None


async def test_an_error_event_by_name(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Raw(b'event: error\ndata: {"message": "oops", "code": "server_error"}\n\n'))
    assert type(await openai.failure()) is ModelUnavailable


async def test_white_space_is_not_heard_before_the_first_word(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(chunk("\n"), chunk(" "), chunk("yes"), chunk(finish="stop")))
    assert (await openai.ask()).text == "\n yes" == "".join(openai.heard)
    assert not openai.heard[0].isspace()


@pytest.mark.parametrize("nothing", [None, False, "", {}, []])
async def test_an_error_that_is_nothing_is_none(openai: Asker, upstream: Upstream, nothing: object) -> None:
    upstream.script("m", Events({**chunk("yes", finish="stop"), "error": nothing}, "[DONE]"))
    assert (await openai.ask()).text == "yes"
    whole = {"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}], "error": nothing}
    upstream.script("m", Raw(json.dumps(whole).encode(), "application/json"))
    assert (await openai.ask()).text == "yes"


@pytest.mark.parametrize("name", ["tool_calls", "function_call"])
async def test_what_is_called_is_not_unpacked_since_nobody_carries_it_out(
    openai: Asker, upstream: Upstream, name: str
) -> None:
    """As Python's own lists it would be thirty times as large."""
    body = f'{{"choices": [{{"message": {{"{name}": [{"[]," * 300_000}[]]}}}}]}}'.encode()
    upstream.script("m", Raw(body, "application/json"))
    tracemalloc.start()
    try:
        failure = await openai.failure()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert (type(failure), failure.permanent) == (ModelAnsweredNothing, True)
    assert peak < 10 * len(body)
