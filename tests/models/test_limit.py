"""Only so many calls are at a model at once, and runs take turns."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.errors import ModelRefused, ModelThrottled, ModelTimeout, ModelUnavailable
from moa_server.domain.reliability import ConcurrencyRule
from moa_server.models.accounted import Accounted
from moa_server.models.limit import Limit, Places, is_overload
from tests.models.fakes import Caller, Script, Scripted, scripted
from tests.models.timeless_loop import now, timeless, unhurried


def limited(provider: Scripted, limit: int, **more: Any) -> Limit:  # noqa: ANN401 - any field
    return Limit(Accounted(provider), ConcurrencyRule(limit, **more))


async def all_of(*calls: Coroutine[Any, Any, Any]) -> list[Any]:
    return list(await asyncio.gather(*calls))


@timeless
async def test_no_more_calls_than_places() -> None:
    provider = scripted("m", [1.0, "ok"])
    model = limited(provider, 3)
    await all_of(*(Caller().ask(model) for _ in range(10)))
    assert (provider.most_under_way, len(provider.called_at)) == (3, 10)


@timeless
async def test_a_large_run_does_not_starve_a_small_one() -> None:
    provider = scripted("m", [1.0, "ok"])
    model = limited(provider, 2)
    ended: list[tuple[str, float]] = []
    started = now()

    async def ask(run_id: str) -> None:
        await Caller().ask(model, run_id=run_id)
        ended.append((run_id, now() - started))

    await all_of(*(ask("large") for _ in range(60)), *(ask("small") for _ in range(2)))
    assert [at for run_id, at in ended if run_id == "small"] == [2.0, 3.0]


@timeless
async def test_a_call_waits_no_longer_than_its_deadline() -> None:
    model = limited(scripted("m", [100.0, "ok"]), 1)
    first = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    started = now()
    assert await Caller().failure(model, time_s=5.0) == "DeadlineExceeded"
    assert 4.9 < now() - started < 5.0
    assert (await first).text == "ok"


@timeless
async def test_a_call_waits_no_longer_than_the_operator_says() -> None:
    model = limited(scripted("m", [100.0, "ok"]), 1, longest_wait_s=2.0)
    first = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    started = now()
    with pytest.raises(ModelThrottled) as caught:
        await Caller().ask(model)
    assert caught.value.permanent, "it is not asked again: it would only queue once more"
    assert now() - started == 2.0
    await first


@timeless
async def test_a_call_without_time_left_does_not_wait_at_all() -> None:
    model = limited(scripted("m", [100.0, "ok"]), 1)
    first = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    started = now()
    assert await Caller().failure(model, time_s=0.0) == "DeadlineExceeded"
    assert now() == started
    await first


@timeless
async def test_an_adaptive_limit_shrinks_once_for_one_overload_and_grows_slowly() -> None:
    throttled: Script = [1.0, ModelThrottled("429")]
    provider = scripted("m", *[throttled] * 10, [1.0, "ok"])
    model = limited(provider, 10, adaptive=True, least=2, most=12)
    await all_of(*(Caller().failure(model) for _ in range(10)))
    assert model.places == 7
    for _ in range(3):
        await all_of(*(Caller().ask(model) for _ in range(50)))
    assert model.places == 12


@timeless
async def test_a_limit_that_nobody_reaches_does_not_grow() -> None:
    model = limited(scripted("m", ["ok"]), 4, adaptive=True)
    for _ in range(50):
        await Caller().ask(model)
    assert model.places == 4


@timeless
async def test_an_adaptive_limit_keeps_its_least() -> None:
    model = limited(scripted("m", [1.0, ModelTimeout("silent")]), 8, adaptive=True, least=3)
    for _ in range(20):
        await Caller().failure(model)
    assert model.places == 3


@timeless
async def test_a_round_of_calls_that_went_well_gains_one_place() -> None:
    model = limited(scripted("m", [1.0, "ok"]), 4, adaptive=True, least=2, most=12)
    await all_of(*(Caller().ask(model) for _ in range(8)))
    assert model.places == 5


@timeless
async def test_calls_sent_out_under_the_smaller_limit_shrink_it_again() -> None:
    model = limited(scripted("m", [1.0, ModelThrottled("429")]), 10, adaptive=True, least=2, most=12)
    await all_of(*(Caller().failure(model) for _ in range(17)))
    assert model.places == 4, "ten, then seven that began in the moment in which it shrank"


@timeless
async def test_neither_a_refusal_nor_a_caller_in_a_hurry_shrinks_it() -> None:
    provider = scripted("m", [1.0, ModelRefused("no")], [1.0, ModelTimeout("not finished at the deadline")])
    model = limited(provider, 8, adaptive=True, least=2, most=12)
    assert await Caller().failure(model) == "ModelRefused"
    assert await Caller().failure(model, time_s=1.0) == "ModelTimeout"
    assert model.places == 8
    assert await Caller().failure(model, time_s=60.0) == "ModelTimeout"
    assert model.places == 5


def test_what_an_overload_is() -> None:
    assert is_overload(ModelThrottled("429"))
    assert is_overload(ModelTimeout("silent"))
    assert is_overload(ModelUnavailable("overloaded", metadata={"status": "529"}))
    assert is_overload(ModelUnavailable("busy", retry_after_s=1.0))
    assert not is_overload(ModelUnavailable("crashed", metadata={"status": "500"}))
    assert not is_overload(ModelRefused("no"))


@timeless
async def test_a_place_that_is_handed_to_a_cancelled_call_goes_to_the_next() -> None:
    places = Places(lambda: 1)
    await places.take("a")
    second, third = asyncio.create_task(places.take("b")), asyncio.create_task(places.take("c"))
    await asyncio.sleep(0)
    places.free()
    second.cancel()
    with pytest.raises(asyncio.CancelledError):
        await second
    await third
    assert (places.taken, places.waiting) == (1, 0)


@timeless
async def test_a_place_that_comes_free_while_its_call_leaves_goes_to_the_next() -> None:
    places = Places(lambda: 1)
    await places.take("a")
    second, third = asyncio.create_task(places.take("b")), asyncio.create_task(places.take("b"))
    await asyncio.sleep(0)
    second.cancel()
    places.free()
    with pytest.raises(asyncio.CancelledError):
        await second
    await third
    assert (places.taken, places.waiting) == (1, 0)


@timeless
async def test_a_call_that_leaves_is_not_waited_for() -> None:
    places = Places(lambda: 1)
    await places.take("a")
    leaving = [asyncio.create_task(places.take(run_id)) for run_id in "bbc"]
    await asyncio.sleep(0)
    assert places.waiting == 3
    for task, left in zip(leaving, (2, 1, 0), strict=True):
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert places.waiting == left
    places.free()
    await asyncio.wait_for(places.take("d"), 1.0)
    assert places.taken == 1


@unhurried
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.floats(0, 3),
            st.one_of(st.none(), st.floats(0, 4)),
            st.sampled_from(["ok", ModelThrottled("429"), ModelUnavailable("500")]),
        ),
        max_size=25,
    ),
    limit=st.integers(1, 4),
    adaptive=st.booleans(),
)
def test_places_never_leak(calls: list[Any], limit: int, *, adaptive: bool) -> None:
    @timeless
    async def check() -> None:
        provider = scripted("m", *([length, ending] for _, length, _, ending in calls))
        model = limited(provider, limit, adaptive=adaptive, most=6)

        async def one(run_id: str, cancelled_after: float | None) -> None:
            try:
                async with asyncio.timeout(cancelled_after):
                    await Caller().failure(model, run_id=run_id)
            except TimeoutError:
                pass

        await all_of(*(one(run_id, after) for run_id, _, after, _ in calls))
        places = model._places  # noqa: SLF001 - what must not leak is not shown outside
        assert (places.taken, places.waiting) == (0, 0)
        assert provider.most_under_way <= (6 if adaptive else limit)

    check()
