"""Runs over real connections: what the upstream sees of stragglers, stand-ins and answers that break off."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.event import AnswerDelta, AnswerRestarted
from moa_server.domain.mixture import Rules
from moa_server.domain.model import AttemptKind, ModelSpec
from moa_server.domain.ports import Model
from moa_server.domain.reliability import BreakerRule, Reliability, RetryRule
from moa_server.models import breaker_state, build_models
from moa_server.providers import PROVIDERS, Transport
from tests.engine.facts import closed_layers, facts, failed, succeeded
from tests.engine.houses import OpenHouse
from tests.upstream import Cut, Endless, Silence, Speech, Stage, Status, Upstream

CALM = Reliability(RetryRule(attempts=0), breaker=BreakerRule(least_calls=1000))
PERSISTENT = replace(CALM, retry=RetryRule(attempts=2, base_s=0.0, least_in_window=100), fallbacks=("spare",))
HALF = Cut(Speech("half of an answer"), 2)


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as scripted:
        scripted.script("*", Speech("a proposal"))
        scripted.script("boss", Speech("the answer"))
        scripted.script("spare", Speech("from the spare"))
        yield scripted


@pytest.fixture
async def http() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


def models_of(upstream: Upstream, http: Transport, **rules: Reliability) -> dict[str, Model]:
    """Models of these names and rules, one dialect after the other, and the spare one."""
    providers = ("openai", "anthropic")
    specs = [
        ModelSpec(name, providers[place % 2], upstream.endpoint, name, reliability=own)
        for place, (name, own) in enumerate({**rules, "spare": CALM}.items())
    ]
    return build_models(specs, lambda spec: PROVIDERS[spec.provider](spec, http))


async def test_the_upstream_sees_a_straggler_cut_and_its_text_is_never_mixed_in(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    async def half_and_then_silent(stage: Stage) -> None:
        stage.head()
        stage.send(stage.events.opening() + stage.events.piece("TOO LATE "))
        stage.call.tokens_sent += 1
        await stage.silence()

    async def once_the_slow_one_speaks(stage: Stage) -> None:
        await upstream.wait_for(lambda: any(call.tokens_sent for call in upstream.calls_of("slow")))
        await Speech("in time").play(stage)

    upstream.script("slow", half_and_then_silent)
    upstream.script("b", once_the_slow_one_speaks)
    house = await open_house(
        models_of(upstream, http, a=CALM, slow=CALM, b=CALM, boss=CALM), [["a", "slow", "b"]], rules=Rules(quorum=2)
    )
    events = await house.carried()
    [slow] = upstream.calls_of("slow")
    await upstream.wait_for(lambda: slow.aborted is not None)
    assert "TOO LATE" not in str(upstream.calls_of("boss")[0].body)
    closed = closed_layers(events)[0]
    assert [proposal.agent for proposal in closed.proposals] == ["a", "b"]
    assert [failure.reason for failure in closed.failures] == ["STRAGGLER_CUT"]
    assert closed.failures[0].usage.calls == 1
    assert "TOO LATE" not in repr(events)


@pytest.mark.parametrize("ended_by", ["quorum", "deadline"])
async def test_a_model_that_hangs_is_left_alone_whoever_has_stopped_waiting_for_it(
    open_house: OpenHouse, upstream: Upstream, http: Transport, ended_by: str
) -> None:
    rules = replace(CALM, breaker=BreakerRule(silence_s=0.3, least_calls=1000))
    models = models_of(upstream, http, a=CALM, hangs=rules, boss=CALM)
    quorum = Rules(quorum=1, grace_s=0.8) if ended_by == "quorum" else Rules(fail_below_quorum=False)
    house = await open_house(models, [["a", "hangs"]], rules=quorum)
    for _ in range(5):
        succeeded(await house.carried())
    upstream.script("hangs", Silence())
    upstream.calls.clear()
    reasons = []
    for _ in range(5):
        events = await house.carried(time_s=30.0 if ended_by == "quorum" else 3.0)
        assert succeeded(events).answer.text == "the answer"
        reasons += [failure.reason for failure in closed_layers(events)[0].failures]
    cut = "STRAGGLER_CUT" if ended_by == "quorum" else "MODEL_TIMEOUT"
    assert reasons == [cut] * 3 + ["MODEL_BREAKER_OPEN"] * 2
    assert breaker_state(models["hangs"]) == "open"
    assert len(upstream.calls_of("hangs")) == 3


async def test_a_panel_never_becomes_copies_of_one_model_without_saying_so(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("a", Status(401))
    upstream.script("b", Status(503))
    house = await open_house(
        models_of(upstream, http, a=PERSISTENT, b=PERSISTENT, c=PERSISTENT, boss=CALM), [["a", "b", "c"]]
    )
    events = await house.carried()
    proposals = closed_layers(events)[0].proposals
    assert [(one.model, one.served_model) for one in proposals] == [("a", "spare"), ("b", "spare"), ("c", "c")]
    kinds = [[attempt.kind for attempt in one.attempts] for one in proposals]
    assert kinds == [
        [AttemptKind.FIRST, AttemptKind.FALLBACK],
        [AttemptKind.FIRST, AttemptKind.RETRY, AttemptKind.RETRY, AttemptKind.FALLBACK],
        [AttemptKind.FIRST],
    ]
    told = [(one.reason, one.agent) for one in succeeded(events).answer.degradations]
    assert told == [(DegradationReason.FALLBACK_SERVED, "a"), (DegradationReason.FALLBACK_SERVED, "b")]


async def test_an_answer_served_by_a_stand_in_says_so(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("boss", Status(529))
    house = await open_house(models_of(upstream, http, a=CALM, boss=PERSISTENT), [["a"]])
    answer = succeeded(await house.carried()).answer
    assert (answer.text, answer.model, answer.served_model) == ("from the spare", "boss", "spare")
    assert [one.reason for one in answer.degradations] == [DegradationReason.FALLBACK_SERVED]


async def test_an_answer_that_broke_off_is_asked_of_nobody_else_unless_the_mixture_lets_it_begin_again(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("boss", HALF)
    house = await open_house(models_of(upstream, http, a=CALM, boss=PERSISTENT), [["a"]])
    end = failed(await house.carried())
    assert (end.reason, end.partial_text) == ("ANSWER_FAILED", "half of ")
    assert [call.model for call in upstream.calls] == ["a", "boss"]


async def test_an_answer_that_begins_again_has_its_retries_and_stand_ins(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("boss", HALF, Status(500))
    house = await open_house(
        models_of(upstream, http, a=CALM, boss=PERSISTENT), [["a"]], rules=Rules(restart_answer=True)
    )
    events = await house.carried()
    [restart] = [place for place, event in enumerate(events) if isinstance(event.fact, AnswerRestarted)]
    assert "".join(delta.text for delta in facts(events[:restart], AnswerDelta)) == "half of "
    assert "".join(delta.text for delta in facts(events[restart:], AnswerDelta)) == "from the spare"
    end = succeeded(events)
    assert (end.answer.text, end.answer.served_model) == ("from the spare", "spare")
    assert [one.reason for one in end.answer.degradations] == [
        DegradationReason.AGENT_FAILED,
        DegradationReason.ANSWER_RESTARTED,
        DegradationReason.FALLBACK_SERVED,
    ]
    assert [call.model for call in upstream.calls] == ["a", "boss", "boss", "boss", "boss", "spare"]
    assert end.usage.calls == len(upstream.calls)


async def test_a_silent_proposer_is_stood_in_for_within_its_layer(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("a", Silence())
    house = await open_house(models_of(upstream, http, a=PERSISTENT, boss=CALM), [["a"]])
    events = await house.carried(time_s=3.0)
    assert succeeded(events).answer.text == "the answer"
    assert closed_layers(events)[0].proposals[0].served_model == "spare"


async def test_an_answer_without_an_end_fails_its_run_and_keeps_what_it_said(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("boss", Endless("on and on " * 100))
    house = await open_house(models_of(upstream, http, a=CALM, boss=PERSISTENT), [["a"]])
    events = await house.carried()
    end = failed(events)
    assert (end.reason, dict(end.metadata)["cause"]) == ("ANSWER_FAILED", "MODEL_ANSWER_TOO_LONG")
    assert end.partial_text == "".join(delta.text for delta in facts(events, AnswerDelta))
    assert end.partial_text.startswith("on and on ")
    assert len(end.partial_text) < 100_000
    assert [call.model for call in upstream.calls] == ["a", "boss"], "nobody is asked for it once more"
    await upstream.wait_for(lambda: not upstream.open_calls)


async def test_a_proposer_that_never_stops_is_a_failure_of_its_own(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("a", Endless(reasoning="let me think " * 1_000))
    house = await open_house(models_of(upstream, http, a=CALM, b=CALM, boss=CALM), [["a", "b"]])
    events = await house.carried()
    assert succeeded(events).answer.text == "the answer"
    [failure] = closed_layers(events)[0].failures
    assert (failure.agent, failure.reason) == ("a", "MODEL_ANSWER_TOO_LONG")
    await upstream.wait_for(lambda: not upstream.open_calls)
