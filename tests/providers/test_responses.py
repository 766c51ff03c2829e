"""What Responses has of its own."""

import json
from typing import Any

import pytest

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelError,
    ModelOnlyReasoned,
    ModelQuotaExhausted,
    ModelRefused,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
)
from moa_server.domain.model import FinishReason, Prompt, TimeLimits
from moa_server.domain.usage import Certainty, Usage
from moa_server.providers import Transport
from tests.providers.asker import HELLO, SHORT, Asker
from tests.upstream import Events, Speech, Stage, Upstream
from tests.upstream.wire import event as sse

CLOSED = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": False}


@pytest.fixture
def responses(upstream: Upstream, http: Transport) -> Asker:
    return Asker("responses", upstream.endpoint, http)


def event(kind: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401 - whatever an event has
    return {"type": f"response.{kind}", "sequence_number": 1, **fields}


def response(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return {"id": "r-1", "object": "response", "model": "m-1", "output": [], **fields}


def text(words: str, place: int = 0) -> dict[str, Any]:
    return event("output_text.delta", item_id="i", output_index=place, content_index=0, delta=words, logprobs=[])


def item(kind: str, place: int = 0, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return event("output_item.added", output_index=place, item={"id": "i", "type": kind, **fields})


def message(words: str, **fields: Any) -> dict[str, Any]:  # noqa: ANN401
    parts = [{"type": "output_text", "text": words, "annotations": []}]
    return {"id": "i", "type": "message", "role": "assistant", "content": parts, **fields}


def usage(output: int, reasoned: int = 0) -> dict[str, Any]:
    return {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": reasoned},
        "total_tokens": 9 + output,
    }


def completed(**fields: Any) -> dict[str, Any]:  # noqa: ANN401
    return event("completed", response=response(status="completed", **fields))


async def test_the_whole_request(responses: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    sampling = Sampling(0.0, 0.5, 9, 7, ("a", "b"), 0.1, 0.2, ReasoningEffort.MAX, 5)
    picture = Message(Role.USER, (Part("What is "), Part("this?"), Part(image=Image("image/png", b"\x89PNG"))))
    messages = (Message.of(Role.SYSTEM, "Be brief."), picture)
    dialect = {"body": {"service_tier": "flex", "stream": False}}
    prompt = Prompt(messages, sampling, json.dumps(CLOSED), logprobs=True)
    await responses.ask(prompt, dialect=dialect)
    [call] = upstream.calls
    assert call.path == "/v1/responses"
    assert call.body == {
        "model": "m",
        "input": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is "},
                    {"type": "input_text", "text": "this?"},
                    {"type": "input_image", "image_url": "data:image/png;base64,iVBORw==", "detail": "auto"},
                ],
            },
        ],
        "max_output_tokens": 9,
        "store": False,
        "temperature": 0.0,
        "top_p": 0.5,
        "reasoning": {"effort": "high"},
        "text": {
            "format": {"type": "json_schema", "name": "answer", "strict": True, "schema": CLOSED},
        },
        "service_tier": "flex",
        "stream": True,
    }


async def test_a_request_to_an_endpoint_of_other_habits(responses: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    dialect = {"system_role": "system", "sends_sampling": False, "efforts": ()}
    messages = (Message.of(Role.SYSTEM, "Be brief."), *HELLO.messages)
    sampling = Sampling(0.0, 0.5, 9, reasoning_effort=ReasoningEffort.LOW)
    await responses.ask(Prompt(messages, sampling), dialect=dialect)
    assert upstream.calls[0].body == {
        "model": "m",
        "input": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello there"}],
        "max_output_tokens": 9,
        "store": False,
        "stream": True,
    }


@pytest.mark.parametrize(("form", "said"), [("json_object", {"format": {"type": "json_object"}}), ("none", None)])
async def test_an_endpoint_that_knows_no_schemas(
    responses: Asker, upstream: Upstream, form: str, said: dict[str, Any] | None
) -> None:
    upstream.script("m", Speech("{}"))
    await responses.ask(Prompt(HELLO.messages, response_schema=json.dumps(CLOSED)), dialect={"schema": form})
    assert upstream.calls[0].body.get("text") == said


async def test_a_whole_stream_as_it_comes(responses: Asker, upstream: Upstream) -> None:
    """Texts are told again when a part, an item and the answer are done; none is heard twice."""
    upstream.script(
        "m",
        Events(
            event("created", response=response(status="in_progress")),
            event("in_progress", response=response(status="in_progress")),
            item("reasoning", 0, summary=[]),
            event("reasoning_summary_part.added", output_index=0, part={"type": "summary_text", "text": ""}),
            event("reasoning_summary_text.delta", output_index=0, summary_index=0, delta="let me see"),
            event("reasoning_summary_text.done", output_index=0, summary_index=0, text="let me see"),
            event("output_item.done", output_index=0, item={"type": "reasoning", "summary": []}),
            item("message", 1, content=[], role="assistant"),
            event("content_part.added", output_index=1, part={"type": "output_text", "text": ""}),
            text("It is ", 1),
            text("four.", 1),
            event("output_text.done", output_index=1, text="It is four."),
            event("content_part.done", output_index=1, part={"type": "output_text", "text": "It is four."}),
            event("output_item.done", output_index=1, item=message("It is four.")),
            completed(output=[{"type": "reasoning", "summary": []}, message("It is four.")], usage=usage(7, 4)),
        ),
    )
    reply = await responses.ask()
    assert (reply.text, "".join(responses.heard)) == ("It is four.", "It is four.")
    assert (reply.served_model, reply.finish_reason) == ("m-1", FinishReason.STOP)
    assert reply.usage == Usage(0, 9, 7, 4, 4)


async def test_an_answer_that_only_comes_whole_is_read(responses: Asker, upstream: Upstream) -> None:
    output = [message("not this", phase="commentary"), message("yes", phase="final_answer")]
    upstream.script("m", Events(completed(output=output, usage=usage(7))))
    assert (await responses.ask()).text == "yes"


async def test_reasoning_that_only_comes_whole_and_is_all_there_is_is_told(
    responses: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Events(completed(output=[{"type": "reasoning", "summary": []}])))
    assert type(await responses.failure()) is ModelOnlyReasoned


async def test_what_is_said_on_the_way_to_an_answer_is_no_part_of_it(responses: Asker, upstream: Upstream) -> None:
    aside, answer = item("message", 0, phase="commentary"), item("message", 1, phase="final_answer")
    upstream.script("m", Events(aside, text("I will look", 0), answer, text("yes", 1), completed(usage=usage(7))))
    reply = await responses.ask()
    assert (reply.text, responses.heard) == ("yes", ["yes"])


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("max_output_tokens", FinishReason.LENGTH),
        ("content_filter", FinishReason.CONTENT_FILTER),
        ("moonrise", FinishReason.OTHER),
        (None, FinishReason.OTHER),
    ],
)
async def test_why_it_is_incomplete(
    responses: Asker, upstream: Upstream, reason: str | None, finish: FinishReason
) -> None:
    details = None if reason is None else {"reason": reason}
    upstream.script(
        "m", Events(text("yes"), event("incomplete", response=response(incomplete_details=details, usage=usage(3))))
    )
    assert (await responses.ask()).finish_reason is finish


