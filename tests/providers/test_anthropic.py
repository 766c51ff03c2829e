"""What Messages has of its own."""

import json
from typing import Any

import pytest

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelOnlyReasoned,
    ModelProtocolBroken,
    ModelRefused,
    ModelThrottled,
    ModelUnavailable,
)
from moa_server.domain.model import FinishReason, Prompt
from moa_server.domain.usage import Certainty, Usage
from moa_server.providers import Transport, unsent_settings
from tests.providers.asker import HELLO, SHORT, Asker, Key
from tests.upstream import Events, Raw, Speech, Stage, Upstream
from tests.upstream.wire import event as sse


@pytest.fixture
def anthropic(upstream: Upstream, http: Transport) -> Asker:
    return Asker("anthropic", upstream.endpoint, http)


def start(**usage: int) -> dict[str, Any]:
    return {"type": "message_start", "message": {"model": "m-1", "usage": usage}}


def text(words: str) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": words}}


def stop(reason: str = "end_turn", **usage: Any) -> dict[str, Any]:  # noqa: ANN401 - the counts' own kinds vary
    return {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage}


END = {"type": "message_stop"}
CALL = {"type": "content_block_start", "index": 1, "content_block": {"type": "tool_use", "id": "t", "name": "look"}}


async def test_the_whole_request(anthropic: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    messages = (Message.of(Role.SYSTEM, "Be brief."), *HELLO.messages, Message.of(Role.SYSTEM, "Be kind."))
    sampling = Sampling(0.0, None, 9, 7, ("a", "b"), 0.1, 0.2)
    dialect = {"prompt_cache": True, "body": {"metadata": {"user_id": "moa"}}}
    schema = '{"type": "object", "properties": {"total": {"type": "integer", "minimum": 0}}}'
    await anthropic.ask(Prompt(messages, sampling, schema), dialect=dialect, api_key=Key(["k"]))
    [call] = upstream.calls
    assert call.path == "/v1/messages"
    assert (call.headers["x-api-key"], call.headers["anthropic-version"]) == ("k", "2023-06-01")
    assert call.body == {
        "model": "m",
        "max_tokens": 9,
        "temperature": 0.0,
        "stop_sequences": ["a", "b"],
        "system": [
            {"type": "text", "text": "Be brief."},
            {"type": "text", "text": "Be kind.", "cache_control": {"type": "ephemeral"}},
        ],
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Hello there"}]}],
        "output_config": {
            "format": {
                "type": "json_schema",
                "schema": {
                    "type": "object",
                    "properties": {"total": {"type": "integer", "description": "minimum: 0"}},
                    "additionalProperties": False,
                },
            }
        },
        "metadata": {"user_id": "moa"},
        "stream": True,
    }


@pytest.mark.parametrize(
    ("sampling", "dialect", "sent", "left_out"),
    [
        (Sampling(0.5, 0.9), {}, {"temperature": 0.5, "top_p": 0.9}, set()),
        (Sampling(0.5, 0.9), {"both_samplings": False}, {"temperature": 0.5}, {"top_p"}),
        (Sampling(None, 0.9), {"both_samplings": False}, {"top_p": 0.9}, set()),
        (Sampling(1.0), {"most_temperature": 1.0}, {"temperature": 1.0}, set()),
        (Sampling(1.5, 0.9), {"most_temperature": 1.0, "both_samplings": False}, {"top_p": 0.9}, {"temperature"}),
        (Sampling(2.0), {}, {"temperature": 2.0}, set()),
        (Sampling(0.5, 0.9), {"sends_sampling": False}, {}, {"temperature", "top_p"}),
        (Sampling(stop=("\n\n", "END", " ")), {"blank_stops": False}, {"stop_sequences": ["END"]}, {"stop"}),
        (Sampling(stop=("\n",)), {"blank_stops": False}, {}, {"stop"}),
        (Sampling(stop=("\n",)), {}, {"stop_sequences": ["\n"]}, set()),
        (Sampling(seed=7, presence_penalty=0.1), {}, {}, {"seed", "presence_penalty"}),
    ],
)
async def test_what_its_house_refuses_is_not_sent_and_told(
    anthropic: Asker,
    upstream: Upstream,
    sampling: Sampling,
    dialect: dict[str, Any],
    sent: dict[str, Any],
    left_out: set[str],
) -> None:
    upstream.script("m", Speech("ok"))
    reply = await anthropic.ask(Prompt(HELLO.messages, sampling), dialect=dialect)
    [call] = upstream.calls
    assert {name: call.body[name] for name in ("temperature", "top_p", "stop_sequences") if name in call.body} == sent
    assert reply.left_out == left_out
    assert unsent_settings(anthropic.model(dialect=dialect).spec, sampling).keys() == left_out


async def test_only_turns_before_the_last_are_marked_for_the_cache(anthropic: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    messages = (*HELLO.messages, Message.of(Role.ASSISTANT, "Hi"), Message.of(Role.USER, "Go on"))
    await anthropic.ask(Prompt(messages), dialect={"prompt_cache": True})
    marks = ["cache_control" in turn["content"][-1] for turn in upstream.calls[0].body["messages"]]
    assert marks == [False, True, False]


async def test_counts_are_sums_so_far_and_cached_input_is_input(anthropic: Asker, upstream: Upstream) -> None:
    begin = start(input_tokens=10, cache_read_input_tokens=100, cache_creation_input_tokens=20, output_tokens=1)
    end = stop(output_tokens=7, output_tokens_details={"thinking_tokens": 2})
    upstream.script("m", Events(begin, text("yes"), end, END))
    reply = await anthropic.ask()
    assert reply.usage == Usage(0, 130, 7, 100, 2, cache_write_tokens=20)
    assert reply.served_model == "m-1"


EFFORTS: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    ({"effort": "medium"}, {}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "medium"}}),
    ({"effort": "minimal"}, {}, {"thinking": {"type": "adaptive"}, "output_config": {"effort": "low"}}),
    ({"effort": "none"}, {}, {"temperature": 0.5, "output_config": {"effort": "low"}}),
    (
        {"effort": "none"},
        {"efforts": ("none", "low")},
        {"temperature": 0.5, "thinking": {"type": "disabled"}},
    ),
    ({"effort": "high"}, {"efforts": ()}, {"temperature": 0.5}),
    ({"tokens": 2000}, {}, {"temperature": 0.5}),
    ({"tokens": 2000}, {"thinking": "budget"}, {"thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ({"effort": "medium"}, {"thinking": "budget"}, {"thinking": {"type": "enabled", "budget_tokens": 2048}}),
    ({"tokens": 9000}, {"thinking": "budget"}, {"thinking": {"type": "enabled", "budget_tokens": 3686}}),
    ({"effort": "none", "tokens": 2000}, {"thinking": "budget"}, {"temperature": 0.5}),
    ({}, {"thinking": "budget"}, {"temperature": 0.5}),
]


@pytest.mark.parametrize(("asked", "dialect", "said"), EFFORTS)
async def test_how_it_is_told_to_reason(
    anthropic: Asker, upstream: Upstream, asked: dict[str, Any], dialect: dict[str, Any], said: dict[str, Any]
) -> None:
    """Where it thinks, nothing is said of how it picks its words."""
    upstream.script("m", Speech("ok"))
    effort = ReasoningEffort(asked["effort"]) if "effort" in asked else None
    sampling = Sampling(0.5, None, 4096, reasoning_effort=effort, reasoning_tokens=asked.get("tokens"))
    await anthropic.ask(Prompt(HELLO.messages, sampling), dialect=dialect, max_output=4096)
    body = upstream.calls[0].body
    assert {name: body[name] for name in body.keys() - {"model", "messages", "max_tokens", "stream"}} == said


async def test_an_effort_a_schema_and_what_the_operator_adds_stand_side_by_side(
    anthropic: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Speech("ok"))
    dialect = {"body": {"output_config": {"task_budget": 7}}}
    schema = {"type": "object", "properties": {}, "additionalProperties": False}
    sampling = Sampling(reasoning_effort=ReasoningEffort.HIGH)
    await anthropic.ask(Prompt(HELLO.messages, sampling, json.dumps(schema)), dialect=dialect)
    assert upstream.calls[0].body["output_config"] == {
        "effort": "high",
        "format": {"type": "json_schema", "schema": schema},
        "task_budget": 7,
    }


@pytest.mark.parametrize("unseen", [{"type": "thinking", "thinking": ""}, {"type": "redacted_thinking", "data": "x"}])
@pytest.mark.parametrize("stopped", ["end_turn", "max_tokens"])
async def test_a_whole_answer_of_nothing_but_unseen_thinking_is_known_as_one(
    anthropic: Asker, upstream: Upstream, unseen: dict[str, Any], stopped: str
) -> None:
    message = {"type": "message", "content": [unseen], "stop_reason": stopped}
    upstream.script("m", Raw(json.dumps(message).encode(), "application/json"))
    failure = await anthropic.failure(dialect={"stream": False})
    assert (type(failure), failure.permanent) == (ModelOnlyReasoned, True)


@pytest.mark.parametrize("kind", ["thinking", "redacted_thinking"])
async def test_thinking_that_is_left_out_is_no_silence(anthropic: Asker, upstream: Upstream, kind: str) -> None:
    async def play(stage: Stage) -> None:
        stage.head()
        stage.send(sse(start(input_tokens=5)))
        stage.send(sse({"type": "content_block_start", "index": 0, "content_block": {"type": kind, "thinking": ""}}))
        for _ in range(4):
            await stage.pause(0.1)
            stage.send(sse({"type": "ping"}))
        signed = {"type": "signature_delta", "signature": "EqQBCgIYAhIM"}
        stage.send(sse({"type": "content_block_delta", "index": 0, "delta": signed}))
        stage.send(sse({"type": "content_block_stop", "index": 0}))
        for said in (text("yes"), stop(output_tokens=40, output_tokens_details={"thinking_tokens": 39}), END):
            stage.send(sse(said))
        stage.end()

    upstream.script("m", play)
    reply = await anthropic.ask(times=SHORT)
    assert (reply.text, reply.usage.reasoning_tokens) == ("yes", 39)


async def test_after_thinking_silence_is_silence_again(anthropic: Asker, upstream: Upstream) -> None:
    async def play(stage: Stage) -> None:
        stage.head()
        stage.send(sse(start(input_tokens=5)))
        stage.send(sse({"type": "content_block_start", "index": 0, "content_block": {"type": "thinking"}}))
        stage.send(sse({"type": "content_block_stop", "index": 0}))
        await stage.silence()

    upstream.script("m", play)
    failure = await anthropic.failure(times=SHORT)
    assert failure.detail == "voice was silent for 0.15 s between two tokens"


async def test_thinking_that_was_left_out_and_is_all_there_is_is_told(anthropic: Asker, upstream: Upstream) -> None:
    thinking = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    end = {"type": "content_block_stop", "index": 0}
    upstream.script("m", Events(start(input_tokens=5), thinking, end, stop("max_tokens", output_tokens=100), END))
    failure = await anthropic.failure()
    assert type(failure) is ModelOnlyReasoned
    assert failure.metadata == {"setting": "max_tokens", "tokens": "100"}


@pytest.mark.parametrize("counts", [{"output_tokens": -1}, {"output_tokens": "7"}, {"input_tokens": -1}, {}])
async def test_counts_that_cannot_be_are_not_believed(
    anthropic: Asker, upstream: Upstream, counts: dict[str, Any]
) -> None:
    upstream.script("m", Events(start(input_tokens=5), text("yes"), stop(**counts), END))
    assert (await anthropic.ask()).usage.certainty is Certainty.ESTIMATED


async def test_what_was_written_to_a_cache_is_known_of_an_answer_that_broke_off(
    anthropic: Asker, upstream: Upstream
) -> None:
    begin = start(input_tokens=10, cache_creation_input_tokens=20, output_tokens=1)
    upstream.script("m", Events(begin, text("yes and")))
    failure = await anthropic.failure()
    assert failure.usage is not None
    assert (failure.usage.input_tokens, failure.usage.cache_write_tokens) == (30, 20)
    assert failure.usage.certainty is Certainty.ESTIMATED


async def test_a_refusal_voids_its_text(anthropic: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(start(input_tokens=5), text("I could"), stop("refusal", output_tokens=2), END))
    failure = await anthropic.failure()
    assert type(failure) is ModelRefused
    assert failure.usage == Usage(0, 5, 2)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", FinishReason.STOP),
        ("stop_sequence", FinishReason.STOP),
        ("max_tokens", FinishReason.LENGTH),
        ("model_context_window_exceeded", FinishReason.LENGTH),
        ("pause_turn", FinishReason.OTHER),
    ],
)
async def test_why_it_stopped(anthropic: Asker, upstream: Upstream, reason: str, finish: FinishReason) -> None:
    upstream.script("m", Events(start(input_tokens=5), text("yes"), stop(reason, output_tokens=1)))
    assert (await anthropic.ask()).finish_reason is finish


