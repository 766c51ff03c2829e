"""Others stand in for a model that has failed for good, in order, and it shows."""

import asyncio

import pytest

from moa_server.domain.conversation import Image, Message, Part, Role
from moa_server.domain.errors import (
    BudgetExceeded,
    ModelBreakerOpen,
    ModelCredentialsRefused,
    ModelError,
    ModelStreamCut,
    ModelTimeout,
    ModelUnavailable,
)
from moa_server.domain.model import Prompt, Reply
from moa_server.domain.ports import CallTerms
from moa_server.models.accounted import Accounted
from moa_server.models.fallback import Fallback
from tests.models.fakes import PROMPT, Caller, Scripted, scripted, spec
from tests.models.timeless_loop import now, timeless

DOWN = ModelUnavailable("500")


class Silent:
    """A model that says nothing for as long as it may."""

    def __init__(self, name: str) -> None:
        self.spec = spec(name)
        self.left_at: list[float] = []

    async def speak(self, prompt: Prompt, terms: CallTerms) -> Reply:
        await asyncio.sleep((terms.speak_by or terms.deadline) - now())
        self.left_at.append(now())
        raise ModelTimeout("silent")


def chain(first: Scripted, *others: Scripted) -> Fallback:
    return Fallback(Accounted(first), [Accounted(other) for other in others])


@pytest.mark.parametrize("error", [DOWN, ModelBreakerOpen("open"), ModelCredentialsRefused("401")])
def test_the_first_that_can_stands_in(error: ModelError) -> None:
    @timeless
    async def check() -> None:
        caller, unused = Caller(), scripted("d")
        model = chain(scripted("a", [error]), scripted("b", [DOWN]), scripted("c", ["from c"]), unused)
        reply = await caller.ask(model)
        assert (reply.text, reply.served_model, caller.heard) == ("from c", "served-c", ["from c"])
        assert caller.ledger.story == [
            ("a", "first", error.reason()),
            ("b", "fallback", "MODEL_UNAVAILABLE"),
            ("c", "fallback", ""),
        ]
        assert unused.called_at == []

    check()


@timeless
async def test_if_all_fail_it_is_the_models_own_failure() -> None:
    model = chain(scripted("a", [DOWN]), scripted("b", [ModelCredentialsRefused("401")]))
    assert await Caller().failure(model) == "ModelUnavailable"


@timeless
async def test_silent_models_leave_the_others_their_share_of_the_time() -> None:
    started, silent, last = now(), [Silent("a"), Silent("b")], scripted("c", [9.5, "in time"])
    caller = Caller()
    reply = await caller.ask(Fallback(silent[0], [silent[1], Accounted(last)]), time_s=30.0)
    assert reply.text == "in time"
    assert [at - started for model in silent for at in model.left_at] == pytest.approx([10.0, 20.0])


@timeless
async def test_time_is_left_only_for_those_that_can_take_the_prompt() -> None:
    started, silent = now(), Silent("a")
    model = Fallback(silent, [scripted(spec("b", window=50))])
    assert await Caller().failure(model, time_s=30.0) == "ModelTimeout"
    assert silent.left_at == [started + 30.0]


@timeless
async def test_nobody_stands_in_for_a_model_that_has_begun_to_speak() -> None:
    caller, other = Caller(), scripted("b")
    assert await caller.failure(chain(scripted("a", ["half", ModelStreamCut("cut")]), other)) == "ModelStreamCut"
    assert (caller.heard, other.called_at) == (["half"], [])


@timeless
async def test_a_stand_in_that_has_begun_to_speak_is_the_last() -> None:
    caller, other = Caller(), scripted("c")
    model = chain(scripted("a", [DOWN]), scripted("b", ["half", ModelStreamCut("cut")]), other)
    assert await caller.failure(model) == "ModelStreamCut"
    assert other.called_at == []


@timeless
async def test_a_stand_in_that_the_budget_does_not_cover_is_passed_over() -> None:
    assert await Caller(calls=1).failure(chain(scripted("a", [DOWN]), scripted("b"))) == "ModelUnavailable"
    with pytest.raises(BudgetExceeded):
        await Caller(calls=0).ask(chain(scripted("a"), scripted("b")))


@timeless
async def test_a_stand_in_that_cannot_take_the_prompt_is_passed_over() -> None:
    small, wide = scripted(spec("b", window=50)), scripted(spec("c", max_output=20))
    assert (await Caller().ask(chain(scripted("a", [DOWN]), small, wide))).text == "hello"
    assert small.called_at == []
    assert wide.prompts[0].sampling.max_tokens == 20


@timeless
async def test_a_picture_is_shown_only_to_those_that_see() -> None:
    picture = Message(Role.USER, (Part(image=Image("image/png", b"x")),))
    blind, seeing = scripted("b"), scripted(spec("c", images=True))
    prompt = Prompt((picture, *PROMPT.messages), PROMPT.sampling)
    await Caller().ask(chain(scripted(spec("a", images=True), [DOWN]), blind, seeing), prompt=prompt)
    assert (len(blind.called_at), len(seeing.called_at)) == (0, 1)


@pytest.mark.parametrize(
    ("stand_in", "permanent"),
    [(ModelCredentialsRefused("401"), True), (DOWN, False), (ModelBreakerOpen("open"), False)],
)
def test_a_failure_is_for_good_only_if_those_who_stand_in_fail_for_good(
    stand_in: ModelError, *, permanent: bool
) -> None:
    @timeless
    async def check() -> None:
        refused = ModelCredentialsRefused("401")
        with pytest.raises(ModelCredentialsRefused) as failed:
            await Caller().ask(chain(scripted("a", [refused]), scripted("b", [stand_in])))
        assert failed.value.permanent is permanent

    check()


@timeless
async def test_a_failure_is_not_for_good_if_the_budget_kept_others_from_standing_in() -> None:
    with pytest.raises(ModelCredentialsRefused) as failed:
        await Caller(calls=1).ask(chain(scripted("a", [ModelCredentialsRefused("401")]), scripted("b")))
    assert not failed.value.permanent
