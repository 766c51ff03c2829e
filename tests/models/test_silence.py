"""A model that is silent beyond its own pace is found out, whoever stops waiting; one that is only slow is not."""

import asyncio
from dataclasses import replace

import pytest

from moa_server.domain.agent import ReasoningEffort
from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import ModelRefused, ModelTimeout, ModelUnavailable
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import BreakerRule, HedgeRule, Reliability, RetryRule
from moa_server.models import breaker_state
from tests.models.fakes import PROMPT, Caller, Script, Scripted, scripted, spec, wrap
from tests.models.timeless_loop import TimelessLoop, now, timeless

RULES = Reliability(RetryRule(attempts=2, base_s=0.1), breaker=BreakerRule(open_s=15.0))
STOOD_IN = replace(RULES, fallbacks=("spare",))
QUICK: list[Script] = [[0.2, "ok"]] * 5
HANGS: Script = [1000.0]
DEEPLY: Script = [100.0, "deep"]
SLOW: list[Script] = [[10.0, "ok"]] * 5
DEEP = replace(PROMPT, sampling=replace(PROMPT.sampling, reasoning_effort=ReasoningEffort.HIGH))
LONG = Prompt((Message.of(Role.USER, "word " * 40_000),), PROMPT.sampling)


def model_of(*scripts: Script, rules: Reliability = RULES) -> Scripted:
    return scripted(spec("m", rules, window=1_000_000), *scripts)


class _Punctual:
    """A provider that keeps to the time that it is given, as real ones do."""

    def __init__(self, provider: Scripted) -> None:
        self.spec = provider.spec
        self._provider = provider

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        try:
            async with asyncio.timeout_at(terms.speak_by or terms.deadline):
                return await self._provider.speak(prompt, terms)
        except TimeoutError:
            raise ModelTimeout("silent") from None


async def asked(model: Model, times: int = 5) -> None:
    for _ in range(times):
        await Caller().ask(model)


async def cut(model: Model, after_s: float, times: int = 1, prompt: Prompt = PROMPT) -> None:
    """Ask, and leave."""
    for _ in range(times):
        try:
            async with asyncio.timeout(after_s):
                await Caller().ask(model, prompt=prompt)
        except TimeoutError:
            pass


@timeless
async def test_silence_well_beyond_the_pace_opens_it_after_a_few_calls_that_somebody_left() -> None:
    model = wrap(model_of(*QUICK, HANGS))
    await asked(model)
    await cut(model, 5.0, times=2)
    assert breaker_state(model) == "closed"
    await cut(model, 5.0)
    assert breaker_state(model) == "open"


@timeless
async def test_a_model_whose_answers_come_whole_is_never_silent() -> None:
    whole = spec("m", replace(RULES, breaker=BreakerRule(open_s=15.0, silence_s=0.5)), window=1_000_000)
    model = wrap(scripted(replace(whole, times=whole.times.of_whole_answers()), *QUICK, HANGS))
    await asked(model)
    await cut(model, 5.0, times=5)
    assert breaker_state(model) == "closed"


@timeless
async def test_a_loser_of_a_hedge_that_never_spoke_is_found_out() -> None:
    rules = replace(RULES, hedge=HedgeRule("r", least_seen=5, share=1.0))
    model = wrap(model_of(*QUICK, HANGS, rules=rules), scripted("r", [4.0, "from the rival"]))
    await asked(model, 8)
    assert breaker_state(model) == "open"


@timeless
async def test_a_call_that_was_cut_early_says_nothing() -> None:
    model = wrap(model_of(*QUICK, HANGS))
    await asked(model)
    await cut(model, 0.1, times=50)
    await cut(model, 1.5, times=50)
    assert breaker_state(model) == "closed"


@timeless
async def test_a_slow_model_is_judged_by_its_own_pace() -> None:
    model = wrap(model_of(*SLOW, [25.0, "ok"]))
    await asked(model)
    await cut(model, 24.0, times=50)
    assert breaker_state(model) == "closed"
    await asked(model)