@pytest.mark.parametrize(
    "events",
    [
        [CALL, stop("tool_use", output_tokens=9), END],
        [text("Let me look."), CALL, stop("tool_use", output_tokens=9), END],
        [CALL, stop("end_turn", output_tokens=9), END],
    ],
    ids=["alone", "after words", "by its block alone"],
)
async def test_a_tool_that_is_called_is_no_answer(
    anthropic: Asker, upstream: Upstream, events: list[dict[str, Any]]
) -> None:
    upstream.script("m", Events(start(input_tokens=5), *events))
    failure = await anthropic.failure()
    assert (type(failure), failure.permanent) == (ModelAnsweredNothing, True)
    assert failure.detail == "voice called a tool in place of an answer, though it is offered none"
    assert failure.usage == Usage(0, 5, 9)


@pytest.mark.parametrize(
    ("kind", "error"),
    [("overloaded_error", ModelUnavailable), ("rate_limit_error", ModelThrottled), ("new_error", ModelUnavailable)],
)
async def test_an_error_event(anthropic: Asker, upstream: Upstream, kind: str, error: type[Exception]) -> None:
    upstream.script("m", Events(start(input_tokens=5), {"type": "error", "error": {"type": kind, "message": "no"}}))
    failure = await anthropic.failure()
    assert type(failure) is error
    assert failure.usage is not None
    assert failure.usage.input_tokens == 5


async def test_events_of_types_to_come_are_left_alone(anthropic: Asker, upstream: Upstream) -> None:
    news = {"type": "content_block_delta", "index": 0, "delta": {"type": "hologram_delta", "text": "?"}}
    begin = {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "oh "}}
    events = (start(input_tokens=5), {"type": "novelty", "x": 1}, begin, news, text("yes"), stop(output_tokens=1), END)
    upstream.script("m", Events(*events))
    assert (await anthropic.ask()).text == "oh yes"


async def test_an_event_without_a_type_is_no_event(anthropic: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events({"choices": []}))
    assert type(await anthropic.failure()) is ModelProtocolBroken
