"""What every provider does, whatever its dialect."""

import asyncio
import json
from dataclasses import replace

import pytest
from opentelemetry import trace
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags

from moa_server.domain.agent import ReasoningEffort, Sampling
from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.errors import ModelCredentialsRefused, ModelOnlyReasoned, ModelStreamCut, ModelTimeout
from moa_server.domain.model import FinishReason, Prompt, TimeLimits
from moa_server.domain.usage import Certainty
from moa_server.providers.dialects import DIALECTS
from tests.providers.asker import HELLO, SHORT, Asker, Key
from tests.upstream import Cut, Silence, Speech, Stage, Upstream
from tests.upstream.wires import WIRES

TEXT = "Blåbærsyltetøy is a jam – 蓝莓 – and nothing else."


def test_the_upstream_speaks_every_dialect() -> None:
    assert DIALECTS.keys() <= WIRES.keys()


async def test_an_answer_is_heard_in_pieces_and_returned_whole(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech(TEXT, token_s=0.001))
    reply = await asker.ask()
    assert reply.text == TEXT
    assert "".join(asker.heard) == TEXT
    assert len(asker.heard) > 1
    assert (reply.finish_reason, reply.served_model) == (FinishReason.STOP, "m")


async def test_reported_usage_is_known(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("one two three"))
    usage = (await asker.ask()).usage
    [call] = upstream.calls
    assert (usage.input_tokens, usage.output_tokens) == (call.input_tokens, call.tokens_sent) == (2, 3)
    assert usage.certainty is Certainty.KNOWN
    assert usage.calls == 0


async def test_the_name_that_the_endpoint_gives_is_told(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("hi", served_model="m-2026-11"))
    assert (await asker.ask()).served_model == "m-2026-11"


async def test_an_answer_that_met_its_limit_says_so(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("and then", finish="length"))
    assert (await asker.ask()).finish_reason is FinishReason.LENGTH


async def test_reasoning_is_not_heard_and_is_counted_apart(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("Four.", reasoning="two and two is"))
    reply = await asker.ask()
    assert reply.text == "Four." == "".join(asker.heard)
    assert 0 < reply.usage.reasoning_tokens <= reply.usage.output_tokens == 5


@pytest.mark.parametrize("is_shown", [True, False], ids=["shown", "only counted"])
async def test_tokens_that_all_went_into_reasoning_are_a_failure_that_names_the_setting(
    asker: Asker, upstream: Upstream, *, is_shown: bool
) -> None:
    wire = WIRES[asker.dialect]("m", 2)
    upstream.script("m", Speech("", reasoning="hm " * 9 if is_shown else "", usage=wire.usage(9, 9), finish="length"))
    failure = await asker.failure(max_output=100)
    assert (type(failure), failure.permanent) == (ModelOnlyReasoned, True)
    assert failure.metadata == {"setting": "max_output", "tokens": "100"}
    assert failure.detail.endswith("100 tokens for reasoning; raise max_output, or lower reasoning_effort")
    assert failure.usage is not None
    assert failure.usage.output_tokens == 9
    narrow = await asker.failure(Prompt(HELLO.messages, Sampling(max_tokens=9)), max_output=100)
    assert narrow.metadata == {"setting": "max_tokens", "tokens": "9"}


async def test_who_reasons_and_stops_by_itself_blames_no_setting(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("", reasoning="hm"))
    failure = await asker.failure()
    assert (type(failure), failure.metadata) == (ModelOnlyReasoned, {})


async def test_who_is_asked_to_reason_may_be_silent_for_longer_once_it_has_the_question(
    asker: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Speech("ok", first_token_s=0.4))
    prompt = replace(HELLO, sampling=Sampling(max_tokens=4096, reasoning_effort=ReasoningEffort.HIGH))
    assert (await asker.ask(prompt, times=SHORT)).text == "ok"
    assert (await asker.ask(HELLO, times=SHORT, reasons=True)).text == "ok"
    assert type(await asker.failure(HELLO, times=SHORT)) is ModelTimeout
    not_at_all = replace(HELLO, sampling=Sampling(reasoning_effort=ReasoningEffort.NONE))
    assert type(await asker.failure(not_at_all, times=SHORT, reasons=True)) is ModelTimeout


