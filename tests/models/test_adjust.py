"""A model is asked once more without what it refuses, and that is remembered for it, for an hour."""

import asyncio
from dataclasses import replace

from moa_server.domain.agent import Sampling
from moa_server.domain.errors import ModelRejectedRequest, ModelUnavailable, RefusalReach
from moa_server.domain.model import AttemptKind, Prompt, Reply
from moa_server.domain.ports import CallTerms, Model
from moa_server.domain.reliability import ConcurrencyRule, Reliability, RetryRule
from tests.models.fakes import PLAIN, PROMPT, Caller, Scripted, hedged_by, spec, wrap
from tests.models.timeless_loop import now, timeless

HOUR_S = 3600.0
TEMPERATURE = frozenset({"temperature"})
BOTH = frozenset({"temperature", "top_p"})
WARM = replace(PROMPT, sampling=Sampling(temperature=0.5, top_p=0.9, max_tokens=100))
PERSISTENT = replace(PLAIN, retry=RetryRule(attempts=2, base_s=1.0, least_in_window=100))


def refusal(parameter: str, reach: RefusalReach = RefusalReach.MODEL) -> ModelRejectedRequest:
    error = ModelRejectedRequest(f"{parameter} is refused")
    error.parameter, error.reach = parameter, reach
    return error


class Refusing(Scripted):
    """Refuses, one at a time, what it is asked for with these parameters, and then follows its scripts."""

    def refuse(self, *parameters: str, reach: RefusalReach = RefusalReach.MODEL, after_s: float = 0.0) -> "Refusing":
        self.refused, self.reach, self.after_s = parameters, reach, after_s
        self.failing: list[Exception] = []
        self.asked: list[tuple[AttemptKind, frozenset[str]]] = []
        return self

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        self.asked.append((terms.kind, prompt.left_out))
        await asyncio.sleep(self.after_s)
        for name in self.refused:
            if name in prompt.parameters - prompt.left_out:
                raise refusal(name, self.reach)
        if self.failing:
            raise self.failing.pop(0)
        return await super().speak(prompt, terms)


def refusing(*parameters: str, rules: Reliability = PLAIN, reach: RefusalReach = RefusalReach.MODEL) -> Refusing:
    return Refusing(spec("m", rules)).refuse(*parameters, reach=reach)


async def ask(model: Model, prompt: Prompt = WARM) -> Reply:
    return await Caller().ask(model, prompt=prompt)


@timeless
async def test_what_is_refused_is_left_out_of_another_attempt_and_told() -> None:
    provider, caller = refusing("temperature"), Caller()
    reply = await caller.ask(wrap(provider), prompt=WARM)
    assert (reply.text, reply.left_out) == ("hello", TEMPERATURE)
    assert caller.ledger.story == [("m", "first", "MODEL_REJECTED_REQUEST"), ("m", "adjusted", "")]
    assert provider.asked == [(AttemptKind.FIRST, frozenset()), (AttemptKind.ADJUSTED, TEMPERATURE)]
    assert [entry.closed for entry in caller.ledger.entries] == [1, 1]


@timeless
async def test_it_is_not_sent_again_within_the_hour_and_tried_again_after_it() -> None:
    provider = refusing("temperature")
    model, started = wrap(provider), now()
    await ask(model)
    provider.asked.clear()
    await asyncio.sleep(HOUR_S - 1)
    reply = await ask(model)
    assert provider.asked == [(AttemptKind.FIRST, TEMPERATURE)]
    assert reply.left_out == TEMPERATURE, "it is told each time"
    await asyncio.sleep(started + HOUR_S - now())
    provider.refused = ()
    assert (await ask(model)).left_out == frozenset()
    assert provider.asked[1:] == [(AttemptKind.FIRST, frozenset())]


@timeless
async def test_whoever_does_not_set_it_misses_nothing() -> None:
    provider = refusing("temperature")
    model = wrap(provider)
    await ask(model)
    assert (await ask(model, PROMPT)).left_out == frozenset()


