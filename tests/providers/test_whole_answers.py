"""An answer in one piece is an answer too, in every dialect, as it was asked for or not."""

import asyncio
import json
from typing import Any

import pytest
import structlog

from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelAnswerTooLong,
    ModelError,
    ModelOnlyReasoned,
    ModelProtocolBroken,
    ModelRefused,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
)
from moa_server.domain.model import FinishReason, ModelSpec, Prompt, TimeLimits
from moa_server.domain.ports import CallTerms
from moa_server.domain.reliability import BreakerRule, Reliability
from moa_server.domain.usage import Certainty
from moa_server.models.breaker import Breaker
from moa_server.models.stack import core
from moa_server.providers.log_throttle import LogThrottle
from tests.models.timeless_loop import now, timeless
from tests.providers.asker import HELLO, SHORT, Asker
from tests.upstream import Drip, Raw, Script, Silence, Speech, Stage, Upstream, Whole
from tests.upstream.wires import WIRES

WHOLE: dict[str, Any] = {"dialect": {"stream": False}}
JSON = "application/json"


@pytest.mark.parametrize("changes", [WHOLE, {}], ids=["asked for", "not asked for"])
async def test_an_answer_in_one_piece(asker: Asker, upstream: Upstream, changes: dict[str, Any]) -> None:
    upstream.script("m", Whole(Speech("one two three", reasoning="well now", served_model="m-2026-11")))
    reply = await asker.ask(**changes)
    assert (reply.text, asker.heard) == ("one two three", ["one two three"])
    assert (reply.finish_reason, reply.served_model) == (FinishReason.STOP, "m-2026-11")
    [call] = upstream.calls
    assert (reply.usage.input_tokens, reply.usage.output_tokens) == (call.input_tokens, call.tokens_sent)


async def test_it_is_asked_for_by_a_request_without_a_stream(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("ok")))
    await asker.ask(dialect={"stream": False, "body": {"stream": True, "stream_options": {"include_usage": True}}})
    [call] = upstream.calls
    assert call.body["stream"] is False
    assert call.headers["accept"] == JSON
    await asker.ask()
    assert upstream.calls[1].body["stream"] is True
    assert upstream.calls[1].headers["accept"] == "text/event-stream"


async def test_no_stream_options_are_sent_without_a_stream(openai: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("ok")))
    await openai.ask(dialect={"stream": False, "body": {"stream_options": {"include_usage": True}}})
    assert "stream_options" not in upstream.calls[0].body


async def test_who_streams_all_the_same_is_heard(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("one two"))
    assert (await asker.ask(**WHOLE)).text == "one two"
    assert len(upstream.calls) == 1


async def test_usage_that_is_not_reported_is_estimated(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("one two three", usage=None)))
    usage = (await asker.ask()).usage
    assert usage.certainty is Certainty.ESTIMATED
    assert usage.input_tokens >= 2
    assert usage.output_tokens >= 3


@pytest.mark.parametrize(
    ("finish", "reason"),
    [("length", FinishReason.LENGTH), (None, FinishReason.UNSPECIFIED), ("rare_word", FinishReason.OTHER)],
)
async def test_why_it_stopped_is_told(
    asker: Asker, upstream: Upstream, finish: str | None, reason: FinishReason
) -> None:
    upstream.script("m", Whole(Speech("so", finish=finish)))
    assert (await asker.ask()).finish_reason is reason


async def test_a_whole_refusal_is_one(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("", finish="content_filter")))
    assert type(await asker.failure()) is ModelRefused


async def test_silence_before_a_whole_answer_is_not_the_models(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("late but whole", first_token_s=0.5)))
    assert (await asker.ask(times=SHORT, **WHOLE)).text == "late but whole"


async def test_the_body_of_a_whole_answer_may_come_slowly_once_it_has_begun(asker: Asker, upstream: Upstream) -> None:
    async def slowly(stage: Stage) -> None:
        body = json.dumps(stage.events.whole("slow", "stop", None)).encode()
        stage.head(200, {"content-type": JSON})
        for start in range(0, len(body), 40):
            stage.send(body[start : start + 40])
            await asyncio.sleep(0.1)
        stage.end()

    upstream.script("m", slowly)
    assert (await asker.ask(times=SHORT)).text == "slow"


