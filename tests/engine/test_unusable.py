"""A run in which nothing failed but what its operator has to mend says so, so that nobody asks again in vain."""

from dataclasses import replace

import pytest

from moa_server.domain import errors
from moa_server.domain.agent import Agent
from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import ModelError
from moa_server.domain.event import Event
from moa_server.domain.mixture import Mixture, Roster, Rules
from moa_server.domain.proposal import AgentFailure
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.runs.quorum import are_unusable
from moa_server.journal.memory import MemoryJournal
from moa_server.strategies import STRATEGIES
from tests.engine.facts import failed, succeeded
from tests.engine.fakes import FakeModel, failing, spec
from tests.engine.houses import House, OpenHouse

MENDABLE = [
    errors.ModelCredentialsRefused,
    errors.ModelUnknown,
    errors.ModelQuotaExhausted,
    errors.ModelRejectedRequest,
]
KEY = errors.ModelCredentialsRefused("the key is refused")
DOWN = errors.ModelUnavailable("down")


def model(name: str, error: errors.MoaError | None = None) -> FakeModel:
    return FakeModel(spec(name)) if error is None else FakeModel(spec(name), failing(error))


def panel(**failures: errors.MoaError | None) -> dict[str, FakeModel]:
    return {name: model(name, error) for name, error in {"boss": None, **failures}.items()}


@pytest.mark.parametrize("kind", MENDABLE)
async def test_nobody_can_answer_until_the_operator_mends_it(open_house: OpenHouse, kind: type[ModelError]) -> None:
    house = await open_house(panel(a=kind("no"), b=KEY), [["a", "b"]])
    end = failed(await house.carried())
    assert end.reason == "MODELS_UNUSABLE"
    assert dict(end.metadata) == {"layer": "0", "agent.a": kind.reason(), "agent.b": "MODEL_CREDENTIALS_REFUSED"}
    assert [failure.permanent for failure in end.failures] == [True, True]


@pytest.mark.parametrize(
    "other", [DOWN, errors.ModelRefused("no"), errors.ModelWindowExceeded("long"), errors.ModelAnswerTooLong("x")]
)
async def test_one_who_may_answer_the_next_time_makes_it_worth_to_ask_again(
    open_house: OpenHouse, other: ModelError
) -> None:
    house = await open_house(panel(a=KEY, b=other), [["a", "b"]])
    assert failed(await house.carried()).reason == "NO_PROPOSALS"


async def test_an_endpoint_that_says_itself_that_it_is_to_be_asked_again_is_believed(open_house: OpenHouse) -> None:
    passing = errors.ModelCredentialsRefused("for now")
    passing.permanent = False
    house = await open_house(panel(a=passing), [["a"]])
    assert failed(await house.carried()).reason == "NO_PROPOSALS"


async def test_a_quorum_that_is_missed_for_good(open_house: OpenHouse) -> None:
    house = await open_house(panel(a=None, b=KEY, c=KEY), [["a", "b", "c"]], rules=Rules(quorum=2))
    end = failed(await house.carried())
    assert end.reason == "MODELS_UNUSABLE"
    assert dict(end.metadata)["proposals"] == "1"
    house = await open_house(panel(a=None, b=KEY, c=DOWN), [["a", "b", "c"]], rules=Rules(quorum=2))
    assert failed(await house.carried()).reason == "QUORUM_MISSED"


async def test_an_answer_that_fails_for_good_with_nothing_to_stand_in(open_house: OpenHouse) -> None:
    models = {"a": model("a"), "boss": model("boss", KEY)}
    strict = await open_house(models, [["a"]], rules=Rules(best_proposal_on_failure=False))
    end = failed(await strict.carried())
    assert (end.reason, dict(end.metadata)["agent"]) == ("MODELS_UNUSABLE", "boss")
    lenient = await open_house(models, [["a"]])
    assert succeeded(await lenient.carried()).answer.text == "from a"


async def cascaded(gate: str = "agreement", **failures: errors.MoaError | None) -> list[Event]:
    models = {name: model(name, error) for name, error in failures.items()}
    agents = {name: Agent(name, name) for name in models}
    first, *last = agents.values()
    mixture = Mixture("mix", "cascade", Roster(((first, first), tuple(last))), Rules(), {"gate": gate})
    catalogue = Catalogue(models, {"mix": mixture}, STRATEGIES, agents, "mix")
    journal = MemoryJournal()
    async with Engine(catalogue, journal) as engine:
        return await House(engine, journal).carried()


async def test_a_rule_that_went_on_as_long_as_there_was_anybody_ends_so_too() -> None:
    end = failed(await cascaded(a=KEY, b=KEY, c=KEY))
    assert end.reason == "MODELS_UNUSABLE"
    assert dict(end.metadata).items() >= {"agent.b": KEY.reason(), "agent.c": KEY.reason()}.items()
    assert failed(await cascaded(a=DOWN, b=KEY, c=KEY)).reason == "NO_PROPOSALS", "the first tier may answer again"


async def test_a_gate_that_is_given_no_signal_says_so_of_each_who_gave_none() -> None:
    answer = succeeded(await cascaded("logprobs", a=None, b=None)).answer
    told = [(one.reason, one.layer, one.agent) for one in answer.degradations]
    assert told == [(DegradationReason.SIGNAL_MISSING, 0, "a")] * 2


def test_failures_of_which_nothing_is_known_are_not_for_good() -> None:
    told = AgentFailure("a", 0, "m", "MODEL_CREDENTIALS_REFUSED", "no", permanent=True)
    assert are_unusable([told])
    assert not are_unusable([])
    assert not are_unusable([told, replace(told, permanent=False)])
    for reason in ("MODEL_ON_THE_MOON", "BUDGET_EXCEEDED", "INTERNAL_ERROR", ""):
        assert not are_unusable([replace(told, reason=reason)])
