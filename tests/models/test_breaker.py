"""An endpoint that keeps failing is left alone, and tried by a single call."""

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import (
    ModelAnsweredNothing,
    ModelBreakerOpen,
    ModelError,
    ModelOnlyReasoned,
    ModelRefused,
    ModelRejectedRequest,
    ModelStreamCut,
    ModelThrottled,
    ModelTimeout,
    ModelUnavailable,
    ModelWindowExceeded,
)
from moa_server.domain.model import TimeLimits
from moa_server.domain.reliability import BreakerRule, ConcurrencyRule
from moa_server.models.accounted import Accounted
from moa_server.models.breaker import Breaker, Gate
from moa_server.models.circuit import BreakerState, Circuit
from moa_server.models.limit import Limit
from tests.models.fakes import Caller, Script, Scripted, scripted
from tests.models.timeless_loop import now, timeless, unhurried

RULE = BreakerRule(share=0.5, least_calls=4, window_s=30.0, open_s=15.0)
DOWN = ModelUnavailable("500")


class Guarded:
    """A provider behind a breaker, and what was seen of its state."""

    def __init__(self, *scripts: Script) -> None:
        self.provider: Scripted = scripted("m", *scripts)
        self.seen: list[tuple[str, BreakerState]] = []
        self.circuit = Circuit("m", RULE, TimeLimits(), lambda name, state: self.seen.append((name, state)))
        self.model = Gate(Breaker(Accounted(self.provider), self.circuit), self.circuit)

    @property
    def state(self) -> str:
        return self.circuit.state.value

    async def fail(self, times: int) -> None:
        for _ in range(times):
            await Caller().failure(self.model)


@timeless
async def test_it_opens_when_too_many_calls_fail_and_says_for_how_long() -> None:
    guarded = Guarded([DOWN])
    await guarded.fail(3)
    assert guarded.state == "closed"
    await guarded.fail(1)
    assert guarded.state == "open"
    await asyncio.sleep(5)
    with pytest.raises(ModelBreakerOpen) as caught:
        await Caller().ask(guarded.model)
    assert caught.value.retry_after_s == 10.0
    assert len(guarded.provider.called_at) == 4


@timeless
async def test_a_call_that_is_not_let_through_is_no_attempt() -> None:
    guarded = Guarded([DOWN])
    await guarded.fail(4)
    caller = Caller()
    assert await caller.failure(guarded.model) == "ModelBreakerOpen"
    assert caller.ledger.entries == []


@timeless
async def test_nobody_queues_for_an_endpoint_that_is_left_alone() -> None:
    guarded = Guarded(["well", 100.0], [DOWN])
    limit = Limit(Breaker(Accounted(guarded.provider), guarded.circuit), ConcurrencyRule(1))
    model = Gate(limit, guarded.circuit)
    holding = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(1)
    await guarded.fail(4)
    started = now()
    assert await Caller().failure(model) == "ModelBreakerOpen"
    assert now() == started
    await holding


@timeless
async def test_a_time_out_of_somebody_elses_passes_as_it_is() -> None:
    assert await Caller().failure(Guarded([TimeoutError()]).model) == "TimeoutError"


@timeless
async def test_failures_of_long_ago_do_not_open_it() -> None:
    guarded = Guarded([DOWN])
    await guarded.fail(3)
    await asyncio.sleep(40)
    await guarded.fail(3)
    assert guarded.state == "closed"


@timeless
async def test_fewer_failures_than_the_share_do_not_open_it() -> None:
    scripts: list[Script] = [["ok"], ["ok"], [DOWN]]
    guarded = Guarded(*scripts * 10)
    await guarded.fail(30)
    assert guarded.state == "closed"


@timeless
async def test_it_opens_when_just_the_share_of_the_calls_has_failed() -> None:
    guarded = Guarded(["ok"], ["ok"], [DOWN])
    await guarded.fail(3)
    assert guarded.state == "closed"
    await guarded.fail(1)
    assert guarded.state == "open"


@timeless
async def test_a_call_from_before_that_speaks_after_all_excuses_no_failures() -> None:
    guarded = Guarded([5.0, "late"], [DOWN])
    late = asyncio.create_task(Caller().ask(guarded.model))
    await asyncio.sleep(1)
    await guarded.fail(4)
    await late
    assert guarded.state == "open"


@timeless
async def test_nothing_is_timed_while_nobody_calls() -> None:
    guarded = Guarded([5.0, "ok"])
    await asyncio.gather(*(Caller().ask(guarded.model) for _ in range(2)))
    heard = guarded.circuit.clock.time()
    assert heard == pytest.approx(5.0)
    await asyncio.sleep(10)
    assert guarded.circuit.clock.time() == heard


@timeless
async def test_a_probe_that_ends_well_without_a_word_closes_it_too() -> None:
    guarded = Guarded(*([[DOWN]] * 4), [1.0])
    await guarded.fail(4)
    await asyncio.sleep(15)
    await Caller().ask(guarded.model)
    assert guarded.state == "closed"