@timeless
async def test_parameters_are_refused_in_turn() -> None:
    provider, caller = refusing("temperature", "top_p"), Caller()
    model = wrap(provider)
    reply = await caller.ask(model, prompt=WARM)
    assert reply.left_out == BOTH
    assert [kind for _, kind, _ in caller.ledger.story] == ["first", "adjusted", "adjusted"]
    provider.asked.clear()
    await ask(model)
    assert provider.asked == [(AttemptKind.FIRST, BOTH)]


@timeless
async def test_who_refuses_everything_is_asked_no_more_often_than_there_are_parameters() -> None:
    full = replace(WARM, sampling=Sampling(0.5, 0.9, 100, 7, ("END",), 0.1, 0.2), logprobs=True)
    provider, caller = refusing(*full.parameters), Caller()
    provider.failing = [ModelRejectedRequest("nothing is right")]
    assert await caller.failure(wrap(provider), prompt=full) == "ModelRejectedRequest"
    assert len(caller.ledger.entries) == 1 + len(full.parameters) == 9


@timeless
async def test_nothing_is_left_out_but_what_an_agent_sets() -> None:
    for name in ("model", "messages", "seed"):
        caller, provider = Caller(), Scripted(spec(), [[refusal(name)]])
        assert await caller.failure(wrap(provider), prompt=WARM) == "ModelRejectedRequest"
        assert len(caller.ledger.entries) == 1


@timeless
async def test_a_refusal_that_is_not_mended_by_leaving_it_out_is_final() -> None:
    class Stubborn(Scripted):
        async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
            raise refusal("temperature")

    caller = Caller()
    assert await caller.failure(wrap(Stubborn(spec())), prompt=WARM) == "ModelRejectedRequest"
    assert [kind for _, kind, _ in caller.ledger.story] == ["first", "adjusted"]


@timeless
async def test_nothing_is_learned_from_a_call_that_failed_after_all() -> None:
    provider = refusing("temperature")
    model, provider.failing = wrap(provider), [ModelRejectedRequest("it was something else")]
    assert await Caller().failure(model, prompt=WARM) == "ModelRejectedRequest"
    await ask(model)
    assert provider.asked[2:] == [(AttemptKind.FIRST, frozenset()), (AttemptKind.ADJUSTED, TEMPERATURE)]


@timeless
async def test_a_limit_on_the_output_is_told_by_its_other_name_and_is_nothing_less() -> None:
    provider = refusing("max_tokens")
    model = wrap(provider)
    assert (await ask(model)).left_out == frozenset()
    assert [prompt.sampling.max_tokens for prompt in provider.prompts] == [100]
    await ask(model, PROMPT)
    assert provider.asked[2:] == [(AttemptKind.FIRST, frozenset({"max_tokens"}))]


@timeless
async def test_a_refused_value_is_not_held_against_others() -> None:
    provider = refusing("temperature", reach=RefusalReach.SETTINGS)
    model = wrap(provider)
    await ask(model)
    provider.asked.clear()
    longer = replace(WARM, sampling=replace(WARM.sampling, max_tokens=50))
    assert (await ask(model, longer)).left_out == TEMPERATURE
    provider.refused = ()
    cooler = replace(WARM, sampling=replace(WARM.sampling, temperature=0.4))
    assert (await ask(model, cooler)).left_out == frozenset()
    assert [left_out for _, left_out in provider.asked] == [TEMPERATURE, frozenset()]


@timeless
async def test_words_of_its_own_prompt_teach_a_model_nothing() -> None:
    provider = refusing("temperature", reach=RefusalReach.CALL)
    model = wrap(provider)
    assert (await ask(model)).left_out == TEMPERATURE
    provider.refused, provider.asked = (), []
    assert (await ask(model)).left_out == frozenset()
    assert provider.asked == [(AttemptKind.FIRST, frozenset())]


@timeless
async def test_words_of_its_own_prompt_teach_a_model_nothing_by_way_of_a_retry_either() -> None:
    provider = refusing("temperature", rules=PERSISTENT, reach=RefusalReach.CALL)
    model, provider.failing = wrap(provider), [ModelUnavailable("503")]
    assert (await ask(model)).left_out == TEMPERATURE
    provider.refused, provider.asked = (), []
    assert (await ask(model)).left_out == frozenset()
    assert provider.asked == [(AttemptKind.FIRST, frozenset())]


