"""Whatever an endpoint does on a real socket, the stack makes a stand-in's answer or a named failure of it."""

import asyncio
import gzip
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from moa_server.domain.model import ModelSpec, TimeLimits
from moa_server.domain.ports import Model
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Certainty
from moa_server.models import build_models
from moa_server.models.accounted import Accounted
from moa_server.models.limit import Limit
from moa_server.providers import PROVIDERS, Transport
from moa_server.providers.dialects import DIALECTS
from tests.models.fakes import Caller
from tests.upstream import (
    Cut,
    Drip,
    Endless,
    Events,
    Garbage,
    KeepAlives,
    Raw,
    Redirect,
    Reset,
    Script,
    Silence,
    Speech,
    Status,
    Upstream,
)

GOOD = Speech("the good word")
RULES = Reliability(
    RetryRule(attempts=1, base_s=0.0, least_in_window=100),
    ConcurrencyRule(limit=4),
    BreakerRule(least_calls=1000),
    fallbacks=("good",),
)
IMPATIENT = {"MODEL_TIMEOUT": TimeLimits(first_token=0.5)}
"""By the reason to be seen: only where a limit has to be met is it short, yet time enough for the call to arrive."""
IMPATIENT_MIDWAY = {"MODEL_TIMEOUT": TimeLimits(idle=0.15)}
HURRY = Speech("never seen", first_token_s=0.01)


@dataclass
class Scene:
    """An upstream, and models that are asked there."""

    upstream: Upstream
    http: Transport

    def models(self, *specs: ModelSpec) -> dict[str, Model]:
        return build_models(specs, lambda spec: PROVIDERS[spec.provider](spec, self.http))

    def spec(self, name: str, provider: str = "openai", **more: Any) -> ModelSpec:  # noqa: ANN401 - any field
        return ModelSpec(name, provider, more.pop("endpoint", self.upstream.endpoint), name, **more)

    def bad(self, provider: str = "openai", **more: Any) -> Model:  # noqa: ANN401 - any field
        """Return a model that misbehaves, with a good one to stand in for it."""
        own = {"reliability": RULES, **more}
        return self.models(self.spec("bad", provider, **own), self.spec("good"))["bad"]


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Upstream() as upstream, Transport() as http:
        upstream.script("good", GOOD)
        yield Scene(upstream, http)


