"""A model that hangs on a real socket is found out and stood in for, and is trusted again once it speaks."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from moa_server.domain.model import ModelSpec, Reply
from moa_server.domain.ports import Model
from moa_server.domain.reliability import BreakerRule, Reliability, RetryRule
from moa_server.models import breaker_state, build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.providers.dialects import DIALECTS
from tests.models.fakes import Caller
from tests.upstream import Cut, KeepAlives, Script, Silence, Speech, Upstream

RULES = Reliability(
    RetryRule(attempts=2, base_s=0.0), breaker=BreakerRule(silence_s=0.4, open_s=60.0), fallbacks=("spare",)
)
WELL = Speech("well")
INSTEAD = Speech("instead")


class Scene:
    """An endpoint, and a model there that another stands in for."""

    def __init__(self, upstream: Upstream, http: Transport, provider: str) -> None:
        self.upstream = upstream
        self._http = http
        self._provider = provider
        upstream.script("spare", INSTEAD)

    async def known(self, rules: Reliability = RULES) -> Model:
        """Return a model whose pace is known."""
        specs = [
            ModelSpec("m", self._provider, self.upstream.endpoint, "m", reliability=rules),
            ModelSpec("spare", "openai", self.upstream.endpoint, "spare"),
        ]
        model = build_models(specs, lambda spec: PROVIDERS[spec.provider](spec, self._http))["m"]
        self.upstream.script("m", WELL)
        for _ in range(5):
            assert (await Caller().ask(model)).text == WELL.text
        self.upstream.calls.clear()
        return model


@pytest.fixture(params=DIALECTS)
async def scene(request: pytest.FixtureRequest) -> AsyncIterator[Scene]:
    async with Upstream() as upstream, Transport() as http:
        yield Scene(upstream, http, str(request.param))


@pytest.mark.parametrize("script", [Silence(), Silence(after_headers=True)], ids=["no byte", "headers alone"])
async def test_a_model_that_hangs_costs_a_few_calls_and_then_none(scene: Scene, script: Script) -> None:
    model = await scene.known()
    scene.upstream.script("m", script)
    stories = []
    for _ in range(5):
        caller = Caller()
        assert (await caller.ask(model)).text == INSTEAD.text
        stories.append(caller.ledger.story)
    found_out = [("m", "first", "MODEL_TIMEOUT"), ("spare", "fallback", "")]
    assert stories == [found_out] * 3 + [[("spare", "fallback", "")]] * 2
    assert len(scene.upstream.calls_of("m")) == 3
    assert breaker_state(model) == "open"
    await scene.upstream.wait_for(lambda: not scene.upstream.open_calls)


async def test_keep_alives_are_a_sign_of_life(scene: Scene) -> None:
    model = await scene.known()
    scene.upstream.script("m", KeepAlives())
    calls = [asyncio.create_task(Caller().ask(model)) for _ in range(5)]
    await asyncio.sleep(1.0)
    assert not any(call.done() for call in calls)  # though none has given a token for longer than a silence may last
    await _leave(*calls)
    assert breaker_state(model) == "closed"


async def test_calls_that_a_quorum_cuts_early_are_not_held_against_it(scene: Scene) -> None:
    model = await scene.known()
    scene.upstream.script("m", Silence(after_headers=True))
    for number in range(1, 11):
        task = asyncio.create_task(Caller().ask(model))
        await scene.upstream.wait_for(lambda: len(scene.upstream.calls) == number)  # noqa: B023 - waited for at once
        await _leave(task)
    assert breaker_state(model) == "closed"


async def test_a_trial_beside_the_others_finds_that_the_model_is_sound_again(scene: Scene) -> None:
    model = await scene.known(replace(RULES, breaker=replace(RULES.breaker, open_s=0.01)))
    scene.upstream.script("m", Silence(), Silence(), Silence(), Silence(), WELL)
    for _ in range(3):
        await Caller().ask(model)
    assert breaker_state(model) == "open"
    await asyncio.sleep(0.02)
    caller = Caller()
    assert (await caller.ask(model)).text == INSTEAD.text
    assert sorted(caller.ledger.story) == [("m", "hedge", "STRAGGLER_CUT"), ("spare", "fallback", "")]
    scene.upstream.calls.clear()
    entries = []
    async with asyncio.timeout(30):
        while breaker_state(model) != "closed":
            await asyncio.sleep(0.02)
            caller = Caller()
            await caller.ask(model)
            entries += caller.ledger.entries
    assert len(entries) == len(scene.upstream.calls)
    assert (await Caller().ask(model)).text == WELL.text


async def test_an_answer_that_breaks_off_in_silence_is_found_out_too(scene: Scene) -> None:
    model = await scene.known()
    scene.upstream.script("m", Cut(Speech("half of it"), 1, "silence"))
    calls = [asyncio.create_task(Caller().ask(model)) for _ in range(3)]
    await scene.upstream.wait_for(lambda: sum(call.tokens_sent for call in scene.upstream.open_calls) == len(calls))
    await asyncio.sleep(1.0)
    await _leave(*calls)
    assert breaker_state(model) == "open"


async def _leave(*calls: asyncio.Task[Reply]) -> None:
    for call in calls:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