async def test_an_answer_may_be_cut_though_its_last_event_calls_it_completed(
    responses: Asker, upstream: Upstream
) -> None:
    cut = event("completed", response=response(status="incomplete", incomplete_details={"reason": "max_output_tokens"}))
    upstream.script("m", Events(text("yes"), cut))
    assert (await responses.ask()).finish_reason is FinishReason.LENGTH


@pytest.mark.parametrize("where", ["item", "output"])
@pytest.mark.parametrize("kind", ["function_call", "custom_tool_call"])
async def test_a_call_of_a_tool_is_no_answer(responses: Asker, upstream: Upstream, kind: str, where: str) -> None:
    call = {"name": "look_up", "call_id": "c", "arguments": "{}"}
    if where == "item":
        upstream.script("m", Events(item(kind, 0, **call), completed(usage=usage(3))))
    else:
        upstream.script("m", Events(completed(output=[{"type": kind, **call}], usage=usage(3))))
    failure = await responses.failure()
    assert (type(failure), failure.permanent) == (ModelAnsweredNothing, True)
    assert failure.detail == "voice called a tool in place of an answer, though it is offered none"


async def test_what_the_endpoint_looks_up_by_itself_is_left_alone(responses: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(item("web_search_call"), text("yes", 1), completed(usage=usage(3))))
    assert (await responses.ask()).text == "yes"


