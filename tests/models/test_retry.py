"""A model is asked again before its first word, and only where that may help."""

import asyncio
from dataclasses import replace

import pytest

from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelBreakerOpen,
    ModelCredentialsRefused,
    ModelError,
    ModelStreamCut,
    ModelThrottled,
    ModelUnavailable,
)
from moa_server.domain.ports import Model
from moa_server.domain.reliability import RetryRule
from moa_server.models.accounted import Accounted
from moa_server.models.retry import Retry
from moa_server.models.wrapper import SHORTEST_CALL_S
from tests.models.fakes import Caller, Scripted, scripted
from tests.models.timeless_loop import now, timeless

RULE = RetryRule(attempts=2, base_s=1.0, most_s=3.0, longest_hint_s=30.0)
DOWN = ModelUnavailable("500")


def retrying(provider: Scripted, rule: RetryRule = RULE, chance: float = 1.0) -> Model:
    return Retry(Accounted(provider), rule, lambda: chance)


@timeless
async def test_a_model_that_recovers_is_heard_once() -> None:
    caller = Caller()
    reply = await caller.ask(retrying(scripted("m", [DOWN], [ModelAnsweredNothing("empty")], ["yes"])))
    assert (reply.text, caller.heard) == ("yes", ["yes"])
    assert caller.ledger.story == [
        ("m", "first", "MODEL_UNAVAILABLE"),
        ("m", "retry", "MODEL_ANSWERED_NOTHING"),
        ("m", "retry", ""),
    ]


@timeless
async def test_waits_double_and_are_jittered() -> None:
    provider, started = scripted("m", [DOWN]), now()
    assert await Caller().failure(retrying(provider)) == "ModelUnavailable"
    assert [at - started for at in provider.called_at] == [0.0, 1.0, 3.0]
    calm, started = scripted("m", [DOWN]), now()
    await Caller().failure(retrying(calm, chance=0.5))
    assert [at - started for at in calm.called_at] == [0.0, 0.5, 1.5]


@timeless
async def test_what_a_broken_kept_connection_lost_is_sent_again_at_once() -> None:
    broken = ModelUnavailable("reset")
    broken.stale = True
    provider = scripted("m", [broken], ["ok"])
    await Caller().ask(retrying(provider))
    assert provider.called_at == [now(), now()]
    assert provider.kinds == ["first", "resend"]


@timeless
async def test_the_endpoints_wish_is_never_undercut() -> None:
    provider, started = scripted("m", [ModelThrottled("429", retry_after_s=7.0)], ["ok"]), now()
    await Caller().ask(retrying(provider, replace(RULE, base_s=2.0), chance=0.25))
    assert provider.called_at[1] - started == 7.5


@timeless
async def test_a_wish_that_is_too_long_is_a_failure_for_good() -> None:
    provider = scripted("m", [ModelThrottled("429", retry_after_s=30.0)], [ModelThrottled("429", retry_after_s=31.0)])
    assert await Caller().failure(retrying(provider)) == "ModelThrottled"
    assert len(provider.called_at) == 2


@timeless
async def test_nothing_is_asked_again_after_the_first_word() -> None:
    caller, provider = Caller(), scripted("m", ["half", ModelStreamCut("cut")], ["whole"])
    assert await caller.failure(retrying(provider)) == "ModelStreamCut"
    assert (caller.heard, len(provider.called_at)) == (["half"], 1)


@pytest.mark.parametrize("error", [ModelCredentialsRefused("401"), ModelBreakerOpen("open", retry_after_s=0.1)])
def test_what_cannot_help_is_not_done(error: ModelError) -> None:
    @timeless
    async def check() -> None:
        provider = scripted("m", [error], ["ok"])
        assert await Caller().failure(retrying(provider)) == type(error).__name__
        assert len(provider.called_at) == 1

    check()


@pytest.mark.parametrize("time_s", [2.5, 3.0 + SHORTEST_CALL_S])
def test_no_wait_leaves_no_time_for_what_it_is_for(time_s: float) -> None:
    @timeless
    async def check() -> None:
        provider, started = scripted("m", [DOWN]), now()
        assert await Caller().failure(retrying(provider), time_s=time_s) == "ModelUnavailable"
        assert [at - started for at in provider.called_at] == [0.0, 1.0]
        assert now() == started + 1.0

    check()


@timeless
async def test_a_retry_that_the_budget_does_not_cover_leaves_the_failure_as_it_was() -> None:
    assert await Caller(calls=1).failure(retrying(scripted("m", [DOWN]))) == "ModelUnavailable"
    assert await Caller(calls=0).failure(retrying(scripted("m", [DOWN]))) == "BudgetExceeded"


@timeless
async def test_a_model_has_at_most_its_share_of_retries() -> None:
    rule = RetryRule(attempts=2, base_s=0.0, share=0.1, window_s=60.0, least_in_window=3, per_run=1000)
    provider = scripted("m", [DOWN])
    model = retrying(provider, rule)
    for _ in range(100):
        await Caller().failure(model)
    assert len(provider.called_at) == 110


@timeless
async def test_a_quiet_model_has_a_few_retries_all_the_same_and_again_in_the_next_window() -> None:
    rule = RetryRule(attempts=5, base_s=0.0, share=0.1, window_s=60.0, least_in_window=3)
    provider = scripted("m", [DOWN])
    model = retrying(provider, rule)
    await Caller().failure(model)
    assert len(provider.called_at) == 1 + 3
    await asyncio.sleep(61)
    await Caller().failure(model)
    assert len(provider.called_at) == 2 * (1 + 3)


@timeless
async def test_one_run_cannot_use_up_the_retries_of_others() -> None:
    rule = RetryRule(attempts=5, base_s=0.0, per_run=2, least_in_window=100)
    provider = scripted("m", [DOWN])
    model = retrying(provider, rule)
    await Caller().failure(model, run_id="greedy")
    await Caller().failure(model, run_id="greedy")
    assert len(provider.called_at) == 1 + 2 + 1
    await Caller().failure(model, run_id="modest")
    assert len(provider.called_at) == 4 + 3


@timeless
async def test_a_run_that_has_had_its_retries_takes_none_from_the_model() -> None:
    rule = RetryRule(attempts=1, base_s=0.0, per_run=1, least_in_window=2, share=0.0)
    provider = scripted("m", [DOWN])
    model = retrying(provider, rule)
    for _ in range(10):
        await Caller().failure(model, run_id="greedy")
    await Caller().failure(model, run_id="modest")
    assert len(provider.called_at) == 11 + 2


@timeless
async def test_of_very_many_runs_the_oldest_is_forgotten_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("moa_server.models.retry._RUNS_REMEMBERED", 2)
    rule = RetryRule(attempts=1, base_s=0.0, per_run=1, least_in_window=100)
    provider = scripted("m", [DOWN])
    model = retrying(provider, rule)

    async def attempts(run_id: str) -> int:
        before = len(provider.called_at)
        await Caller().failure(model, run_id=run_id)
        return len(provider.called_at) - before

    assert [await attempts(run_id) for run_id in ("oldest", "older", "oldest", "older")] == [2, 2, 1, 1]
    assert [await attempts(run_id) for run_id in ("newest", "older", "newest", "oldest")] == [2, 1, 1, 2]


@timeless
async def test_cancelling_ends_the_wait() -> None:
    provider = scripted("m", [DOWN])
    task = asyncio.create_task(Caller().ask(retrying(provider)))
    await asyncio.sleep(0.5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(provider.called_at) == 1
