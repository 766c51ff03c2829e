"""What callers and operators are told of models that fail: in the answer, in events, on spans and in metrics."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from moa.v1 import moa_service_pb2 as pb
from moa.v1 import plan_pb2
from moa_server.domain.agent import Agent
from moa_server.domain.errors import ModelStreamCut, ModelUnavailable
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.reliability import BreakerRule, HedgeRule, Reliability
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.models import breaker_state, build_models
from moa_server.strategies import STRATEGIES
from moa_server.telemetry import names
from moa_server.telemetry.run_metrics import RunMetrics
from tests.models.fakes import PLAIN, Caller, Scripted, scripted, spec
from tests.service.conftest import Serve, ask, events_of, synthesize
from tests.telemetry.spans import measure, measured, recorded

DOWN = ModelUnavailable("500")
FRAGILE = BreakerRule(least_calls=2, open_s=60.0)


@asynccontextmanager
async def offering(name: str, *providers: Scripted, rules: Rules = Rules()) -> AsyncIterator[Engine]:
    """Offer a mixture of the models ``a`` and ``b``, and of ``boss``, who answers."""
    by_name = {one.spec.name: one for one in providers}
    models = build_models([one.spec for one in providers], lambda one: by_name[one.name])
    agents = {one: Agent(one, one) for one in ("a", "b", "boss")}
    mixture = Mixture(name, "aggregate", Roster(((agents["a"], agents["b"]),), agents["boss"]), rules)
    catalogue = Catalogue(models, {name: mixture}, STRATEGIES, agents, name)
    async with Engine(catalogue, MemoryJournal(), breaker_of=breaker_state, on_fact=RunMetrics().see) as engine:
        yield engine


async def test_degradations_are_in_the_answer_in_events_on_the_span_and_counted(serve: Serve) -> None:
    measure()
    standing_in = replace(PLAIN, fallbacks=("spare",))
    voices = (
        scripted(spec("a", PLAIN), [DOWN]),
        scripted(spec("b", standing_in), [DOWN]),
        scripted(spec("boss"), ["half", ModelStreamCut("cut")], ["whole"]),
        scripted(spec("spare"), ["from the spare"]),
    )
    with recorded() as spans:
        async with offering("degraded", *voices, rules=Rules(restart_answer=True)) as engine:
            served = await serve(engine=engine)
            events = await events_of(served.stub.Synthesize(synthesize()))
    answer = events[-1].run_succeeded.answer
    reasons = [plan_pb2.DegradationReason.Name(one.reason) for one in answer.degradations]
    assert reasons == [
        "DEGRADATION_REASON_AGENT_FAILED",
        "DEGRADATION_REASON_FALLBACK_SERVED",
        "DEGRADATION_REASON_AGENT_FAILED",
        "DEGRADATION_REASON_ANSWER_RESTARTED",
    ]
    assert answer.degraded
    [restarted] = [event.answer_restarted for event in events if event.HasField("answer_restarted")]
    assert restarted.degradation == answer.degradations[3]
    [span] = spans.named("invoke_workflow degraded")
    assert (span.attributes or {})[names.DEGRADATIONS] == ("agent_failed", "answer_restarted", "fallback_served")
    counted = {
        attributes[names.DEGRADATION_REASON]: point.value
        for attributes, point in measured(names.DEGRADED)
        if attributes[names.MIXTURE] == "degraded"
    }
    assert counted == {"agent_failed": 2, "answer_restarted": 1, "fallback_served": 1}


async def test_the_wire_tells_who_was_asked_and_who_served(serve: Serve) -> None:
    voices = (
        scripted(spec("a"), ["mine"]),
        scripted(spec("b", replace(PLAIN, fallbacks=("spare",))), [DOWN]),
        scripted(spec("boss", replace(PLAIN, fallbacks=("spare",))), [DOWN]),
        scripted(spec("spare"), ["from the spare"]),
    )
    async with offering("mix", *voices) as engine:
        served = await serve(engine=engine)
        response = await served.stub.Query(ask())
    assert [(one.model, one.served_model) for one in response.layers[0].proposals] == [("a", "a"), ("b", "spare")]
    kinds = [plan_pb2.DegradationReason.Name(one.reason) for one in response.answer.degradations]
    assert kinds == ["DEGRADATION_REASON_FALLBACK_SERVED"] * 2
    assert (response.answer.model, response.answer.served_model) == ("boss", "spare")
    attempts = [(one.model, one.served_model, one.kind) for one in response.layers[0].proposals[1].attempts]
    assert attempts == [("b", "", 1), ("spare", "served-spare", 4)]


async def test_a_mixture_shows_the_breakers_of_its_models_and_of_those_that_stand_in(serve: Serve) -> None:
    guarded = Reliability(PLAIN.retry, breaker=FRAGILE)
    voices = (
        scripted(spec("a", replace(guarded, hedge=HedgeRule("rival"), fallbacks=("spare",))), ["well"]),
        scripted(spec("b", guarded), [DOWN]),
        scripted(spec("boss", PLAIN)),
        scripted(spec("spare", guarded), [DOWN]),
        scripted(spec("rival", replace(guarded, breaker=replace(FRAGILE, open_s=0.0))), [DOWN], [DOWN], [1000.0]),
    )
    async with offering("mix", *voices) as engine:
        models = engine.catalogue.models
        for name in ("b", "spare", "rival"):
            await Caller().failure(models[name])
            await Caller().failure(models[name])
        probe = asyncio.create_task(Caller().ask(models["rival"]))
        served = await serve(engine=engine)
        [mixture] = (await served.stub.ListMixtures(pb.ListMixturesRequest())).mixtures
        probe.cancel()
    states = {one.name: plan_pb2.BreakerState.Name(one.breaker) for one in mixture.models}
    assert states == {
        "a": "BREAKER_STATE_CLOSED",
        "b": "BREAKER_STATE_OPEN",
        "boss": "BREAKER_STATE_UNSPECIFIED",
        "spare": "BREAKER_STATE_OPEN",
        "rival": "BREAKER_STATE_HALF_OPEN",
    }
