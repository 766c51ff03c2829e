"""The wrappers stand in the order that is stated, and it matters."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import (
    ModelCredentialsRefused,
    ModelError,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelUnreachable,
)
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule, HedgeRule, Reliability, RetryRule
from moa_server.models import breaker_state
from moa_server.models.accounted import Accounted
from moa_server.models.adjust import Adjust
from moa_server.models.breaker import Breaker, Gate
from moa_server.models.fallback import Fallback
from moa_server.models.hedge import Hedge
from moa_server.models.limit import Limit
from moa_server.models.retry import Retry
from tests.models.fakes import PLAIN, Caller, Script, scripted, spec, wrap
from tests.models.timeless_loop import now, timeless, unhurried

DOWN = ModelUnavailable("500")
NONE = BreakerRule(enabled=False)
FULL = Reliability(
    RetryRule(attempts=2, base_s=0.1, least_in_window=100),
    ConcurrencyRule(limit=2),
    BreakerRule(least_calls=6, open_s=15.0),
    HedgeRule("b", least_seen=2, share=1.0),
    ("c",),
)


def layers(model: object) -> list[type]:
    """Return the classes from the outside in."""
    found = []
    while inner := getattr(model, "_model", None):
        model = inner
        found.append(type(model))
    return found


def test_the_order_is_the_one_that_is_stated() -> None:
    provider = scripted(spec("a", FULL))
    stack = wrap(provider, scripted("b"), scripted("c"))
    assert layers(stack) == [Fallback, Hedge, Retry, Adjust, Gate, Limit, Breaker, Accounted, type(provider)]


def test_a_rule_that_is_absent_leaves_its_wrapper_out() -> None:
    provider = scripted(spec("a", PLAIN))
    assert layers(wrap(provider)) == [Adjust, Accounted, type(provider)]
    assert breaker_state(wrap(provider)) is None
    assert breaker_state(provider) is None


@timeless
async def test_back_off_holds_no_place() -> None:
    rules = replace(
        FULL, concurrency=ConcurrencyRule(limit=1), hedge=None, fallbacks=(), breaker=BreakerRule(enabled=False)
    )
    provider = scripted(spec("a", rules), [ModelThrottled("429", retry_after_s=9.0)], ["second"], ["third"])
    model, started = wrap(provider), now()
    waiting = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(1)
    assert (await Caller().ask(model)).text == "second"
    assert now() == started + 1
    assert (await waiting).text == "third"


@timeless
async def test_waiting_for_a_place_is_no_attempt_and_no_failure() -> None:
    rules = replace(FULL, concurrency=ConcurrencyRule(limit=1), hedge=None, fallbacks=())
    model, caller = wrap(scripted(spec("a", rules), [50.0, "ok"])), Caller()
    first = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    for _ in range(20):
        assert await caller.failure(model, time_s=1.0) == "DeadlineExceeded"
    assert caller.ledger.entries == []
    assert breaker_state(model) == "closed"
    await first


@timeless
async def test_an_open_circuit_falls_through_at_once_even_for_those_that_queue() -> None:
    rules = replace(FULL, hedge=None, retry=RetryRule(attempts=0))
    provider, other = scripted(spec("a", rules), [10.0, DOWN]), scripted("c", ["from c"])
    model, started = wrap(provider, other), now()
    told = await asyncio.gather(*(Caller().ask(model) for _ in range(20)))
    assert {reply.text for reply in told} == {"from c"}
    assert now() - started == 30.0
    assert len(provider.called_at) == 6
    assert breaker_state(model) == "open"
    await Caller().ask(model)
    assert (now() - started, len(provider.called_at)) == (30.0, 6)


@timeless
async def test_a_slow_model_that_is_being_retried_is_hedged() -> None:
    provider = scripted(spec("a", FULL), ["warm"], ["warm"], [0.0, DOWN], [0.0, DOWN], [100.0])
    model, caller = wrap(provider, scripted("b", [0.2, "from b"]), scripted("c")), Caller()
    await Caller().ask(model)
    await Caller().ask(model)
    assert (await caller.ask(model)).text == "from b"
    assert ("b", "hedge", "") in caller.ledger.story


@timeless
async def test_permanent_errors_fall_through_at_once() -> None:
    provider = scripted(spec("a", FULL), [ModelCredentialsRefused("401")])
    caller, started = Caller(), now()
    assert (await caller.ask(wrap(provider, scripted("b"), scripted("c", ["from c"])))).text == "from c"
    assert caller.ledger.story == [("a", "first", "MODEL_CREDENTIALS_REFUSED"), ("c", "fallback", "")]
    assert now() == started


@timeless
async def test_a_crowded_model_leaves_its_stand_in_time() -> None:
    rules = replace(FULL, concurrency=ConcurrencyRule(limit=1), hedge=None)
    model, started = wrap(scripted(spec("a", rules), [500.0, "late"]), scripted("c", ["from c"])), now()
    first = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    caller = Caller()
    assert (await caller.ask(model, time_s=30.0)).text == "from c"
    assert caller.ledger.story == [("c", "fallback", "")]
    assert now() - started == pytest.approx(15.0, abs=0.1)
    await first


@timeless
async def test_a_model_is_not_asked_again_in_the_time_of_its_stand_in() -> None:
    rules = replace(FULL, hedge=None, retry=RetryRule(attempts=5, base_s=8.0, most_s=8.0, least_in_window=100))
    throttled = ModelThrottled("429", retry_after_s=8.0)
    provider, caller, started = scripted(spec("a", rules), [throttled]), Caller(), now()
    assert (await caller.ask(wrap(provider, scripted("c", ["from c"])), time_s=30.0)).text == "from c"
    assert all(at - started < 15.0 for at in provider.called_at)
    assert now() - started < 15.0


@timeless
async def test_a_stand_in_keeps_its_retries_but_not_its_own_stand_ins() -> None:
    rules = replace(FULL, hedge=None, fallbacks=("a",), breaker=NONE)
    first, second = scripted(spec("a", replace(rules, fallbacks=("c",))), [DOWN]), scripted(spec("c", rules), [DOWN])
    assert await Caller().failure(wrap(first, second)) == "ModelUnavailable"
    assert (len(first.called_at), len(second.called_at)) == (3, 3)


STEPS = st.one_of(
    st.floats(0, 3),
    st.sampled_from(["x", "y"]),
    st.sampled_from(
        [DOWN, ModelThrottled("429", retry_after_s=0.5), ModelTimeout("silent"), ModelUnreachable("refused")]
    ),
    st.sampled_from([ModelCredentialsRefused("401"), ModelStreamCut("cut")]),
)
SCRIPTS = st.lists(st.lists(STEPS, max_size=4), min_size=1, max_size=8)


@unhurried
@given(SCRIPTS, SCRIPTS, SCRIPTS, st.lists(st.floats(0.1, 6), min_size=1, max_size=8), st.integers(1, 6))
def test_whatever_happens_attempts_are_the_physical_calls_and_one_voice_is_heard(
    mine: list[Script], rivals: list[Script], others: list[Script], times: list[float], budget: int
) -> None:
    @timeless
    async def check() -> None:
        providers = scripted(spec("a", FULL), *mine), scripted("b", *rivals), scripted("c", *others)
        model = wrap(*providers)
        callers = [Caller(budget) for _ in times]
        await asyncio.gather(*(_ask(model, *pair) for pair in zip(callers, times, strict=True)))
        entries = [entry for caller in callers for entry in caller.ledger.entries]
        assert len(entries) == sum(len(provider.called_at) for provider in providers)
        assert all(entry.closed == 1 for entry in entries)
        assert all(provider.under_way == 0 for provider in providers)
        assert providers[0].most_under_way <= 2
        assert (await Caller().failure(model)) in {"", *(error.__name__ for error in _errors())}

    check()


async def _ask(model: object, caller: Caller, time_s: float) -> None:
    try:
        async with asyncio.timeout(time_s):
            reply = await caller.ask(model, time_s=time_s)  # type: ignore[arg-type]
    except (TimeoutError, ModelError):
        return
    except Exception as error:  # noqa: BLE001 - only limits are left
        assert type(error).__name__ in {"BudgetExceeded", "DeadlineExceeded"}  # noqa: PT017
        return
    assert "".join(caller.heard) == reply.text
    assert sum(not entry.failure for entry in caller.ledger.entries) == 1


def _errors() -> list[type[ModelError]]:
    return ModelError.__subclasses__()


def test_a_model_that_is_named_must_be_there() -> None:
    with pytest.raises(ValueError, match="model a: c, which is to stand in for it, is not configured"):
        wrap(scripted(spec("a", FULL)))
