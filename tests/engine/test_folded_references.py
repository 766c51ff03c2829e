"""References that do not fit even when they are cut are folded, where the mixture allows it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import ModelStreamCut, ModelWindowExceeded, NoProposals
from moa_server.domain.event import AnswerDelta, AnswerRestarted, LayerClosed, LayerStarted, RunSucceeded
from moa_server.domain.mixture import Rules
from moa_server.domain.model import ModelSpec
from moa_server.domain.usage import Budget
from moa_server.journal.codec import Codec
from tests.engine.facts import closed_layers, ended, failed, started, succeeded
from tests.engine.fakes import FakeModel, Script, failing, saying, silent, spec
from tests.engine.houses import OWNERSHIP_S, House, OpenHouse, ownership
from tests.engine.journals import SharedJournal
from tests.engine.stories import SEEDS, Story, billed, many
from tests.engine.story_runs import Told, patiently, replayed, tell
from tests.strategies.driver import prompt_of
from tests.strategies.settings import SETTINGS

FOLD = Rules(fold_when_too_long=True)
LONG = "many words " * 150
SIX = [f"a{number}" for number in range(6)]


async def council(open_house: OpenHouse, window: int, *scripts: Script, rules: Rules = FOLD) -> tuple[House, FakeModel]:
    boss = FakeModel(spec("boss", window=window), *scripts or [saying("the ", "answer")])
    models = {name: FakeModel(spec(name), saying(f"{name}: {LONG}")) for name in SIX}
    return await open_house({**models, "boss": boss}, [SIX], rules=rules), boss


async def test_a_small_window_has_the_references_folded_and_the_last_merge_streamed(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, 1600)
    events = await house.carried()
    answer = succeeded(events).answer
    assert answer.text == "the answer"
    assert [event.fact.text for event in events if isinstance(event.fact, AnswerDelta)] == ["the ", "answer"]
    assert DegradationReason.STRATEGY_FELL_BACK in {one.reason for one in answer.degradations}
    assert len(boss.asked) == 3, "the prompt that did not fit was not sent"
    asked = [one.prompt.messages[-1].text for one in boss.asked]
    assert [[name for name in SIX if f"{name}:" in text] for text in asked] == [SIX[:3], SIX[3:5], SIX[5:]]
    assert all("the answer" in text for text in asked[1:])
    assert ended(events).usage.calls == 9 <= started(events).plan.worst_case.calls == 10


async def test_a_window_that_is_large_enough_is_not_folded_for(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, 8192)
    answer = succeeded(await house.carried()).answer
    assert (answer.text, answer.degradations, len(boss.asked)) == ("the answer", (), 1)


async def test_references_are_cut_as_short_as_can_be_where_folding_is_not_allowed(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, 1600, rules=Rules())
    answer = succeeded(await house.carried()).answer
    assert len(boss.asked) == 1
    assert {one.reason for one in answer.degradations} == {DegradationReason.REFERENCES_TRIMMED}


async def test_an_endpoint_that_still_says_too_long_after_a_tighter_trim_has_them_folded(open_house: OpenHouse) -> None:
    too_long = failing(ModelWindowExceeded("too long"))
    house, boss = await council(open_house, 8192, too_long, too_long, saying("merged"))
    events = await house.carried()
    assert succeeded(events).answer.text == "merged"
    assert len(boss.asked) == 5
    assert ended(events).usage.calls == 11


async def test_another_failure_is_not_folded_for(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, 8192, failing(ModelStreamCut("cut")))
    answer = succeeded(await house.carried()).answer
    assert answer.text.startswith("a0:")
    assert DegradationReason.STRATEGY_FELL_BACK not in {one.reason for one in answer.degradations}
    assert len(boss.asked) == 1


async def test_an_answer_that_has_begun_is_never_folded_for(open_house: OpenHouse) -> None:
    house, boss = await council(open_house, 8192, failing(ModelWindowExceeded("too long"), "half a "))
    end = failed(await house.carried())
    assert (end.reason, end.partial_text, len(boss.asked)) == ("ANSWER_FAILED", "half a ", 1)


@pytest.mark.parametrize(("allowed", "calls"), [(True, 10), (False, 7)])
async def test_the_worst_case_holds_the_merges_where_they_are_allowed(
    open_house: OpenHouse,
    allowed: bool,  # noqa: FBT001
    calls: int,
) -> None:
    house, _ = await council(open_house, 8192, rules=Rules(fold_when_too_long=allowed))
    plan = started(await house.carried()).plan
    assert plan.worst_case.calls == calls == sum(len(layer.agents) for layer in plan.layers)


async def test_a_fold_goes_on_where_it_was_when_another_server_takes_the_run_over(open_house: OpenHouse) -> None:
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)
    stuck = FakeModel(spec("boss", window=1600), saying("merged once"), saying("merged twice"), silent())
    fresh = FakeModel(spec("boss", window=1600), saying("carried on"))
    one, two = [
        await open_house(
            {**{name: FakeModel(spec(name), saying(f"{name}: {LONG}")) for name in SIX}, "boss": boss},
            [SIX],
            rules=FOLD,
            journal=journal,
            ownership=ownership(name),
        )
        for name, boss in (("one", stuck), ("two", fresh))
    ]
    run = await one.start(detached=True)
    await two.journaled(run.run_id, LayerClosed, 4)
    await one.engine.close(0)
    events = await two.events(run.run_id)
    assert succeeded(events).answer.text == "carried on"
    [asked] = fresh.asked
    assert "merged twice" in asked.prompt.messages[-1].text
    assert "a5: many" in asked.prompt.messages[-1].text
    assert DegradationReason.STRATEGY_FELL_BACK in {one.reason for one in succeeded(events).answer.degradations}


class Cramped(Story):
    """A story whose answering agents can hold next to nothing."""

    def spec(self, name: str) -> ModelSpec:
        told = super().spec(name)
        small = name == "z" or (name == "c0" and self.setting.roster.aggregator is None)
        return ModelSpec(
            name, "fake", "nowhere", name, window=900 if small else told.window, max_output=60, price=told.price
        )


FOLDING = [
    place for place, setting in enumerate(SETTINGS)
    if setting.strategy in {"aggregate", "self_mixture", "self_mixture_sequential", "debate", "coordinate", "cascade"}
]  # fmt: skip
CRAMPED = st.builds(
    Cramped,
    which=st.sampled_from(FOLDING),
    rules=st.builds(
        Rules,
        fold_when_too_long=st.sampled_from([True]),
        restart_answer=st.booleans(),
        best_proposal_on_failure=st.booleans(),
    ),
    seed=SEEDS,
    failing=st.sampled_from([0.0, 0.2]),
    priced=st.booleans(),
    instructions=st.just({}),
    budget=st.just(Budget()),
)


def folded(told: Told) -> bool:
    return sum(event.fact.layer.answers for event in told.events if isinstance(event.fact, LayerStarted)) > 1


def test_the_cramped_stories_are_folded_often_enough_to_tell() -> None:
    told = [patiently(tell(Cramped(which, FOLD, seed, 0.0), text="x" * 1800)) for which in FOLDING for seed in range(3)]
    assert sum(one is not None and folded(one) for one in told) >= len(told) // 4


@many(150)
@given(CRAMPED, st.integers(1500, 2000))
def test_a_folded_run_keeps_to_its_plan_and_replays_to_the_same_answer(story: Cramped, asked: int) -> None:
    told = patiently(tell(story, text="x" * asked))
    assert told is not None
    assert [event.sequence for event in told.events] == list(range(1, len(told.events) + 1))
    restarts = sum(isinstance(event.fact, AnswerRestarted) for event in told.events)
    ledger = billed(told.models)
    assert told.end.usage == ledger
    assert ledger.calls <= told.plan.worst_case.calls + restarts
    assert ledger.tokens <= told.plan.worst_case.tokens or restarts
    codec = Codec()
    events = codec.read_events("r", codec.events(told.events))
    results = closed_layers(events)
    try:
        layers, answer = replayed(codec.read_plan(codec.plan(told.plan)), results)
    except NoProposals:
        return
    started = [event.fact.layer.agents for event in told.events if isinstance(event.fact, LayerStarted)]
    assert [tuple(call.agent for call in layer.calls) for layer in layers][: len(started)] == started
    assert all(prompt_of(told.plan, call) for layer in layers for call in layer.calls)
    if isinstance(told.end, RunSucceeded):
        assert answer is not None
        assert answer.text == told.end.answer.text == told.shown
