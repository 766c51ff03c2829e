"""A request that is sent again because its kept connection broke is an attempt like any other, on real sockets."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest

from moa_server.domain.errors import LimitError, ModelError
from moa_server.domain.model import ModelSpec
from moa_server.domain.ports import CallTerms, Model, SystemClock
from moa_server.domain.reliability import BreakerRule, HedgeRule, Reliability, RetryRule
from moa_server.domain.usage import Budget, Certainty
from moa_server.engine.plans.worst_case import UpperBounds
from moa_server.engine.runs.spending import Spending, TurnAccount
from moa_server.models import breaker_state, build_models
from moa_server.providers import PROVIDERS, Transport
from moa_server.telemetry import names
from tests.models.fakes import PROMPT
from tests.telemetry.spans import Spans, recorded
from tests.upstream import Reset, Script, Silence, Speech, Stage, Upstream, UpstreamThread

CALM = Reliability(RetryRule(attempts=2, base_s=0.0, least_in_window=100), breaker=BreakerRule(least_calls=4))


@dataclass
class Asked:
    """What one call has left behind."""

    text: str
    account: TurnAccount
    spending: Spending

    @property
    def story(self) -> list[tuple[str, str]]:
        return [(attempt.kind.value, attempt.failure) for attempt in self.account.attempts]


class Scene:
    """An endpoint that tears kept connections down, and who asks it."""

    def __init__(self, upstream: Upstream, http: Transport) -> None:
        self.upstream = upstream
        self._http = http

    def model(self, rules: Reliability, name: str = "m") -> Model:
        specs = [
            ModelSpec(
                one, "openai", self.upstream.endpoint, one, max_output=20, reliability=rules if one == name else CALM
            )
            for one in (name, "rival")
        ]
        return build_models(specs, lambda spec: PROVIDERS[spec.provider](spec, self._http))[name]

    async def warm(self, model: Model, connections: int, name: str = "m") -> None:
        """Leave so many kept connections behind."""
        everybody = asyncio.Event()
        self.upstream.script(name, _once(everybody))
        asked = [asyncio.create_task(ask(model)) for _ in range(connections)]
        await self.upstream.wait_for(lambda: len(self.upstream.open_calls) == connections)
        everybody.set()
        await asyncio.gather(*asked)
        self.upstream.calls.clear()


def _once(moment: asyncio.Event) -> Script:
    async def play(stage: Stage) -> None:
        await moment.wait()
        await Speech("warm").play(stage)

    return play


@pytest.fixture
async def scene() -> AsyncIterator[Scene]:
    async with Upstream() as upstream, Transport() as http:
        yield Scene(upstream, http)


async def ask(model: Model, budget: Budget = Budget()) -> Asked:
    now = asyncio.get_running_loop().time()
    spending = Spending(budget)
    account = TurnAccount(spending, UpperBounds({}), SystemClock(), now + 20.0, lambda: True)
    try:
        text = (await model.speak(PROMPT, CallTerms(lambda _: None, account, now + 20.0, run_id="run"))).text
    except (ModelError, LimitError) as error:
        text = error.reason()
    return Asked(text, account, spending)


def agree(asked: Asked, scene: Scene, spans: Spans) -> None:
    """Account, spans and budget know of just the requests that the endpoint has read."""
    posts = len(scene.upstream.calls)
    assert len(asked.account.attempts) == posts
    assert asked.account.usage.calls == asked.spending.spent.calls == posts
    assert len([span for span in spans.all() if span.name.startswith("chat")]) == posts


async def test_each_request_under_a_broken_connection_is_an_attempt(scene: Scene) -> None:
    model = scene.model(CALM)
    await scene.warm(model, 2)
    scene.upstream.script("m", Reset(), Reset(), Speech("here"))
    with recorded() as spans:
        asked = await ask(model)
    assert asked.text == "here"
    assert asked.story == [("first", "MODEL_UNAVAILABLE"), ("resend", "MODEL_UNAVAILABLE"), ("resend", "")]
    agree(asked, scene, spans)
    kinds = [dict(span.attributes or {})[names.ATTEMPT_KIND] for span in spans.named("chat m")]
    assert kinds == ["first", "resend", "resend"]


async def test_a_request_that_was_written_may_have_been_billed(scene: Scene) -> None:
    model = scene.model(CALM)
    await scene.warm(model, 1)
    scene.upstream.script("m", Reset(), Speech("here"))
    broken, served = (await ask(model)).account.attempts
    assert (broken.usage.certainty, served.usage.certainty) == (Certainty.ESTIMATED, Certainty.KNOWN)
    assert broken.usage.input_tokens > 0


async def test_no_more_is_sent_again_than_retries_may_be_made(scene: Scene) -> None:
    model = scene.model(replace(CALM, retry=replace(CALM.retry, attempts=1)))
    await scene.warm(model, 3)
    scene.upstream.script("m", Reset())
    with recorded() as spans:
        asked = await ask(model)
    assert asked.story == [("first", "MODEL_UNAVAILABLE"), ("resend", "MODEL_UNAVAILABLE")]
    agree(asked, scene, spans)


@pytest.mark.parametrize("attempts", [0, 1])
async def test_an_operator_may_have_nothing_sent_again_at_once(scene: Scene, attempts: int) -> None:
    model = scene.model(replace(CALM, retry=replace(CALM.retry, attempts=attempts, resend=False)))
    await scene.warm(model, 1)
    scene.upstream.script("m", Reset(), Speech("here"))
    asked = await ask(model)
    assert asked.story == [("first", "MODEL_UNAVAILABLE"), ("retry", "")][: attempts + 1]
    assert len(scene.upstream.calls) == attempts + 1


async def test_nothing_is_sent_again_that_the_budget_does_not_cover(scene: Scene) -> None:
    model = scene.model(CALM)
    await scene.warm(model, 1)
    scene.upstream.script("m", Reset(), Speech("here"))
    with recorded() as spans:
        asked = await ask(model, Budget(calls=1))
    assert (asked.text, asked.story) == ("MODEL_UNAVAILABLE", [("first", "MODEL_UNAVAILABLE")])
    agree(asked, scene, spans)


async def test_an_endpoint_that_keeps_no_connection_is_no_failing_one(scene: Scene) -> None:
    model = scene.model(CALM)
    await scene.warm(model, 1)
    connections: set[int] = set()

    async def rude(stage: Stage) -> None:
        if stage.call.connection in connections:
            stage.reset()
        else:
            connections.add(stage.call.connection)
            await Speech("here").play(stage)

    scene.upstream.script("m", rude)
    assert {(await ask(model)).text for _ in range(10)} == {"here"}
    assert breaker_state(model) == "closed"


async def test_a_call_that_is_cancelled_has_the_requests_that_it_made(scene: Scene) -> None:
    model = scene.model(CALM)
    await scene.warm(model, 1)
    scene.upstream.script("m", Reset(), Silence())
    now = asyncio.get_running_loop().time()
    spending = Spending(Budget())
    account = TurnAccount(spending, UpperBounds({}), SystemClock(), now + 20.0, lambda: True)
    with recorded() as spans:
        task = asyncio.create_task(model.speak(PROMPT, CallTerms(lambda _: None, account, now + 20.0)))
        await scene.upstream.wait_for(lambda: len(scene.upstream.calls) == 2 and scene.upstream.open_calls)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    asked = Asked("", account, spending)
    assert asked.story == [("first", "MODEL_UNAVAILABLE"), ("resend", "STRAGGLER_CUT")]
    agree(asked, scene, spans)


async def test_a_hedge_beside_requests_that_are_sent_again_is_counted_with_them(scene: Scene) -> None:
    model = scene.model(replace(CALM, hedge=HedgeRule("rival", least_seen=2, share=1.0)))
    await scene.warm(model, 2)
    scene.upstream.script("m", Reset(), Silence(after_headers=True))

    async def speak_last(stage: Stage) -> None:
        await scene.upstream.wait_for(lambda: len(scene.upstream.calls_of("m")) == 2)
        await Speech("from the rival").play(stage)

    scene.upstream.script("rival", speak_last)
    with recorded() as spans:
        asked = await ask(model)
    assert asked.text == "from the rival"
    assert sorted(asked.story) == [
        ("first", "MODEL_UNAVAILABLE"),
        ("hedge", ""),
        ("resend", "STRAGGLER_CUT"),
    ]
    agree(asked, scene, spans)


async def test_a_connection_that_is_seen_to_be_closed_is_not_used() -> None:
    with UpstreamThread() as thread:
        thread.script("m", Speech("here"))
        async with Transport() as http:
            model = Scene(thread.upstream, http).model(CALM)
            await ask(model)
            thread.drop_connections()
            asked = await ask(model)  # before this loop has had the time to hear of it
    assert (asked.text, asked.story) == ("here", [("first", "")])
    assert len(thread.upstream.calls) == 2
