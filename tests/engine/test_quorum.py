"""When a layer closes: by answers and samples, never by refusals or by what no quorum counts, and then at once."""

import asyncio
from collections.abc import Mapping

from moa_server.domain.agent import Agent
from moa_server.domain.errors import ModelUnavailable
from moa_server.domain.event import Event, LayerStarted
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.proposal import LayerResult
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.facts import closed_layers, facts, failed, one_by_one, succeeded
from tests.engine.fakes import Asked, FakeModel, Script, failing, once, saying, silent, spec, texts, user
from tests.models.timeless_loop import now, timeless

NO = "I'm sorry, but I can't help with that."
SOON_S = 5.0


def after(seconds: float, text: str) -> Script:
    async def script(asked: Asked) -> None:
        await asyncio.sleep(seconds)
        asked.say(text)

    return script


def model(name: str, *scripts: Script) -> FakeModel:
    return FakeModel(spec(name), *scripts)


async def carried(
    strategy: str, models: Mapping[str, FakeModel], layers: list[str], rules: Rules = Rules(), **options: int
) -> list[Event]:
    """Carry out a mixture of agents with one letter each; ``z`` aggregates where there is one."""
    agents = {name: Agent(name, name) for name in models}
    roster = Roster(tuple(tuple(agents[name] for name in layer) for layer in layers), agents.get("z"))
    mixture = Mixture("mix", strategy, roster, rules, options=options)
    catalogue = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")
    async with Engine(catalogue, MemoryJournal(), Limits()) as engine:
        run = await engine.start(Query(user("hello"), "mix"), Ticket("tester", "", "hello"), None)
        return [event async for event in one_by_one(engine.watch(run.run_id))]


def closed(events: list[Event], layer: int = 0) -> LayerResult:
    return closed_layers(events)[layer]


@timeless
async def test_a_refusal_fills_no_quorum_while_others_still_speak() -> None:
    z = model("z")
    models = {"a": model("a", saying(NO)), "b": model("b", after(SOON_S, "the facts")), "z": z}
    events = await carried("aggregate", models, ["ab"], Rules(quorum=1))
    assert [proposal.text for proposal in closed(events).proposals] == ["the facts"]
    assert NO not in "".join(texts(z.asked[0].prompt))


@timeless
async def test_refusals_begin_no_grace_either() -> None:
    models = {
        "a": model("a", saying(NO)),
        "b": model("b", saying("a fact")),
        "c": model("c", after(SOON_S, "another")),
        "z": model("z"),
    }
    events = await carried("aggregate", models, ["abc"], Rules(quorum=2, grace_s=SOON_S / 5))
    assert [proposal.text for proposal in closed(events).proposals] == ["a fact", "another"]


@timeless
async def test_refusals_fill_a_quorum_that_nobody_else_can_fill() -> None:
    models = {
        "a": model("a", saying(NO)),
        "b": model("b", after(SOON_S, "a fact")),
        "c": model("c", failing(ModelUnavailable("down"))),
        "z": model("z"),
    }
    events = await carried("aggregate", models, ["abc"], Rules(quorum=2))
    assert [proposal.text for proposal in closed(events).proposals] == [NO, "a fact"]
    assert succeeded(events).answer.text == "from z"


@timeless
async def test_refusals_settle_no_vote_while_others_still_speak() -> None:
    """They would cut those who answer, and then be left out themselves."""
    models = {name: model(name, saying(NO)) for name in "abc"}
    models |= {name: model(name, after(SOON_S, "42")) for name in "de"}
    events = await carried("vote", models, ["abcde"])
    assert succeeded(events).answer.text == "42"


@timeless
async def test_a_vote_that_is_settled_waits_for_nobody() -> None:
    slow = model("c", silent())
    began = now()
    events = await carried("vote", {"a": model("a", saying("42")), "b": model("b", saying("42")), "c": slow}, ["abc"])
    assert now() - began < SOON_S
    assert [failure.reason for failure in closed(events).failures] == ["STRAGGLER_CUT"]
    assert slow.asked[0].cancelled
    assert succeeded(events).answer.degradations == (), "nothing was missed"