@timeless
async def test_a_slow_model_is_not_left_by_its_own_pace_while_others_could_stand_in() -> None:
    spare = scripted("spare")
    model = wrap(model_of(*SLOW, [25.0, "slow"], rules=STOOD_IN), spare)
    await asked(model, 20)
    assert (spare.called_at, breaker_state(model)) == ([], "closed")


@timeless
async def test_a_call_that_is_to_reason_is_not_judged_by_the_pace_of_those_that_are_not() -> None:
    spare = scripted("spare")
    model = wrap(model_of(*QUICK, *[DEEPLY] * 10, [0.2, "ok"], rules=STOOD_IN), spare)
    await asked(model)
    for _ in range(10):
        assert (await Caller().ask(model, prompt=DEEP)).text == "deep"
    assert (spare.called_at, breaker_state(model)) == ([], "closed")
    await asked(model)


@timeless
async def test_the_patience_for_those_that_reason_is_none_for_the_others() -> None:
    model = wrap(model_of(*[DEEPLY] * 5, *QUICK, HANGS))
    for _ in range(5):
        await Caller().ask(model, prompt=DEEP)
    await asked(model)
    await cut(model, 5.0, times=3, prompt=DEEP)
    assert breaker_state(model) == "closed"
    await cut(model, 5.0, times=3)
    assert breaker_state(model) == "open"


@timeless
async def test_a_model_of_which_nothing_is_known_may_be_slow() -> None:
    model = wrap(model_of([30.0, "ok"]))
    await cut(model, 9.0, times=50)
    assert breaker_state(model) == "closed"
    await asked(model, 1)


@timeless
async def test_callers_in_a_hurry_say_little_of_a_model_of_which_nothing_is_known() -> None:
    model = wrap(model_of(HANGS))
    await asyncio.gather(*(cut(model, 12.0) for _ in range(9)))
    assert breaker_state(model) == "closed"


@timeless
async def test_a_slow_model_that_was_never_heard_out_is_trusted_once_it_is() -> None:
    model = wrap(model_of([40.0, "thought about it"]))
    await asyncio.gather(*(cut(model, 12.0) for _ in range(10)))
    assert breaker_state(model) == "open"
    await asyncio.sleep(15)
    await cut(model, 12.0)  # which tells nothing, and leaves the next one its turn
    await asked(model, 5)
    await asyncio.gather(*(cut(model, 12.0) for _ in range(20)))
    assert breaker_state(model) == "closed"


@timeless
async def test_a_model_that_never_spoke_in_all_its_share_of_the_time_is_found_out() -> None:
    provider = model_of([1000.0], rules=STOOD_IN)
    model = wrap(_Punctual(provider), scripted("spare"))
    for _ in range(3):
        assert breaker_state(model) == "closed"
        await Caller().ask(model, time_s=20.0)
    assert breaker_state(model) == "open"
    started = now()
    await Caller().ask(model, time_s=20.0)
    assert now() == started


@timeless
async def test_a_model_that_is_silent_up_to_its_own_limits_is_found_out_too() -> None:
    model = wrap(
        model_of([60.0, ModelTimeout("no token within 60 s")], rules=replace(RULES, retry=RetryRule(attempts=0)))
    )
    for _ in range(3):
        assert breaker_state(model) == "closed"
        await Caller().failure(model)
    assert breaker_state(model) == "open"


@timeless
async def test_any_byte_is_a_sign_of_life() -> None:
    pinging: Script = [1.0, None] * 50
    model = wrap(model_of(*QUICK, pinging))
    await asked(model)
    await cut(model, 40.0, times=20)
    assert breaker_state(model) == "closed"


@timeless
async def test_a_long_prompt_is_not_judged_by_the_pace_of_short_ones() -> None:
    model = wrap(model_of(*QUICK, [45.0, "read"]))
    await asked(model)
    await cut(model, 40.0, times=20, prompt=LONG)
    assert breaker_state(model) == "closed"
    await cut(model, 40.0, times=3)
    assert breaker_state(model) == "open"