@pytest.mark.parametrize(
    "error",
    [
        ModelThrottled("429"),
        ModelRejectedRequest("400"),
        ModelWindowExceeded("long"),
        ModelRefused("no"),
        ModelAnsweredNothing("empty"),
        ModelOnlyReasoned("no word"),
    ],
)
def test_what_does_not_speak_against_the_endpoint_does_not_open_it(error: ModelError) -> None:
    @timeless
    async def check() -> None:
        guarded = Guarded([error])
        await guarded.fail(50)
        assert guarded.state == "closed"
        assert len(guarded.provider.called_at) == 50

    check()


@timeless
async def test_cancelled_calls_do_not_open_it() -> None:
    guarded = Guarded([100.0])
    tasks = [asyncio.create_task(Caller().ask(guarded.model)) for _ in range(20)]
    await asyncio.sleep(1)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert guarded.state == "closed"


@timeless
async def test_a_caller_in_a_hurry_does_not_open_it_for_others() -> None:
    guarded = Guarded([1.0, ModelTimeout("not finished at the deadline")])
    for _ in range(20):
        await Caller().failure(guarded.model, time_s=1.0)
    assert guarded.state == "closed"
    for _ in range(20):
        await Caller().failure(guarded.model, time_s=60.0)
    assert guarded.state == "open"


@timeless
async def test_after_the_break_one_call_alone_probes_and_closes_it() -> None:
    guarded = Guarded(*([[DOWN]] * 4), [1.0, "well", 50.0, "again"], ["ok"])
    await guarded.fail(4)
    await asyncio.sleep(15)
    probe = asyncio.create_task(Caller().ask(guarded.model))
    await asyncio.sleep(0.5)
    assert guarded.state == "half_open"
    with pytest.raises(ModelBreakerOpen) as caught:
        await Caller().ask(guarded.model)
    assert caught.value.retry_after_s == 1.0
    await asyncio.sleep(1)
    assert guarded.state == "closed"
    assert (await Caller().ask(guarded.model)).text == "ok"
    await probe
    assert guarded.seen == [("m", BreakerState.OPEN), ("m", BreakerState.HALF_OPEN), ("m", BreakerState.CLOSED)]


@timeless
async def test_a_probe_that_fails_opens_it_for_another_while() -> None:
    guarded = Guarded([DOWN])
    await guarded.fail(4)
    await asyncio.sleep(15)
    await guarded.fail(2)
    assert len(guarded.provider.called_at) == 5
    await asyncio.sleep(14)
    assert await Caller().failure(guarded.model) == "ModelBreakerOpen"
    await asyncio.sleep(1)
    assert await Caller().failure(guarded.model) == "ModelUnavailable"


@timeless
async def test_a_probe_that_tells_nothing_makes_room_for_the_next() -> None:
    guarded = Guarded(*([[DOWN]] * 4), [100.0], [ModelThrottled("429")], ["ok"])
    await guarded.fail(4)
    await asyncio.sleep(15)
    probe = asyncio.create_task(Caller().ask(guarded.model))
    await asyncio.sleep(1)
    probe.cancel()
    await asyncio.gather(probe, return_exceptions=True)
    assert guarded.state == "open"
    assert await Caller().failure(guarded.model) == "ModelThrottled"
    assert (await Caller().ask(guarded.model)).text == "ok"
    assert guarded.state == "closed"


@timeless
async def test_an_old_probe_has_no_say_in_the_next_break() -> None:
    guarded = Guarded(*([[DOWN]] * 4), ["well", 40.0, ModelStreamCut("cut")], *([[DOWN]] * 4), [100.0, "ok"])
    await guarded.fail(4)
    await asyncio.sleep(15)
    first = asyncio.create_task(Caller().failure(guarded.model))
    await asyncio.sleep(10)
    await guarded.fail(4)
    await asyncio.sleep(16)
    second = asyncio.create_task(Caller().ask(guarded.model))
    assert await first == "ModelStreamCut"
    assert guarded.state == "half_open"
    await second
    assert guarded.state == "closed"


@unhurried
@given(st.lists(st.tuples(st.sampled_from(["ok", DOWN, ModelThrottled("429")]), st.floats(0, 20)), max_size=60))
def test_probes_never_overlap_and_states_follow_one_another(calls: list[tuple[str | ModelError, float]]) -> None:
    @timeless
    async def check() -> None:
        guarded = Guarded(*([5.0, ending] for ending, _ in calls), ["ok"])
        tasks = []
        for _, pause in calls:
            tasks.append(asyncio.create_task(Caller().failure(guarded.model)))
            await asyncio.sleep(pause)
        await asyncio.gather(*tasks)
        allowed = {
            (BreakerState.CLOSED, BreakerState.OPEN),
            (BreakerState.OPEN, BreakerState.HALF_OPEN),
            (BreakerState.HALF_OPEN, BreakerState.CLOSED),
            (BreakerState.HALF_OPEN, BreakerState.OPEN),
        }
        states = [BreakerState.CLOSED, *(state for _, state in guarded.seen)]
        assert set(pairwise(states)) <= allowed
        assert guarded.state != "half_open"

    check()