@timeless
async def test_a_quorum_whose_grace_is_over_waits_for_nobody() -> None:
    slow, began = model("c", silent()), now()
    models = {"a": model("a"), "b": model("b", after(SOON_S / 10, "within it")), "c": slow, "z": model("z")}
    events = await carried("aggregate", models, ["abc"], Rules(quorum=1, grace_s=SOON_S))
    assert SOON_S <= now() - began < SOON_S * 1.1
    assert [proposal.agent for proposal in closed(events).proposals] == ["a", "b"]
    assert [failure.reason for failure in closed(events).failures] == ["STRAGGLER_CUT"]


@timeless
async def test_a_quorum_counts_samples() -> None:
    sampled = model("a", saying("one"), saying("two"), silent())
    events = await carried("self_mixture", {"a": sampled, "z": model("z")}, ["a"], Rules(quorum=2), samples=4)
    assert facts(events, LayerStarted)[0].layer.quorum == 2
    assert [proposal.text for proposal in closed(events).proposals] == ["one", "two"]


@timeless
async def test_too_few_samples_are_below_the_quorum() -> None:
    sampled = model("a", saying("one"), failing(ModelUnavailable("down")))
    events = await carried("self_mixture", {"a": sampled, "z": model("z")}, ["a"], Rules(quorum=2), samples=4)
    assert failed(events).reason == "QUORUM_MISSED"


@timeless
async def test_a_merge_is_no_sample_and_is_waited_for() -> None:
    best = model("z", after(SOON_S, "merged"), saying("the answer"))
    options = {"samples": 5, "window": 3}
    events = await carried("self_mixture_sequential", {"a": model("a"), "z": best}, ["a"], Rules(quorum=1), **options)
    assert facts(events, LayerStarted)[1].layer.quorum == 1
    assert [proposal.agent for proposal in closed(events, 1).proposals] == ["z", "a", "a"]
    assert "merged" in "".join(texts(best.asked[1].prompt))


@timeless
async def test_a_failed_merge_misses_no_quorum() -> None:
    best = model("z", failing(ModelUnavailable("down")), saying("the answer"))
    options = {"samples": 5, "window": 3}
    events = await carried("self_mixture_sequential", {"a": model("a"), "z": best}, ["a"], Rules(quorum=2), **options)
    assert succeeded(events).answer.text == "the answer"


@timeless
async def test_the_running_best_goes_on_when_a_merge_is_cut_for_time() -> None:
    best = model("z", saying("merged"), silent(), saying("the answer"))
    options = {"samples": 7, "window": 3}
    events = await carried("self_mixture_sequential", {"a": model("a"), "z": best}, ["a"], Rules(), **options)
    assert "merged" in "".join(texts(best.asked[2].prompt))
    assert "strategy_fell_back" in [one.reason for one in succeeded(events).answer.degradations]


@timeless
async def test_a_later_layer_below_its_quorum_ends_the_run_as_the_mixture_says() -> None:
    down = failing(ModelUnavailable("down"))
    for fails, reason in ((True, "NO_PROPOSALS"), (False, "")):
        models = {name: model(name) for name in "abz"} | {name: model(name, down) for name in "cd"}
        rules = Rules(quorum=2, fail_below_quorum=fails)
        events = await carried("aggregate", models, ["ab", "cd"], rules)
        assert (failed(events).reason if fails else "") == reason
        assert fails or succeeded(events).answer.text == "from z"


@timeless
async def test_those_who_declined_before_all_others_failed_are_what_there_is() -> None:
    gate = asyncio.Event()

    async def down(_asked: Asked) -> None:
        await asyncio.sleep(SOON_S)
        gate.set()
        raise ModelUnavailable("down")

    models = {"a": model("a", saying(NO)), "b": model("b", down), "c": model("c", once(gate, NO)), "z": model("z")}
    events = await carried("aggregate", models, ["abc"], Rules(quorum=1))
    assert [proposal.text for proposal in closed(events).proposals] == [NO, NO]