@timeless
async def test_the_servers_own_delay_is_nobodys_silence() -> None:
    model, loop = wrap(model_of(*QUICK, [0.3, "ok"])), asyncio.get_running_loop()
    assert isinstance(loop, TimelessLoop)
    await asked(model)
    for _ in range(20):
        call = asyncio.create_task(Caller().ask(model))
        await asyncio.sleep(0.1)
        loop.pass_over(30.0)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
    assert breaker_state(model) == "closed"


@timeless
async def test_one_that_speaks_shows_that_the_others_are_silent_by_chance() -> None:
    now_and_then: list[Script] = [HANGS, HANGS, [0.2, "ok"]] * 10
    model = wrap(model_of(*QUICK, *now_and_then))
    await asked(model)
    for _ in range(3):
        await cut(model, 5.0, times=2)
        await asked(model, 1)
    assert breaker_state(model) == "closed"


@timeless
async def test_a_silence_by_chance_is_no_more_than_one_of_all_the_silences() -> None:
    model = wrap(model_of(*QUICK, HANGS, *QUICK * 20, HANGS))
    await asked(model)
    await cut(model, 10.0)
    await asked(model, 100)
    await cut(model, 3.0, times=3)
    assert breaker_state(model) == "open"


@timeless
async def test_the_silences_of_a_model_that_hung_are_no_pace_of_its_own() -> None:
    model = wrap(model_of(*QUICK, HANGS, HANGS, HANGS, [0.2, "back"], HANGS))
    await asked(model)
    await cut(model, 5.0, times=3)
    await asyncio.sleep(15.0)
    await asked(model, 1)
    await cut(model, 3.0, times=3)
    assert breaker_state(model) == "open"


@timeless
async def test_a_probe_that_is_silent_for_too_long_costs_another_break() -> None:
    model = wrap(model_of(*QUICK, HANGS))
    await asked(model)
    await cut(model, 5.0, times=3)
    await asyncio.sleep(15.0)
    assert await Caller().failure(model) == "ModelTimeout"
    assert await Caller().failure(model) == "ModelBreakerOpen"


@timeless
async def test_a_call_from_before_that_speaks_after_all_closes_it_again() -> None:
    model = wrap(model_of(*QUICK, [20.0, "late"], HANGS))
    await asked(model)
    late = asyncio.create_task(Caller().ask(model))
    await asyncio.sleep(0)
    await cut(model, 5.0, times=3)
    assert breaker_state(model) == "open"
    await late
    assert breaker_state(model) == "closed"


@timeless
async def test_an_overload_that_makes_all_answers_late_fails_none_of_them() -> None:
    provider = model_of(*QUICK, [30.0, "late"])
    model = wrap(provider)
    await asked(model)
    await asyncio.gather(*(Caller().ask(model) for _ in range(50)))
    assert breaker_state(model) == "closed"


@timeless
async def test_a_model_that_thinks_longer_now_and_then_is_not_held_to_its_quick_answers_for_ever() -> None:
    mixed: list[Script] = [*QUICK, [14.0, "thought"]]
    spare = scripted("spare")
    model = wrap(model_of(*QUICK, *mixed * 40, rules=STOOD_IN), spare)
    await asked(model, 120)
    assert len(spare.called_at) <= 3
    assert breaker_state(model) == "closed"


@timeless
async def test_silence_in_the_middle_of_an_answer_counts_too() -> None:
    whole: list[Script] = [[0.2, "some ", 0.2, "words"]] * 5
    model = wrap(model_of(*whole, [0.2, "half", 1000.0]))
    await asked(model)
    await cut(model, 2.5, times=2)
    assert breaker_state(model) == "closed"
    await cut(model, 2.5)
    assert breaker_state(model) == "open"


@timeless
async def test_a_model_that_never_finished_an_answer_may_fall_silent_as_often_as_any() -> None:
    model = wrap(model_of([0.2, "half", 60.0, ModelTimeout("no token within 60 s")]))
    for _ in range(3):
        assert breaker_state(model) == "closed"
        await Caller().failure(model)
    assert breaker_state(model) == "open"


