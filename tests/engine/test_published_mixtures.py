"""The published mixtures load, are counted as they were published, and give an answer."""

from pathlib import Path

import pytest

import moa_server
from moa_server.domain.event import RunSucceeded
from moa_server.domain.mixture import PromptForm
from moa_server.domain.query import Query
from moa_server.domain.run import Ticket
from moa_server.engine.engine import Engine
from moa_server.engine.plans.catalogue import Catalogue
from moa_server.engine.plans.planner import Planner
from moa_server.journal.memory import MemoryJournal
from moa_server.main import choices
from moa_server.settings import Settings, load
from moa_server.strategies import STRATEGIES
from tests.engine.facts import one_by_one
from tests.engine.fakes import Asked, FakeModel, user

EXAMPLES = Path(moa_server.__file__).parents[1] / "examples"
CALLS = {"paper-moa": 13, "paper-moa-lite": 7, "self-moa": 7, "council": 9, "code-review": 5, "report": 9}
DIVISION = '{"subtasks": [{"agent": 1, "task": "find", "needs": []}, {"agent": 3, "task": "write", "needs": [1]}]}'


async def script(asked: Asked) -> None:
    asked.say(DIVISION if "You are a coordinator" in asked.prompt.messages[-1].text else "an answer")


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("MODELS_API_KEY", "of no use")
    return load(EXAMPLES / "published.yaml", choices())


def offered(settings: Settings) -> Catalogue:
    models = {name: FakeModel(spec, script) for name, spec in settings.models.items()}
    return Catalogue(models, settings.mixtures, STRATEGIES, settings.agents, settings.default_mixture)


def test_worst_cases_are_as_published(settings: Settings) -> None:
    planner = Planner(offered(settings), settings.limits)
    counted = {name: planner.describe(mixture).worst_case.calls for name, mixture in settings.mixtures.items()}
    assert counted == CALLS
    told = {name: f"{counted[name]} calls." in mixture.description for name, mixture in settings.mixtures.items()}
    assert all(told.values()), told


def test_the_papers_mixtures_take_the_papers_form(settings: Settings) -> None:
    forms = {name: mixture.rules.prompt_form for name, mixture in settings.mixtures.items()}
    assert [name for name, form in forms.items() if form is PromptForm.PAPER] == ["paper-moa", "paper-moa-lite"]


@pytest.mark.parametrize("mixture", CALLS)
async def test_each_gives_an_answer(settings: Settings, mixture: str) -> None:
    async with Engine(offered(settings), MemoryJournal(), settings.limits) as engine:
        run = await engine.start(Query(user("What is new?"), mixture), Ticket("tester", "", mixture), None)
        *_, last = [event.fact async for event in one_by_one(engine.watch(run.run_id))]
        assert isinstance(last, RunSucceeded)
        assert last.answer.text == "an answer"
        assert not last.answer.degradations