async def test_only_the_time_of_the_whole_is_limited(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Silence())
    failure = await asker.failure(times=TimeLimits(first_token=0.05, idle=0.05, total=0.3), **WHOLE)
    assert (type(failure), failure.detail) == (ModelTimeout, "voice had not finished after 0.3 s")
    failure = await asker.failure(speak_within_s=0.1, **WHOLE)
    assert failure.detail == "voice gave no token while there was time for others to stand in"


async def test_a_body_that_never_ends_leaves_others_the_time_to_stand_in(asker: Asker, upstream: Upstream) -> None:
    async def begin(stage: Stage) -> None:
        stage.head(200, {"content-type": JSON})
        stage.send(b" ")
        await stage.silence()

    upstream.script("m", begin)
    ways: tuple[dict[str, Any], ...] = (WHOLE, {})
    for changes in ways:
        failure = await asker.failure(speak_within_s=0.1, within_s=1.0, **changes)
        assert failure.detail == "voice gave no token while there was time for others to stand in"


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        (Raw(b'{"error": {"message": "slow down", "type": "rate_limit_error"}}', JSON), ModelThrottled),
        (Raw(b'[{"error": {"message": "oops", "code": 503}}]', JSON), ModelUnavailable),
        (Raw(b'{"object": "error", "message": "oops", "type": "server_error", "code": 500}', JSON), ModelUnavailable),
        (Raw(b'{"detail": "the model is overloaded"}', "application/problem+json"), ModelUnavailable),
        (Raw(b'{"type": "event", "message": "hello"}', JSON), ModelProtocolBroken),
        (Raw(b'{"choices": [], "error": null}', JSON), ModelProtocolBroken),
        (Raw(b'{"choices": 7}', JSON), ModelProtocolBroken),
        (Raw(b"{}", JSON), ModelProtocolBroken),
        (Raw(b"", JSON), ModelProtocolBroken),
        (Raw(b'"yes"', JSON), ModelProtocolBroken),
        (Raw(b"\xff\xfe{}", JSON), ModelProtocolBroken),
        (Raw(b"[" * 100_000, JSON), ModelProtocolBroken),
        (Whole(Speech("yes"), "text/plain"), ModelProtocolBroken),
        (Whole(Speech("yes"), cut=30), ModelProtocolBroken),
        (Whole(Speech("yes"), cut=30, by="reset"), ModelStreamCut),
        (Whole(Speech("yes"), cut=30, by="close"), ModelStreamCut),
        (Whole(Speech("")), ModelAnsweredNothing),
        (Whole(Speech("", reasoning="deep thought")), ModelOnlyReasoned),
    ],
)
@pytest.mark.parametrize("changes", [WHOLE, {}], ids=["asked for", "not asked for"])
async def test_a_fault_in_the_place_of_a_whole_answer(
    asker: Asker, upstream: Upstream, script: Script, kind: type[ModelError], changes: dict[str, Any]
) -> None:
    upstream.script("m", script)
    assert type(await asker.failure(**changes)) is kind
    assert asker.heard == []
    await upstream.wait_for(lambda: not upstream.open_calls)


async def test_an_answer_that_speaks_of_errors_is_an_answer(asker: Asker, upstream: Upstream) -> None:
    """It has a type and a code, as error objects have; but it does not say that it is one."""
    said = '{"error": {"message": "this is an example", "code": "server_error"}}'
    wire = WIRES[asker.dialect]("m", 2)
    body = {**wire.whole(said, "stop", wire.usage(1, 0)), "code": 200, "status": "ok", "message": "done", "error": None}
    upstream.script("m", Raw(json.dumps(body).encode(), JSON))
    assert (await asker.ask()).text == said


async def test_no_body_is_read_without_end(asker: Asker, upstream: Upstream) -> None:
    async def endless(stage: Stage) -> None:
        stage.head(200, {"content-type": JSON})
        stage.send(b'{"x": "')
        while True:
            stage.send(b"x" * 65536)
            await stage.pause(0.0005)

    upstream.script("m", endless)
    failure = await asker.failure()
    assert type(failure) is ModelAnswerTooLong
    assert failure.usage is not None
    await upstream.wait_for(lambda: upstream.calls and upstream.calls[0].aborted)


