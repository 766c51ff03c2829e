"""The models of a configuration know one another by name, and outlive a reload."""

from dataclasses import replace

import pytest

from moa_server.domain.errors import ModelUnavailable
from moa_server.domain.model import ModelSpec
from moa_server.domain.reliability import BreakerRule, HedgeRule, Reliability, RetryRule
from moa_server.models import breaker_state, build_models
from moa_server.models.circuit import BreakerState
from tests.models.fakes import PLAIN, Caller, Scripted, scripted, spec
from tests.models.timeless_loop import timeless

DOWN = ModelUnavailable("500")
FRAGILE = Reliability(RetryRule(attempts=0), breaker=BreakerRule(least_calls=2))


class Providers:
    """Makes scripted providers, and remembers them."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def __call__(self, model_spec: ModelSpec) -> Scripted:
        self.made.append(model_spec.name)
        model_spec = replace(model_spec, endpoint="completed")  # as providers may do
        return scripted(model_spec, [DOWN] if model_spec.name == "broken" else [f"from {model_spec.name}"])


def standing_in(*names: str) -> Reliability:
    return replace(PLAIN, fallbacks=names)


@timeless
async def test_two_models_can_stand_in_for_one_another() -> None:
    models = build_models([spec("broken", standing_in("b")), spec("b", standing_in("broken"))], Providers())
    assert (await Caller().ask(models["broken"])).text == "from b"
    assert (await Caller().ask(models["b"])).text == "from b"


@pytest.mark.parametrize(
    "reliability",
    [
        standing_in("a"),
        standing_in("nobody"),
        standing_in("b", "b"),
        replace(PLAIN, hedge=HedgeRule("nobody")),
    ],
)
def test_names_that_make_no_sense_are_refused(reliability: Reliability) -> None:
    providers = Providers()
    with pytest.raises(ValueError, match="model a"):
        build_models([spec("a", reliability), spec("b")], providers)
    assert providers.made == []


@timeless
async def test_a_model_may_be_its_own_rival() -> None:
    rules = replace(PLAIN, hedge=HedgeRule("a", least_seen=1, share=1.0))
    provider = scripted(spec("a", rules), [1.0, "usual"], [100.0, "late"], ["fast"])
    model = build_models([provider.spec], lambda _: provider)["a"]
    await Caller().ask(model)
    caller = Caller()
    assert (await caller.ask(model)).text == "fast"
    assert caller.ledger.story == [("a", "first", "STRAGGLER_CUT"), ("a", "hedge", "")]


@timeless
async def test_a_model_and_its_stand_in_share_what_is_known_of_it() -> None:
    models = build_models([spec("a", standing_in("broken")), spec("broken", FRAGILE)], Providers())
    await Caller().failure(models["broken"])
    await Caller().failure(models["broken"])
    assert breaker_state(models["broken"]) == "open"
    assert breaker_state(models["a"]) is None


@timeless
async def test_breakers_tell_when_they_turn() -> None:
    told: list[tuple[str, BreakerState]] = []
    models = build_models([spec("broken", FRAGILE)], Providers(), watch=lambda *turn: told.append(turn))
    await Caller().failure(models["broken"])
    await Caller().failure(models["broken"])
    assert told == [("broken", BreakerState.OPEN)]


@timeless
async def test_a_reload_keeps_the_models_that_have_not_changed() -> None:
    specs = [spec("broken", FRAGILE), spec("b"), spec("gone")]
    before, providers = build_models(specs, Providers()), Providers()
    await Caller().failure(before["broken"])
    await Caller().failure(before["broken"])
    changed = [spec("broken", FRAGILE), spec("b", max_output=7), spec("new")]
    after = build_models(changed, providers, previous=before)
    assert after["broken"] is before["broken"]
    assert breaker_state(after["broken"]) == "open"
    assert after["b"].spec.max_output == 7
    assert providers.made == ["b", "new"]
    assert sorted(after) == ["b", "broken", "new"]


@timeless
async def test_a_model_whose_stand_in_has_changed_keeps_its_own_state() -> None:
    rules = replace(FRAGILE, fallbacks=("b",))
    before = build_models([spec("broken", rules), spec("b")], Providers())
    await Caller().ask(before["broken"])
    await Caller().ask(before["broken"])
    after = build_models([spec("broken", rules), spec("b", max_output=7)], Providers(), previous=before)
    assert after["broken"] is not before["broken"]
    assert breaker_state(after["broken"]) == "open"
    assert (await Caller().ask(after["broken"])).text == "from b"