@timeless
async def test_others_are_asked_once_a_model_is_silent_beyond_its_pace_and_at_once_when_it_is_open() -> None:
    model = wrap(model_of(*QUICK, HANGS, rules=STOOD_IN), scripted("spare", [0.1, "instead"]))
    await asked(model)
    for waited in (2.1, 2.1, 2.1, 0.1, 0.1):
        started = now()
        assert (await Caller().ask(model)).text == "instead"
        assert now() - started == pytest.approx(waited)
    caller = Caller()
    await caller.ask(model)
    assert caller.ledger.story == [("spare", "fallback", "")]


@timeless
async def test_a_model_that_is_silent_is_not_asked_again_before_the_others_are() -> None:
    model, caller = wrap(model_of(*QUICK, HANGS, rules=STOOD_IN), scripted("spare")), Caller()
    await asked(model)
    await caller.ask(model)
    assert caller.ledger.story == [("m", "first", "MODEL_TIMEOUT"), ("spare", "fallback", "")]


async def opened(*later: Script, spare: Script = (0.1, "instead")) -> tuple[Model, Scripted]:
    """Return a model that hung and is due for a trial, in which it does as is said."""
    provider = model_of(*QUICK, HANGS, HANGS, HANGS, *later, rules=STOOD_IN)
    model = wrap(provider, scripted("spare", spare))
    for _ in range(8):
        await Caller().failure(model)
    assert breaker_state(model) == "open"
    await asyncio.sleep(15)
    return model, provider


@timeless
async def test_a_trial_is_made_beside_the_others_and_nobody_waits_for_it() -> None:
    model, _ = await opened(HANGS)
    started, caller = now(), Caller()
    assert (await caller.ask(model)).text == "instead"
    assert caller.first_heard_at == started + 0.1
    assert now() - started == pytest.approx(0.2)  # until it usually speaks
    assert sorted(caller.ledger.story) == [("m", "hedge", "STRAGGLER_CUT"), ("spare", "fallback", "")]
    assert breaker_state(model) == "open"
    assert (await caller.ask(model)).text == "instead"
    assert len(caller.ledger.entries) == 3


@pytest.mark.parametrize("spare", [[0.01, "instead"], [0.01, "inst", 5.0, "ead"], [0.5, "instead"]])
def test_a_model_that_is_sound_again_is_trusted_again_however_quick_the_others_are(spare: Script) -> None:
    @timeless
    async def check() -> None:
        model, provider = await opened([0.15, "back ", 3.0, "again"], [0.2, "well"], spare=spare)
        first = Caller()
        told = (await first.ask(model)).text
        assert told == "".join(first.heard)
        assert told == ("back again" if spare[0] == 0.5 else "instead")
        assert breaker_state(model) == "closed"
        assert (await Caller().ask(model)).text == "well"
        assert provider.under_way == 0

    check()


@timeless
async def test_others_that_come_during_a_trial_are_stood_in_for_at_once() -> None:
    model, provider = await opened(HANGS, spare=[0.1, "instead", 5.0])
    before = len(provider.called_at)
    callers = [Caller() for _ in range(5)]
    await asyncio.gather(*(caller.ask(model) for caller in callers))
    assert all("".join(caller.heard) == "instead" for caller in callers)
    assert len(provider.called_at) == before + 1
    assert breaker_state(model) == "open"


@timeless
async def test_where_the_budget_has_one_call_left_it_is_not_spent_on_the_trial() -> None:
    model, _ = await opened(HANGS)
    caller = Caller(calls=1)
    assert (await caller.ask(model)).text == "instead"
    assert caller.ledger.story == [("spare", "fallback", "")]


@timeless
async def test_a_trial_is_heard_where_nobody_can_stand_in_after_all() -> None:
    model, _ = await opened([0.2, "back"], spare=[0.1, ModelUnavailable("500")])
    assert (await Caller().ask(model)).text == "back"
    assert breaker_state(model) == "closed"