async def test_a_whole_answer_is_no_longer_than_any_other(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Whole(Speech("x" * 3_000_000)))
    assert type(await asker.failure()) is ModelAnswerTooLong


async def test_a_stream_of_single_bytes_is_patiently_read_where_answers_come_whole(
    asker: Asker, upstream: Upstream
) -> None:
    upstream.script("m", Drip(Speech("so"), 0.001))
    assert (await asker.ask(times=SHORT, **WHOLE)).text == "so"


class HearsAtTheEnd:
    """A model whose answers come whole, after so many seconds each."""

    def __init__(self, spec: ModelSpec, *seconds: float) -> None:
        self.spec = spec
        self._seconds = list(seconds)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Any:  # noqa: ANN401 - nothing is said
        await asyncio.sleep(self._seconds.pop(0))
        terms.hear("ok")
        terms.alive()


@pytest.mark.parametrize(("until_whole", "opens"), [(True, False), (False, True)])
@timeless
async def test_the_length_of_a_whole_answer_opens_no_breaker(until_whole: bool, opens: bool) -> None:  # noqa: FBT001
    times = TimeLimits(first_token=300.0, idle=300.0, total=300.0, until_whole=until_whole)
    rule = BreakerRule(silence_s=2.0, least_silent=3)
    spec = ModelSpec("voice", "openai", times=times, reliability=Reliability(breaker=rule))
    model = HearsAtTheEnd(spec, *[1.0] * 10, *[100.0] * 3)
    made = core(model, spec)
    assert made.circuit is not None
    breaker = Breaker(model, made.circuit)
    for _ in range(10):
        await breaker.speak(HELLO, terms())
    for _ in range(3):
        try:
            async with asyncio.timeout(60.0):
                await breaker.speak(HELLO, terms(speak_by_s=60.0))
        except (TimeoutError, ModelTimeout):
            pass
    assert (made.circuit.state.value == "open") == opens


def terms(speak_by_s: float | None = None) -> CallTerms:
    speak_by = None if speak_by_s is None else now() + speak_by_s
    return CallTerms(lambda _: None, None, now() + 1000.0, speak_by)  # type: ignore[arg-type]


def test_the_provider_tells_those_around_it_that_its_answers_come_whole(openai: Asker) -> None:
    assert not openai.model().spec.times.until_whole
    assert openai.model(**WHOLE).spec.times == TimeLimits(2.0, 20.0, 20.0, 20.0, until_whole=True)


async def test_a_reason_that_no_dialect_knows_is_logged_once_in_a_while(asker: Asker, upstream: Upstream) -> None:
    upstream.script("m", Speech("yes", finish="New_reason"))
    with structlog.testing.capture_logs() as logged:
        for _ in range(3):
            reply = await asker.ask(name=f"odd-{asker.dialect}")
            assert reply.finish_reason is FinishReason.OTHER
    [told] = [entry for entry in logged if entry["event"] == "upstream.finish_unknown"]
    assert told["log_level"] == "warning"
    assert told["finish_reason"] == "new_reason"


@pytest.mark.parametrize("strange", ["Hello there", "new\nreason", "x" * 65, "caf\N{LATIN SMALL LETTER E WITH ACUTE}"])
async def test_a_reason_that_is_no_identifier_may_be_words_of_the_prompt_and_is_not_told(
    asker: Asker, upstream: Upstream, strange: str
) -> None:
    upstream.script("m", Speech("yes", finish=strange))
    with structlog.testing.capture_logs() as logged:
        reply = await asker.ask(name=f"wordy-{asker.dialect}-{len(strange)}")
    assert reply.finish_reason is FinishReason.OTHER
    [told] = [entry for entry in logged if entry["event"] == "upstream.finish_unknown"]
    assert told["finish_reason"] == ""


def test_a_throttle_admits_each_key_once_in_its_time_and_remembers_few() -> None:
    clock = [0.0]
    throttle = LogThrottle(lambda: clock[0])
    assert [throttle.due(key) for key in ("a", "a", "a", "b")] == [0, None, None, 0]
    clock[0] = 59.0
    assert throttle.due("a") is None
    clock[0] = 61.0
    assert throttle.due("a") == 3, "so often it was left untold"
    assert [throttle.due(str(number)) for number in range(2000)] == [0] * 2000
    assert throttle.due("a") == 0, "it is forgotten"