@pytest.mark.parametrize("refusal", [event("refusal.delta", delta="I won't"), completed(
    output=[{"type": "message", "content": [{"type": "refusal", "refusal": "I won't"}]}], usage=usage(3))],
    ids=["streamed", "whole"])  # fmt: skip
async def test_a_refusal(responses: Asker, upstream: Upstream, refusal: dict[str, Any]) -> None:
    upstream.script("m", Events(refusal, completed(usage=usage(3))))
    assert type(await responses.failure()) is ModelRefused


@pytest.mark.parametrize(
    ("last", "kind"),
    [
        (event("failed", response=response(error={"code": "server_error", "message": "no"})), ModelUnavailable),
        (event("failed", response=response(error={"code": "rate_limit_exceeded", "message": "no"})), ModelThrottled),
        (event("failed", response=response(error={"code": "invalid_prompt", "message": "no"})), ModelRefused),
        (event("failed", response=response(error=None)), ModelUnavailable),
        ({"type": "error", "code": "rate_limit_exceeded", "message": "no", "param": None}, ModelThrottled),
        ({"type": "error", "error": {"code": "slow_down", "message": "no"}}, ModelUnavailable),
        ({"error": {"type": "insufficient_quota", "message": "no"}}, ModelQuotaExhausted),
    ],
)
async def test_a_failure_inside_a_stream(
    responses: Asker, upstream: Upstream, last: dict[str, Any], kind: type[ModelError]
) -> None:
    upstream.script("m", Events(text("yes"), last))
    failure = await responses.failure()
    assert type(failure) is kind
    assert failure.usage is not None
    assert failure.usage.output_tokens > 0


async def test_a_stream_without_its_last_event_is_cut(responses: Asker, upstream: Upstream) -> None:
    upstream.script("m", Events(text("yes"), event("output_text.done", text="yes")))
    assert type(await responses.failure()) is ModelStreamCut


@pytest.mark.parametrize(
    "counts", [{"input_tokens": "9"}, {"input_tokens": 9, "output_tokens": -1}, {}, None, usage(3, 4)]
)
async def test_counts_that_cannot_be_are_not_believed(
    responses: Asker, upstream: Upstream, counts: dict[str, Any] | None
) -> None:
    upstream.script("m", Events(text("yes"), completed(usage=counts)))
    assert (await responses.ask()).usage.certainty is Certainty.ESTIMATED


async def test_events_of_types_to_come_are_left_alone(responses: Asker, upstream: Upstream) -> None:
    news = event("hologram.delta", delta={"x": 1}, output_index=3)
    upstream.script("m", Events(news, {"type": "novelty"}, text("yes"), completed(usage=usage(3))))
    assert (await responses.ask()).text == "yes"


async def test_reasoning_that_is_not_shown_is_no_silence(responses: Asker, upstream: Upstream) -> None:
    async def play(stage: Stage) -> None:
        stage.head()
        stage.send(sse(item("reasoning")))
        await stage.pause(0.4)
        for said in (event("output_item.done", item={"type": "reasoning"}), text("yes"), completed(usage=usage(7, 5))):
            stage.send(sse(said))
        stage.end()

    upstream.script("m", play)
    assert (await responses.ask(times=SHORT)).text == "yes"


async def test_reasoning_that_is_not_shown_has_its_limit(responses: Asker, upstream: Upstream) -> None:
    async def play(stage: Stage) -> None:
        stage.head()
        stage.send(sse(item("reasoning")))
        await stage.silence()

    upstream.script("m", play)
    failure = await responses.failure(times=TimeLimits(first_token=0.05, idle=0.05, reasoning=0.2, total=5.0))
    assert (type(failure), failure.detail) == (ModelTimeout, "voice reasoned for 0.2 s without a word")


async def test_reasoning_that_was_only_counted_is_told(responses: Asker, upstream: Upstream) -> None:
    details = {"reason": "max_output_tokens"}
    last = event("incomplete", response=response(incomplete_details=details, usage=usage(100, 100)))
    upstream.script("m", Events(item("reasoning"), last))
    failure = await responses.failure()
    assert type(failure) is ModelOnlyReasoned
    assert failure.metadata == {"setting": "max_tokens", "tokens": "100"}
    assert failure.usage == Usage(0, 9, 100, 4, 100)