AGAIN: dict[str, tuple[Script, str]] = {
    "408": (Status(408), "MODEL_TIMEOUT"),
    "409": (Status(409), "MODEL_UNAVAILABLE"),
    "429": (Status(429), "MODEL_THROTTLED"),
    "429 in seconds": (Status(429, {"retry-after": "0"}), "MODEL_THROTTLED"),
    "429 in milliseconds": (Status(429, {"retry-after-ms": "5"}), "MODEL_THROTTLED"),
    "429 at a date": (Status(429, {"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}), "MODEL_THROTTLED"),
    "500": (Status(500), "MODEL_UNAVAILABLE"),
    "502": (Status(502), "MODEL_UNAVAILABLE"),
    "503": (Status(503), "MODEL_UNAVAILABLE"),
    "529": (Status(529), "MODEL_UNAVAILABLE"),
    "reset before the headers": (Reset(), "MODEL_UNAVAILABLE"),
    "reset after the headers": (Reset(before_headers=False), "MODEL_STREAM_CUT"),
    "silence before the headers": (Silence(), "MODEL_TIMEOUT"),
    "silence after the headers": (Silence(after_headers=True), "MODEL_TIMEOUT"),
    "keep-alives for ever": (KeepAlives(), "MODEL_TIMEOUT"),
    "one byte now and then": (Drip(HURRY, every_s=0.05), "MODEL_TIMEOUT"),
    "no HTTP": (Garbage(), "MODEL_PROTOCOL_BROKEN"),
    "another content type": (Raw(b"<html>", "text/html"), "MODEL_PROTOCOL_BROKEN"),
    "gzip garbage": (Raw(gzip.compress(b"x")[:9], headers={"content-encoding": "gzip"}), "MODEL_PROTOCOL_BROKEN"),
    "no JSON": (Events("{not json"), "MODEL_PROTOCOL_BROKEN"),
    "a redirect": (Redirect("http://elsewhere.invalid/"), "MODEL_PROTOCOL_BROKEN"),
    "nothing said": (Speech(""), "MODEL_ANSWERED_NOTHING"),
    "only white space": (Speech(" \n "), "MODEL_ANSWERED_NOTHING"),
}
FOR_GOOD: dict[str, tuple[Script, str]] = {
    "400": (Status(400), "MODEL_REJECTED_REQUEST"),
    "401": (Status(401), "MODEL_CREDENTIALS_REFUSED"),
    "403": (Status(403), "MODEL_CREDENTIALS_REFUSED"),
    "404": (Status(404), "MODEL_UNKNOWN"),
    "429 for want of money": (Status(429, error_code="insufficient_quota"), "MODEL_QUOTA_EXHAUSTED"),
    "429 for an hour": (Status(429, {"retry-after": "3600"}), "MODEL_THROTTLED"),
    "not to be asked again": (Status(500, {"x-should-retry": "false"}), "MODEL_UNAVAILABLE"),
    "only reasoning": (Speech("", reasoning="hm hm"), "MODEL_ONLY_REASONED"),
    "reasoning without an end": (Endless(reasoning="hm " * 10_000), "MODEL_ANSWER_TOO_LONG"),
}
WORDS = Speech("some words and more of them")
MIDWAY: dict[str, tuple[Script, str]] = {
    "reset": (Cut(WORDS, 2, "reset"), "MODEL_STREAM_CUT"),
    "closed": (Cut(WORDS, 2, "close"), "MODEL_STREAM_CUT"),
    "ended early": (Cut(WORDS, 2, "end"), "MODEL_STREAM_CUT"),
    "silent": (Cut(WORDS, 2, "silence"), "MODEL_TIMEOUT"),
    "kept alive": (Cut(WORDS, 2, "keepalives"), "MODEL_TIMEOUT"),
    "error inside": (Cut(WORDS, 2, "error"), "MODEL_UNAVAILABLE"),
}


def told(caller: Caller, scene: Scene) -> list[tuple[str, str, str]]:
    """Return the account's story, which is the upstream's too."""
    assert len(caller.ledger.entries) == len(scene.upstream.calls)
    assert all(entry.closed == 1 for entry in caller.ledger.entries)
    return caller.ledger.story


@pytest.mark.parametrize("fault", AGAIN)
@pytest.mark.parametrize("provider", DIALECTS)
async def test_a_fault_before_the_first_word_is_tried_again_and_then_stood_in_for(
    scene: Scene, provider: str, fault: str
) -> None:
    script, reason = AGAIN[fault]
    scene.upstream.script("bad", script)
    caller = Caller()
    reply = await caller.ask(scene.bad(provider, times=IMPATIENT.get(reason, TimeLimits())))
    assert (reply.text, "".join(caller.heard)) == (GOOD.text, GOOD.text)
    assert told(caller, scene) == [("bad", "first", reason), ("bad", "retry", reason), ("good", "fallback", "")]


@pytest.mark.parametrize(("script", "reason"), FOR_GOOD.values(), ids=FOR_GOOD)
async def test_a_fault_for_good_is_stood_in_for_at_once(scene: Scene, script: Script, reason: str) -> None:
    scene.upstream.script("bad", script)
    caller = Caller()
    assert (await caller.ask(scene.bad())).text == GOOD.text
    assert told(caller, scene) == [("bad", "first", reason), ("good", "fallback", "")]


@pytest.mark.parametrize(("script", "reason"), MIDWAY.values(), ids=MIDWAY)
async def test_a_fault_in_the_middle_is_a_failure(scene: Scene, script: Script, reason: str) -> None:
    scene.upstream.script("bad", script)
    caller = Caller()
    await caller.failure(scene.bad(times=IMPATIENT_MIDWAY.get(reason, TimeLimits())))
    assert told(caller, scene) == [("bad", "first", reason)]
    assert "".join(caller.heard) == "some words "
    assert caller.ledger.entries[0].usage.certainty is Certainty.ESTIMATED


async def test_an_answer_without_an_end_is_a_failure_that_nobody_repeats(scene: Scene) -> None:
    scene.upstream.script("bad", Endless("again " * 1_000))
    caller, rule = Caller(), BreakerRule(least_calls=1, share=0.01)
    model = scene.bad(reliability=replace(RULES, breaker=rule))
    await caller.failure(model)
    assert told(caller, scene) == [("bad", "first", "MODEL_ANSWER_TOO_LONG")]
    assert "".join(caller.heard).startswith("again again ")
    await scene.upstream.wait_for(lambda: not scene.upstream.open_calls)
    assert await Caller().failure(model) == "ModelAnswerTooLong", "no breaker opens for what a prompt can bring about"


async def unreachable(scene: Scene, endpoint: str) -> None:
    caller = Caller()
    assert (await caller.ask(scene.bad(endpoint=endpoint))).text == GOOD.text
    assert caller.ledger.story == [
        ("bad", "first", "MODEL_UNREACHABLE"),
        ("bad", "retry", "MODEL_UNREACHABLE"),
        ("good", "fallback", ""),
    ]
    assert caller.ledger.entries[0].usage.tokens == 0


async def test_a_refused_connection_is_stood_in_for_and_costs_nothing(scene: Scene) -> None:
    with socket.socket() as unheard:
        unheard.bind(("127.0.0.1", 0))
        await unreachable(scene, f"http://127.0.0.1:{unheard.getsockname()[1]}/v1")


async def test_a_host_without_an_address_is_stood_in_for_and_costs_nothing(scene: Scene) -> None:
    await unreachable(scene, "http://nowhere.invalid/v1")


async def test_a_failed_tls_handshake_is_stood_in_for_and_costs_nothing(scene: Scene) -> None:
    async def answer_in_plain(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"this is no TLS")
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(answer_in_plain, "127.0.0.1", 0) as server:
        await unreachable(scene, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1")


async def test_a_silent_model_leaves_its_stand_in_time_to_answer(scene: Scene) -> None:
    scene.upstream.script("bad", Silence())
    caller = Caller()
    assert (await caller.ask(scene.bad(), time_s=1.6)).text == GOOD.text
    assert told(caller, scene) == [("bad", "first", "MODEL_TIMEOUT"), ("good", "fallback", "")]


async def test_an_overload_inside_a_stream_makes_an_adaptive_limit_shrink(scene: Scene) -> None:
    scene.upstream.script("bad", Cut(WORDS, 1, "error"))
    rule = ConcurrencyRule(limit=10, adaptive=True)
    spec = scene.spec("bad", "anthropic")
    model = Limit(Accounted(PROVIDERS[spec.provider](spec, scene.http)), rule)
    assert await Caller().failure(model) == "ModelUnavailable"
    assert model.places == 7


async def test_ten_thousand_deltas_at_once_all_arrive(scene: Scene) -> None:
    scene.upstream.script("bad", Speech("a" * 10_000, tokens=10_000))
    caller = Caller()
    reply = await caller.ask(scene.bad())
    assert "".join(caller.heard) == reply.text == "a" * 10_000


async def test_the_account_is_the_upstreams_own_ledger_where_it_reports(scene: Scene) -> None:
    scene.upstream.script("bad", Status(529), Speech("one two three"))
    caller = Caller()
    await caller.ask(scene.bad())
    entries = caller.ledger.entries
    assert sum(entry.usage.output_tokens for entry in entries) == sum(c.tokens_sent for c in scene.upstream.calls)
    assert entries[0].usage.tokens == 0
    assert entries[1].usage.certainty is Certainty.KNOWN
    assert entries[1].usage.input_tokens == scene.upstream.calls[1].input_tokens


@pytest.mark.parametrize("usage", [None, {"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": 900}])
async def test_usage_that_is_missing_or_makes_no_sense_is_estimated(scene: Scene, usage: Any) -> None:  # noqa: ANN401
    scene.upstream.script("bad", Speech("one two three", usage=usage))
    caller = Caller()
    await caller.ask(scene.bad())
    assert caller.ledger.entries[0].usage.certainty is Certainty.ESTIMATED


async def test_the_loser_of_a_hedge_is_closed_upstream_at_the_winners_first_word(scene: Scene) -> None:
    rules = replace(RULES, hedge=HedgeRule("good", least_seen=3, share=1.0))
    scene.upstream.script("bad", Speech("a"), Speech("b"), Speech("c"), Silence(after_headers=True))
    scene.upstream.script("good", Speech("u v w x y z", token_s=0.05))
    model, caller = scene.bad(reliability=rules), Caller()
    for _ in range(3):
        await Caller().ask(model)
    answer = asyncio.create_task(caller.ask(model))
    await scene.upstream.wait_for(lambda: scene.upstream.calls_of("bad")[-1].aborted is not None)
    assert not answer.done()
    assert ((await answer).text, "".join(caller.heard)) == ("u v w x y z", "u v w x y z")
    assert ("bad", "first", "STRAGGLER_CUT") in caller.ledger.story


async def test_a_cancelled_call_is_closed_upstream_and_leaves_no_place_taken(scene: Scene) -> None:
    scene.upstream.script("bad", Silence(after_headers=True), GOOD)
    rules = replace(RULES, concurrency=ConcurrencyRule(limit=1))
    model, caller = scene.bad(reliability=rules), Caller()
    task = asyncio.create_task(caller.ask(model))
    await scene.upstream.wait_for(lambda: scene.upstream.open_calls)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await scene.upstream.wait_for(lambda: scene.upstream.calls[0].aborted is not None)
    assert (await Caller().ask(model)).text == GOOD.text
