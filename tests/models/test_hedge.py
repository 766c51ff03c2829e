"""A rival is asked when a model is slower than usual, and only the first to speak is heard."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from moa_server.domain.agent import ReasoningEffort
from moa_server.domain.errors import ModelError, ModelStreamCut, ModelUnavailable
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.domain.reliability import HedgeRule
from moa_server.models.accounted import Accounted
from moa_server.models.hedge import Hedge
from moa_server.models.pace import Pace
from tests.models.fakes import PROMPT, Caller, Script, Scripted, scripted, spec
from tests.models.timeless_loop import now, timeless, unhurried

USUAL: list[Script] = [[1.0, "usual"]] * 4


def hedged(provider: Scripted, rival: Scripted, **more: Any) -> Hedge:  # noqa: ANN401 - any field
    return Hedge(Accounted(provider), Accounted(rival), HedgeRule("r", **{"least_seen": 4, "share": 1.0, **more}))


async def warm(model: Hedge) -> None:
    for _ in range(4):
        await Caller().ask(model)


@timeless
async def test_the_rival_is_asked_after_the_usual_time_and_the_slow_one_is_stopped() -> None:
    provider, rival = scripted("m", *USUAL, [100.0, "late"]), scripted("r", [0.5, "fast", 2.0, "er"])
    model, caller = hedged(provider, rival), Caller()
    await warm(model)
    started = now()
    reply = await caller.ask(model)
    assert (reply.text, caller.heard, caller.first_heard_at) == ("faster", ["fast", "er"], started + 1.5)
    assert provider.cancelled == 1
    assert caller.ledger.story == [("m", "first", "STRAGGLER_CUT"), ("r", "hedge", "")]


@timeless
async def test_the_rival_is_stopped_when_the_slow_one_speaks_after_all() -> None:
    provider, rival = scripted("m", *USUAL, [1.4, "here", 5.0]), scripted("r", [1.0, "late"])
    model, caller = hedged(provider, rival), Caller()
    await warm(model)
    assert (await caller.ask(model)).text == "here"
    assert rival.cancelled == 1
    assert caller.ledger.story == [("m", "first", ""), ("r", "hedge", "STRAGGLER_CUT")]


@timeless
async def test_nobody_is_asked_too_when_the_usual_time_is_kept_or_not_known() -> None:
    provider, rival = scripted("m", [50.0, "slow"], *USUAL), scripted("r")
    model = hedged(provider, rival)
    await warm(model)
    await Caller().ask(model)
    assert rival.called_at == []


@timeless
async def test_a_call_that_is_to_reason_is_not_late_by_the_pace_of_those_that_are_not() -> None:
    provider, rival = scripted("m", *USUAL, [50.0, "deep"]), scripted("r")
    model = hedged(provider, rival)
    await warm(model)
    deep = replace(PROMPT, sampling=replace(PROMPT.sampling, reasoning_effort=ReasoningEffort.LOW))
    assert (await Caller().ask(model, prompt=deep)).text == "deep"
    assert rival.called_at == []


@timeless
async def test_a_long_answer_that_has_begun_is_not_hedged() -> None:
    provider, rival = scripted("m", *USUAL, [0.5, "a", 100.0, "b"]), scripted("r")
    model = hedged(provider, rival)
    await warm(model)
    assert (await Caller().ask(model)).text == "ab"
    assert rival.called_at == []


@timeless
async def test_hedges_are_a_share_of_the_calls() -> None:
    provider, rival = scripted("m", *USUAL, [0.2, "x"], [2.0, "slow"]), scripted("r", [9.0, "never"])
    model = hedged(provider, rival, share=0.1, quantile=0.5)
    await warm(model)
    await asyncio.gather(*(Caller().ask(model) for _ in range(96)))
    assert len(rival.called_at) == 10


@timeless
async def test_if_one_fails_the_other_goes_on() -> None:
    provider, rival = scripted("m", *USUAL, [1.5, ModelUnavailable("500")]), scripted("r", [2.0, "saved"])
    model = hedged(provider, rival)
    await warm(model)
    assert (await Caller().ask(model)).text == "saved"
    provider, rival = scripted("m", *USUAL, [3.0, "late"]), scripted("r", [ModelUnavailable("500")])
    model, caller = hedged(provider, rival), Caller()
    await warm(model)
    assert (await caller.ask(model)).text == "late"
    assert caller.ledger.story == [("m", "first", ""), ("r", "hedge", "MODEL_UNAVAILABLE")]


@timeless
async def test_if_both_fail_it_is_the_models_own_failure() -> None:
    provider, rival = scripted("m", *USUAL, [3.0, ModelStreamCut("cut")]), scripted("r", [ModelUnavailable("500")])
    model = hedged(provider, rival)
    await warm(model)
    assert await Caller().failure(model) == "ModelStreamCut"


@timeless
async def test_a_failure_before_the_usual_time_asks_nobody_else() -> None:
    provider, rival = scripted("m", *USUAL, [0.5, ModelUnavailable("500")]), scripted("r")
    model = hedged(provider, rival)
    await warm(model)
    assert await Caller().failure(model) == "ModelUnavailable"
    assert rival.called_at == []


@timeless
async def test_a_winner_that_breaks_off_is_a_failure() -> None:
    provider, rival = scripted("m", *USUAL, [50.0, "late"]), scripted("r", ["half", ModelStreamCut("cut")])
    model, caller = hedged(provider, rival), Caller()
    await warm(model)
    assert await caller.failure(model) == "ModelStreamCut"
    assert caller.heard == ["half"]


@timeless
async def test_a_hedge_that_the_budget_does_not_cover_is_not_made() -> None:
    provider, rival = scripted("m", *USUAL, [9.0, "late"]), scripted("r")
    model = hedged(provider, rival)
    await warm(model)
    assert (await Caller(calls=1).ask(model)).text == "late"
    assert rival.called_at == []


@timeless
async def test_a_rival_that_cannot_take_the_prompt_is_not_asked() -> None:
    provider, rival = scripted("m", *USUAL, [9.0, "late"]), scripted(spec("r", window=50))
    model = hedged(provider, rival)
    await warm(model)
    assert (await Caller().ask(model)).text == "late"
    assert rival.called_at == []


@timeless
async def test_hedging_does_not_shorten_the_usual_time() -> None:
    provider, rival = scripted("m", *USUAL, [50.0, "late"]), scripted("r", [0.1, "fast"])
    model = hedged(provider, rival, share=2.0)
    await warm(model)
    for _ in range(300):
        started, caller = now(), Caller()
        await caller.ask(model)
        assert caller.first_heard_at is not None
        assert caller.first_heard_at - started == pytest.approx(1.1)


@timeless
async def test_hedging_does_not_breed_hedging() -> None:
    """The slow calls that are cut short still count as slow, or else ever more calls would."""
    thinking: list[Script] = [[(number * 7 % 20 + 1) / 10, "ok"] for number in range(20)]
    provider, rival = scripted("m", *thinking * 100), scripted("r", ["fast"])
    model = hedged(provider, rival, least_seen=20, share=2.0, quantile=0.9)
    for _ in range(1000):
        await Caller().ask(model)
    assert len(rival.called_at) <= 150


class _Stubborn:
    """A provider that has another word to say when it is stopped."""

    spec = spec("m")

    def __init__(self, *calls: Script) -> None:
        self.scripted = scripted("m", *calls)

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        try:
            return await self.scripted.speak(prompt, terms)
        except asyncio.CancelledError:
            terms.hear("by the way")
            raise


@timeless
async def test_the_loser_is_not_heard_even_if_it_speaks() -> None:
    stubborn = Accounted(_Stubborn(*USUAL, [9.0, "late"]))
    model = Hedge(stubborn, Accounted(scripted("r", ["fast"])), HedgeRule("r", least_seen=4, share=1.0))
    await warm(model)
    caller = Caller()
    await caller.ask(model)
    assert caller.heard == ["fast"]


def test_a_pace_forgets_what_is_long_past() -> None:
    pace = Pace()
    for seconds in [1.0] * 300 + [2.0] * 256:
        pace.note(seconds)
    assert pace.quantile(0.01, 1) == 2.0
    assert pace.quantile(0.95, 257) is None


@timeless
async def test_cancelling_stops_both() -> None:
    provider, rival = scripted("m", *USUAL, [50.0, "late"]), scripted("r", [50.0, "later"])
    model, caller = hedged(provider, rival), Caller()
    await warm(model)
    task = asyncio.create_task(caller.ask(model))
    await asyncio.sleep(10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (provider.cancelled, rival.cancelled) == (1, 1)
    assert [entry.closed for entry in caller.ledger.entries] == [1, 1]


ENDINGS = st.one_of(st.sampled_from(["a", "b"]), st.builds(ModelUnavailable, st.just("500")))
SCRIPTS = st.lists(st.one_of(st.floats(0, 4), ENDINGS), max_size=6)


@unhurried
@given(SCRIPTS, SCRIPTS, st.one_of(st.none(), st.floats(0.1, 8)))
def test_only_the_winners_text_is_heard_and_every_call_is_accounted(
    mine: Script, its: Script, cancelled_after: float | None
) -> None:
    @timeless
    async def check() -> None:
        provider, rival = scripted("m", *USUAL, mine), scripted("r", its)
        model, caller = hedged(provider, rival), Caller()
        await warm(model)
        made = len(provider.called_at)
        reply = None
        try:
            async with asyncio.timeout(cancelled_after):
                reply = await caller.ask(model)
        except (ModelError, TimeoutError):
            pass
        if reply is not None:
            assert "".join(caller.heard) == reply.text
            assert [entry.failure for entry in caller.ledger.entries].count("") == 1
        assert len(caller.ledger.entries) == len(provider.called_at) - made + len(rival.called_at)
        assert all(entry.closed == 1 for entry in caller.ledger.entries)
        assert (provider.under_way, rival.under_way) == (0, 0)

    check()