async def test_who_does_not_answer_at_all_is_not_thought_to_reason(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Silence())
    failure = await asker.failure(times=SHORT, reasons=True)
    assert (type(failure), failure.detail) == (ModelTimeout, "voice gave no token within 0.15 s")


async def test_turns_roles_and_images_reach_the_endpoint(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    picture = Image("image/png", b"\x89PNG")
    messages = (
        Message.of(Role.SYSTEM, "Be brief."),
        Message(Role.USER, (Part("What is "), Part("this? "), Part(image=picture))),
        Message.of(Role.ASSISTANT, "A picture."),
        Message(Role.USER, (Part("Of "), Part("what?"))),
    )
    await asker.ask(Prompt(messages, Sampling(temperature=0.5, top_p=0.9, max_tokens=7, stop=("END",))))
    asked = upstream.calls[0].asked
    assert [turn["role"] for turn in asked.turns] == ["user", "assistant", "user"]
    assert "Be brief." in str(asked.system)
    assert "iVBO" in str(asked.turns[0])
    assert "Of what?" in str(asked.turns[-1])
    assert (asked.temperature, asked.top_p, asked.max_tokens, asked.streams) == (0.5, 0.9, 7, True)
    assert asked.stop == (["END"] if WIRES[asker.dialect].takes_stop else None)


async def test_max_output_is_sent_when_nobody_says_less(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    await asker.ask(Prompt(HELLO.messages), max_output=77)
    assert upstream.calls[0].asked.max_tokens == 77


async def test_a_schema_reaches_the_endpoint_as_json(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("{}"))
    schema = {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"], "additionalProperties": False}
    await asker.ask(Prompt(HELLO.messages, response_schema=json.dumps(schema)))
    asked = upstream.calls[0].asked
    assert asked.schema == schema
    assert not asked.system


async def test_a_schema_that_the_endpoint_cannot_be_given_stands_in_the_instructions(
    asker: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Speech("{}"))
    await asker.ask(Prompt(HELLO.messages, response_schema='{"type":"array","items":true}'))
    asked = upstream.calls[0].asked
    assert asked.schema is None
    assert "JSON" in str(asked.system)
    assert '{"type":"array","items":true}' in str(asked.system)


async def test_the_trace_goes_with_the_question(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    span = NonRecordingSpan(SpanContext(0xABC, 0xDEF, is_remote=False, trace_flags=TraceFlags(1)))
    with trace.use_span(span):
        await asker.ask()
    assert upstream.calls[0].headers["traceparent"] == f"00-{0xABC:032x}-{0xDEF:016x}-01"


async def test_a_changed_key_is_used_by_the_next_question(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    key = Key(["first"])
    model = asker.model(api_key=key)
    for value in ("first", "second"):
        key.value[0] = value
        await asker.ask(api_key=key)
    assert model.spec.name == "voice"
    header = WIRES[asker.dialect].key_header
    assert [call.headers[header].removeprefix("Bearer ") for call in upstream.calls] == ["first", "second"]


async def test_a_key_that_would_forge_headers_is_not_sent(asker: Asker, upstream: Upstream) -> None:
    failure = await asker.failure(api_key=Key(["key\r\nx-evil: 1"]))
    assert isinstance(failure, ModelCredentialsRefused)
    assert not upstream.calls


async def test_connections_are_used_again(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    for _ in range(5):
        await asker.ask()
    assert (len(upstream.calls), upstream.connections) == (5, 1)


async def test_a_connection_is_used_again_though_the_body_ends_after_the_answer(
    asker: Asker, upstream: Upstream
) -> None:
    ended = asyncio.Event()

    async def late_end(stage: Stage) -> None:
        speech = Speech("ok")
        await speech.recite(stage)
        speech.close(stage)
        await ended.wait()
        stage.end()

    upstream.script("m", late_end, Speech("again"))
    assert (await asker.ask()).text == "ok"
    ended.set()
    await upstream.wait_for(lambda: not upstream.open_calls)
    await asyncio.sleep(0)
    assert (await asker.ask()).text == "again"


async def test_cancelling_closes_the_connection(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech(tokens=1000, token_s=0.01))
    task = asyncio.create_task(asker.ask())
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].tokens_sent > 2)
    task.cancel()
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].aborted)
    await upstream.wait_for(lambda: not upstream.open_connections)
    assert task.cancelled() or task.done()


async def test_cancelling_before_the_headers_closes_the_connection(asker: Asker, upstream: Upstream) -> None:
    async def nothing(stage: Stage) -> None:
        await stage.silence()

    upstream.script("m", nothing)
    task = asyncio.create_task(asker.ask())
    await upstream.wait_for(lambda: upstream.calls)
    task.cancel()
    await upstream.wait_for(lambda: upstream.calls[0].aborted and not upstream.open_connections)


async def test_gathering_is_not_taken_for_silence(upstream: Upstream, asker: Asker) -> None:
    """Reading pauses while it gathers; however long the window, that is not the model's silence."""
    upstream.script("m", Speech(tokens=12, token_s=0.1))
    times = TimeLimits(connect=2.0, idle=0.8, total=20.0)
    assert (await asker.ask(gather_s=5.0, times=times)).text == Speech(tokens=12).whole()


async def test_gathering_hears_the_first_token_at_once_and_the_rest_in_few_pieces(
    asker: Asker, upstream: Upstream
) -> None:
    go_on = asyncio.Event()

    async def play(stage: Stage) -> None:
        await Speech("word0 ").recite(stage)
        await go_on.wait()
        for piece in whole.pieces()[1:]:
            stage.send(stage.events.piece(piece))
            await asyncio.sleep(0)
        whole.close(stage)
        stage.end()

    whole = Speech(tokens=50)
    heard_first = asyncio.Event()
    upstream.script("m", play)
    asker.on_heard = heard_first.set
    task = asyncio.create_task(asker.ask(gather_s=10.0))
    await heard_first.wait()
    assert asker.heard == ["word0 "]
    go_on.set()
    reply = await task  # the body's end, not the window's, ends the gathering
    assert reply.text == whole.whole() == "".join(asker.heard)
    assert len(asker.heard) == 2


async def test_ten_thousand_deltas_at_once_are_one_answer(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech(tokens=10_000))
    reply = await asker.ask(Prompt(HELLO.messages, Sampling(max_tokens=10_000)), gather_s=0.01)
    assert reply.text == Speech(tokens=10_000).whole()
    assert reply.usage.output_tokens == 10_000


async def test_what_a_cut_answer_used_is_told(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Cut(Speech(TEXT), 3))
    failure = await asker.failure()
    assert isinstance(failure, ModelStreamCut)
    assert failure.usage is not None
    assert failure.usage.certainty is Certainty.ESTIMATED
    assert failure.usage.input_tokens >= 2
    assert failure.usage.output_tokens >= 3


async def test_a_body_of_many_megabytes_is_sent(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("ok"))
    big = Prompt((Message.of(Role.USER, "x" * 3_000_000),))
    assert (await asker.ask(big)).text == "ok"
    assert "x" * 3_000_000 in str(upstream.calls[0].body)


async def test_an_answer_that_is_complete_is_not_lost_with_its_connection(asker: Asker, upstream: Upstream) -> None:
    async def play(stage: Stage) -> None:
        await Speech("done so").recite(stage)
        stage.send(stage.events.closing("stop", None, done=False))
        await asyncio.sleep(0.02)  # a reset that overtakes the data would be another fault
        stage.reset()

    upstream.script("m", play)
    reply = await asker.ask()
    assert (reply.text, reply.usage.certainty) == ("done so", Certainty.ESTIMATED)
