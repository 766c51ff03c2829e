"""A run that was not sent all that its agents were set to says so, in its events and in its answer, whoever ends it."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from moa_server.domain.agent import Agent, Sampling
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.event import ProposalReceived, RunDegraded
from moa_server.domain.model import AttemptKind, ModelSpec
from moa_server.domain.ports import Model
from moa_server.domain.reliability import Reliability, RetryRule
from moa_server.domain.usage import Budget
from moa_server.models import build_models
from moa_server.providers import PROVIDERS, Transport
from tests.engine.facts import closed_layers, facts, failed, started, succeeded
from tests.engine.houses import OWNERSHIP_S, OpenHouse, ownership
from tests.engine.journals import CutOff, SharedJournal
from tests.upstream import Silence, Speech, Upstream
from tests.upstream.picky import Picky, by_message

CALM = Reliability(RetryRule(attempts=0))
AGENTS = {
    "gpt": Agent("gpt", "gpt", sampling=Sampling(temperature=0.2, stop=("END",), presence_penalty=0.5)),
    "claude": Agent("claude", "claude", sampling=Sampling(temperature=0.7, top_p=0.9)),
    "local": Agent("local", "local", sampling=Sampling(temperature=0.9)),
    "boss": Agent("boss", "boss", sampling=Sampling(temperature=0.0)),
}
PANEL = [["gpt", "claude", "local"]]
DIALECTS = {"gpt": "openai", "claude": "anthropic", "local": "openai", "boss": "anthropic", "spare": "openai"}
DROPPED = DegradationReason.PARAMETER_DROPPED


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    async with Upstream() as scripted:
        scripted.script("gpt", Picky(["temperature", "stop", "presence_penalty"], Speech("from gpt")))
        scripted.script("claude", Picky(["temperature", "top_p"], Speech("from claude"), by_message))
        scripted.script("*", Speech("a text"))
        yield scripted


@pytest.fixture
async def http() -> AsyncIterator[Transport]:
    async with Transport() as transport:
        yield transport


def models_of(upstream: Upstream, http: Transport, **rules: Reliability) -> dict[str, Model]:
    specs = [
        ModelSpec(name, dialect, upstream.endpoint, name, reliability=rules.get(name, CALM))
        for name, dialect in DIALECTS.items()
    ]
    return build_models(specs, lambda spec: PROVIDERS[spec.provider](spec, http))


def dropped(name: str, model: str) -> tuple[str, str]:
    return f"{name} was not sent to {model}, which does not take it", model


EXPECTED = [
    dropped("presence_penalty", "gpt"),
    dropped("stop", "gpt"),
    dropped("temperature", "gpt"),
    dropped("temperature", "claude"),
    dropped("top_p", "claude"),
]


async def test_models_of_today_answer_and_it_is_told_what_they_were_not_sent(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    house = await open_house(models_of(upstream, http), PANEL, agents=AGENTS)
    for round_ in range(2):
        events = await house.carried()
        answer = succeeded(events).answer
        told = sorted((one.detail, one.agent) for one in answer.degradations if one.reason is DROPPED)
        assert told == sorted(EXPECTED)
        assert [fact.degradation for fact in facts(events, RunDegraded)] == [*answer.degradations]
        [layer] = [layer for layer in closed_layers(events) if not layer.answers]
        assert [proposal.text for proposal in layer.proposals] == ["from gpt", "from claude", "a text"]
        kinds = [[attempt.kind for attempt in proposal.attempts] for proposal in layer.proposals]
        first, adjusted = AttemptKind.FIRST, AttemptKind.ADJUSTED
        found = [[first, *[adjusted] * 3], [first, *[adjusted] * 2], [first]]
        assert kinds == ([[first]] * 3 if round_ else found)
    assert all("temperature" in call.body for name in ("local", "boss") for call in upstream.calls_of(name))


async def test_what_was_not_sent_is_still_told_by_the_next_owner(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    way = CutOff(journal)
    models = models_of(upstream, http)
    upstream.script("local", Silence(), Speech("at last"))
    one = await open_house(models, PANEL, agents=AGENTS, journal=way, ownership=ownership("one"))
    two = await open_house(models, PANEL, agents=AGENTS, journal=journal, ownership=ownership("two"))
    run = await one.start(detached=True)
    await two.journaled(run.run_id, ProposalReceived, 2)
    await upstream.wait_for(lambda: upstream.calls_of("local"))
    way.cut.set()
    events = await two.events(run.run_id)
    degradations = succeeded(events).answer.degradations
    assert sorted((one.detail, one.agent) for one in degradations) == sorted(EXPECTED)
    assert sorted(fact.degradation.detail for fact in facts(events, RunDegraded)) == sorted(
        one.detail for one in degradations
    )
    assert len(upstream.calls_of("claude")) == 3, "nobody who had answered is asked again"


async def test_who_stands_in_is_told_of_by_its_own_name(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("local", Picky(["model"]))
    upstream.script("spare", Picky(["temperature"]))
    models = models_of(upstream, http, local=replace(CALM, fallbacks=("spare",)))
    house = await open_house(models, [["local"]], agents=AGENTS)
    degradations = succeeded(await house.carried()).answer.degradations
    assert [one.detail for one in degradations] == [
        "spare served in place of local",
        dropped("temperature", "spare")[0],
    ]


async def test_what_the_house_of_a_model_is_known_not_to_take_is_told_too(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("claude", Speech("from claude"))
    house = await open_house(models_of(upstream, http), [["claude"]], agents=AGENTS)
    degradations = succeeded(await house.carried()).answer.degradations
    assert [one.detail for one in degradations] == [dropped("top_p", "claude")[0]]
    [call] = upstream.calls_of("claude")
    assert (call.body["temperature"], "top_p" in call.body) == (0.7, False)


async def test_no_run_makes_more_calls_than_its_worst_case_with_failures(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    upstream.script("boss", Picky(["temperature", "model"]))
    models = models_of(upstream, http)
    house = await open_house(models, PANEL, agents=AGENTS)
    events = await house.carried()
    worst = started(events).plan.worst_case_with_failures
    # Each sets so many parameters, and has a limit whose name can be refused.
    assert worst is not None
    assert len(upstream.calls) <= worst.calls == (1 + 4) + (1 + 3) + (1 + 2) + (1 + 2)


async def test_a_budget_in_calls_that_covers_no_other_call_is_kept(
    open_house: OpenHouse, upstream: Upstream, http: Transport
) -> None:
    house = await open_house(models_of(upstream, http), [["gpt"]], agents=AGENTS, budget=Budget(calls=2))
    assert failed(await house.carried()).reason == "MODELS_UNUSABLE"
    assert len(upstream.calls) == 1