@timeless
async def test_what_callers_can_choose_is_remembered_only_so_far() -> None:
    provider = refusing("temperature", reach=RefusalReach.SETTINGS)
    model = wrap(provider)
    prompts = [replace(WARM, sampling=Sampling(number / 1000)) for number in range(257)]
    for prompt in prompts:
        await ask(model, prompt)
    provider.asked.clear()
    await ask(model, prompts[1])
    await ask(model, prompts[0])
    assert [kind for kind, _ in provider.asked] == [AttemptKind.FIRST, AttemptKind.FIRST, AttemptKind.ADJUSTED]


@timeless
async def test_first_calls_side_by_side_find_out_each_for_themselves_and_once() -> None:
    provider = refusing("temperature")
    provider.after_s = 1.0
    model, callers = wrap(provider), [Caller() for _ in range(20)]
    replies = await asyncio.gather(*(caller.ask(model, prompt=WARM) for caller in callers))
    assert {reply.left_out for reply in replies} == {TEMPERATURE}
    assert len(provider.asked) == 40
    await ask(model)
    assert len(provider.asked) == 41


@timeless
async def test_a_budget_that_covers_no_other_call_leaves_the_refusal_as_it_is() -> None:
    provider, caller = refusing("temperature"), Caller(calls=1)
    model = wrap(provider)
    assert await caller.failure(model, prompt=WARM) == "ModelRejectedRequest"
    assert await Caller(calls=0).failure(model, prompt=WARM) == "BudgetExceeded"
    assert provider.asked == [(AttemptKind.FIRST, frozenset())]


@timeless
async def test_with_no_time_left_it_is_not_asked_once_more() -> None:
    provider, caller = refusing("temperature"), Caller()
    provider.after_s = 1.0
    assert await caller.failure(wrap(provider), prompt=WARM, time_s=1.0) == "ModelRejectedRequest"
    assert len(caller.ledger.entries) == 1


@timeless
async def test_rules_of_retries_do_not_count_it_and_a_retry_need_not_find_it_again() -> None:
    provider, caller = refusing("temperature", "top_p", rules=PERSISTENT), Caller()
    model, provider.failing = wrap(provider), [ModelUnavailable("503"), ModelUnavailable("503")]
    reply = await caller.ask(model, prompt=WARM)
    assert reply.left_out == BOTH
    assert [kind for _, kind, _ in caller.ledger.story] == ["first", "adjusted", "adjusted", "retry", "retry"]
    provider.asked.clear()
    await ask(model)
    assert provider.asked == [(AttemptKind.FIRST, BOTH)], "the answer was given without them"


@timeless
async def test_it_holds_no_place_between_the_two() -> None:
    provider = refusing("temperature", rules=replace(PLAIN, concurrency=ConcurrencyRule(limit=1)))
    provider.after_s = 1.0
    model, one, other = wrap(provider), Caller(), Caller()
    await asyncio.gather(one.ask(model, prompt=WARM), other.ask(model, prompt=WARM, run_id="other"))
    assert provider.most_under_way == 1


@timeless
async def test_a_rival_finds_out_for_itself() -> None:
    rival = Refusing(spec("r")).refuse("temperature")
    slow = Scripted(spec("m", hedged_by("r")), [["quick"]] * 4 + [[50.0, "slow"]])
    model, caller = wrap(slow, rival), Caller()
    for _ in range(4):
        await ask(model)
    reply = await caller.ask(model, prompt=WARM)
    assert (reply.text, reply.left_out) == ("hello", TEMPERATURE)
    assert [kind for kind, _ in rival.asked] == [AttemptKind.HEDGE, AttemptKind.ADJUSTED]


@timeless
async def test_a_stand_in_is_sent_what_only_the_other_refuses() -> None:
    rules = replace(PLAIN, fallbacks=("r",))
    provider, spare = refusing("temperature", rules=rules), Refusing(spec("r")).refuse()
    provider.failing = [ModelUnavailable("503")]
    reply = await ask(wrap(provider, spare))
    assert reply.left_out == frozenset()
    assert spare.asked == [(AttemptKind.FALLBACK, frozenset())]
