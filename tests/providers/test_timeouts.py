"""An attempt is held to the nearest of its limits, and no limit outlives its reason."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
import uvloop

from moa_server.domain.errors import ModelTimeout
from moa_server.domain.model import ModelSpec, TimeLimits
from moa_server.domain.ports import CallTerms
from moa_server.providers.timeouts import patience
from tests.models.timeless_loop import TimelessLoop, now, timeless
from tests.providers.asker import NoAccount

SPEC = ModelSpec("voice", "openai", "nowhere", "m", times=TimeLimits(first_token=60.0, idle=30.0, total=300.0))


def terms(deadline_s: float, speak_by_s: float | None = None) -> CallTerms:
    speak_by = None if speak_by_s is None else now() + speak_by_s
    return CallTerms(lambda _: None, NoAccount(), now() + deadline_s, speak_by)


async def lasted(listen: Callable[[], Awaitable[None]]) -> float:
    """Return how long somebody listened until the patience was over."""
    started = now()
    with pytest.raises(ModelTimeout):
        await listen()
    return now() - started


async def waited(*tokens_after: float, **limits: Any) -> float:  # noqa: ANN401 - of an terms
    """Return after how long an endpoint is left that falls silent for ever after these tokens."""

    async def listen() -> None:
        async with patience(SPEC, terms(**limits)) as patient:
            for pause in tokens_after:
                await asyncio.sleep(pause)
                patient.token()
            await asyncio.Event().wait()

    return await lasted(listen)


@timeless
async def test_the_first_token_has_to_come_by_the_nearest_moment() -> None:
    assert await waited(deadline_s=100.0) == 60.0
    assert await waited(deadline_s=100.0, speak_by_s=40.0) == 40.0
    assert await waited(deadline_s=100.0, speak_by_s=80.0) == 60.0
    assert await waited(deadline_s=20.0, speak_by_s=80.0) == 20.0


@timeless
async def test_who_has_begun_to_speak_has_all_the_time_there_is() -> None:
    assert await waited(9.0, *[20.0] * 4, deadline_s=100.0, speak_by_s=10.0) == 100.0
    assert await waited(9.0, deadline_s=100.0, speak_by_s=10.0) == 39.0


@timeless
async def test_what_the_server_itself_held_up_is_not_the_models_silence() -> None:
    """The loop comes back after the limit: what the model said meanwhile has yet to be read."""
    loop = asyncio.get_running_loop()
    held_up = loop.time() + 55.0
    async with patience(SPEC, terms(deadline_s=200.0)) as patient:
        await asyncio.sleep(55.0)
        assert isinstance(loop, TimelessLoop)
        loop.pass_over(10.0)
        await asyncio.sleep(0.5)
        patient.token()
        await asyncio.sleep(20.0)
    assert now() == held_up + 30.5


SLOW = replace(SPEC, times=replace(SPEC.times, reasoning=120.0))


async def reasoned(
    *,
    reasons: bool = False,
    unseen_after: float | None = None,
    shown: int = 0,
    **limits: Any,  # noqa: ANN401
) -> float:
    """Return after how long an endpoint is left that takes the question after 50 s, and may begin to reason unseen.

    So many thoughts are ``shown`` after that, all at once.
    """

    async def listen() -> None:
        async with patience(SLOW, terms(**limits), reasons=reasons) as patient:
            await asyncio.sleep(50.0)
            patient.answering()
            if unseen_after is not None:
                await asyncio.sleep(unseen_after)
                for _ in range(1 + shown):
                    patient.token(reasons_unseen=True)
            await asyncio.Event().wait()

    return await lasted(listen)


@timeless
async def test_who_reasons_unseen_has_longer_until_its_first_word() -> None:
    assert await reasoned(deadline_s=400.0) == 60.0
    assert await reasoned(deadline_s=400.0, reasons=True) == 170.0
    assert await reasoned(deadline_s=400.0, unseen_after=5.0) == 175.0
    assert await reasoned(deadline_s=400.0, reasons=True, unseen_after=100.0) == 270.0
    assert await reasoned(deadline_s=100.0, reasons=True) == 100.0


@timeless
async def test_others_stand_in_in_time_for_who_reasons_unseen_and_for_nobody_who_shows_it() -> None:
    assert await reasoned(deadline_s=400.0, speak_by_s=80.0, reasons=True) == 80.0
    assert await reasoned(deadline_s=400.0, speak_by_s=80.0, unseen_after=5.0) == 80.0
    assert await reasoned(deadline_s=400.0, speak_by_s=80.0, unseen_after=5.0, shown=1) == 175.0


@timeless
async def test_who_reasons_unseen_after_its_first_word_is_in_nobodys_way() -> None:
    async def listen() -> None:
        async with patience(SLOW, terms(deadline_s=400.0, speak_by_s=80.0)) as patient:
            patient.token()
            patient.token(reasons_unseen=True)
            await asyncio.Event().wait()

    started = now()
    with pytest.raises(ModelTimeout, match="reasoned for 120 s without a word"):
        await listen()
    assert now() - started == 120.0


Nervous = list[dict[str, Any]]


def on_uvloop(listen: Callable[[], Coroutine[Any, Any, None]]) -> Nervous:
    """Run it on the loop that the server runs on, and return what went wrong in its callbacks."""
    wrong: Nervous = []
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.get_loop().set_exception_handler(lambda _, context: wrong.append(context))
        runner.run(listen())
    return wrong


def test_a_token_may_come_at_the_very_moment_of_a_limit() -> None:
    async def listen() -> None:
        async with patience(SPEC, terms(deadline_s=100.0, speak_by_s=-1.0)) as patient:
            patient.token()
            await asyncio.sleep(0)
            patient.last_words()

    assert on_uvloop(listen) == []


def test_what_comes_after_a_limit_moves_it_no_more() -> None:
    async def too_late() -> None:
        async with patience(SPEC, terms(deadline_s=0.01)) as patient:
            try:
                await asyncio.Event().wait()
            finally:
                patient.token()
                await asyncio.sleep(0.01)

    async def listen() -> None:
        ends = await asyncio.gather(*(too_late() for _ in range(50)), return_exceptions=True)
        assert {str(end) for end in ends} == {"voice had not finished at the deadline"}

    assert on_uvloop(listen) == []
