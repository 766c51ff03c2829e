"""An attempt is held to the nearest of its limits, and no limit outlives its reason."""

import asyncio
from typing import Any

import pytest

from moa_server.domain.errors import ModelTimeout
from moa_server.domain.model import ModelSpec, TimeLimits
from moa_server.domain.ports import CallTerms
from moa_server.providers.timeouts import patience
from tests.models.timeless_loop import now, timeless
from tests.providers.asker import NoAccount

SPEC = ModelSpec("voice", "openai", "nowhere", "m", times=TimeLimits(first_token=60.0, idle=30.0, total=300.0))


def terms(deadline_s: float, speak_by_s: float | None = None) -> CallTerms:
    speak_by = None if speak_by_s is None else now() + speak_by_s
    return CallTerms(lambda _: None, NoAccount(), now() + deadline_s, speak_by)


async def waited(*tokens_after: float, **limits: Any) -> float:  # noqa: ANN401 - of an terms
    """Return after how long an endpoint is left that falls silent for ever after these tokens."""

    async def listen() -> None:
        async with patience(SPEC, terms(**limits)) as patient:
            for pause in tokens_after:
                await asyncio.sleep(pause)
                patient.token()
            await asyncio.Event().wait()

    started = now()
    with pytest.raises(ModelTimeout):
        await listen()
    return now() - started


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