@timeless
async def test_cancelling_a_trial_leaves_nothing_behind() -> None:
    model, provider = await opened(HANGS, spare=[100.0, "instead"])
    await cut(model, 1.0)
    assert provider.under_way == 0
    assert breaker_state(model) == "open"


@timeless
async def test_a_probe_that_the_model_refuses_shows_that_it_is_well_and_begins_the_count_anew() -> None:
    model = wrap(model_of(*QUICK, HANGS, HANGS, HANGS, [ModelRefused("no")], HANGS))
    await asked(model)
    await cut(model, 5.0, times=3)
    await asyncio.sleep(15.0)
    assert await Caller().failure(model) == "ModelRefused"
    assert breaker_state(model) == "closed"
    await cut(model, 5.0, times=2)
    assert breaker_state(model) == "closed"
    await cut(model, 5.0)
    assert breaker_state(model) == "open"


@timeless
async def test_a_trial_of_a_slow_model_that_is_alive_is_believed_until_it_is_silent_again() -> None:
    alive: Script = [0.5, None, 1000.0]
    provider = model_of(*SLOW, HANGS, HANGS, HANGS, alive, HANGS, rules=STOOD_IN)
    model = wrap(provider, scripted("spare", [0.1, "instead"]))
    await asked(model, 8)
    assert breaker_state(model) == "open"
    await asyncio.sleep(15.0)
    await asked(model, 1)
    assert breaker_state(model) == "closed"
    await asked(model, 1)
    assert breaker_state(model) == "open"


@timeless
async def test_an_older_answer_that_fell_silent_does_not_undo_that_a_trial_is_believed() -> None:
    half: Script = [0.5, "half", 1000.0]
    alive: Script = [0.5, None, 1000.0]
    provider = model_of(*SLOW, half, HANGS, HANGS, HANGS, alive, rules=STOOD_IN)
    model = wrap(provider, scripted("spare", [0.1, "instead"]))
    await asked(model)
    older = asyncio.create_task(cut(model, 130.0))
    await asyncio.sleep(1.0)
    await asked(model, 3)
    assert breaker_state(model) == "open"
    await asyncio.sleep(15.0)
    await asked(model, 1)
    await older
    assert breaker_state(model) == "closed"


@timeless
async def test_a_trial_of_a_slow_model_that_shows_no_sign_of_life_is_not_believed() -> None:
    model = wrap(model_of(*SLOW, HANGS, rules=STOOD_IN), scripted("spare", [0.1, "instead"]))
    await asked(model, 8)
    await asyncio.sleep(15.0)
    await asked(model, 1)
    assert breaker_state(model) == "open"


@pytest.mark.parametrize("spare_s", [0.1, 0.5])
def test_a_trial_of_a_quick_model_that_is_alive_but_late_is_not_believed(spare_s: float) -> None:
    @timeless
    async def check() -> None:
        model, _ = await opened([0.05, None, 1000.0], spare=[spare_s, "instead"])
        await asked(model, 1)
        assert breaker_state(model) == "open"

    check()


@timeless
async def test_nobody_waits_for_the_trial_of_a_model_of_unknown_pace() -> None:
    down: Script = [ModelUnavailable("500")]
    model = wrap(model_of(*[down] * 10, HANGS, rules=STOOD_IN), scripted("spare", [0.1, "instead"]))
    while breaker_state(model) == "closed":
        await asked(model, 1)
    await asyncio.sleep(15.0)
    started = now()
    await asked(model, 1)
    assert now() - started == pytest.approx(0.1)


@timeless
async def test_every_word_ends_a_silence() -> None:
    talking: Script = [0.2, *("word ", 1.0) * 100]
    model = wrap(model_of(*QUICK, talking))
    await asked(model)
    await cut(model, 10.5, times=5)
    assert breaker_state(model) == "closed"


@timeless
async def test_pauses_between_words_make_nobody_patient_with_the_first() -> None:
    halting: list[Script] = [[0.2, "a ", 5.0, "b"]] * 5
    model = wrap(model_of(*halting, HANGS))
    await asked(model)
    await cut(model, 3.0, times=3)
    assert breaker_state(model) == "open"
