"""The published mixtures, as their file has them: a server loads them, explains them, and they answer over sockets."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

import moa_server
from moa import AsyncClient
from tests.house.servers import Server, starting
from tests.house.strategy_mixtures import answering_by, said_to
from tests.upstream import UpstreamThread

FILE = Path(moa_server.__file__).parents[1] / "examples" / "published.yaml"
PLACEHOLDER = "https://models.example/v1"
WORST = {"paper-moa": 13, "paper-moa-lite": 7, "self-moa": 7, "council": 9, "code-review": 5, "report": 9}
MADE = {**WORST, "report": 1 + 2 + 1}
"""Calls of a run in which all goes well; the report below has two subtasks, one after the other."""
DIVISION = '{"subtasks": [{"agent": 1, "task": "find", "needs": []}, {"agent": 3, "task": "write", "needs": [1]}]}'
PAPER = "Responses from models:"


@pytest.fixture(scope="module")
def server(shared_upstream: UpstreamThread, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    published = FILE.read_text()
    assert published.count(PLACEHOLDER) == 1
    here = published.replace(PLACEHOLDER, shared_upstream.endpoint) + "\nserver: {listen: 127.0.0.1:0}\n"
    with starting(tmp_path_factory.mktemp("published")) as start:
        yield start(here, MODELS_API_KEY="a key of the tests")


@pytest.fixture
async def moa(server: Server) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(server.target, timeout=30) as client:
        yield client


@pytest.fixture
def up(house: UpstreamThread) -> UpstreamThread:
    house.script("*", answering_by(lambda said: DIVISION if "You are a coordinator" in said else "a text"))
    return house


async def test_all_are_offered_with_their_counts(moa: AsyncClient) -> None:
    offered = await moa.mixtures()
    assert {mixture.name: mixture.worst_case.calls for mixture in offered} == WORST
    assert [mixture.name for mixture in offered if mixture.is_default] == ["paper-moa-lite"]


@pytest.mark.parametrize("mixture", WORST)
async def test_each_is_explained_and_answers_as_counted(moa: AsyncClient, up: UpstreamThread, mixture: str) -> None:
    plan = await moa.explain("What is new?", mixture=mixture)
    assert plan.worst_case.calls == WORST[mixture]
    assert up.upstream.calls == []
    response = await moa.query("What is new?", mixture=mixture)
    assert response.answer.text == "a text"
    assert not response.answer.degraded
    assert response.run.usage.calls == len(up.upstream.calls) == MADE[mixture]
    assert up.upstream.calls[0].headers["authorization"] == "Bearer a key of the tests"


async def test_the_paper_is_followed_to_the_letter(moa: AsyncClient, up: UpstreamThread) -> None:
    await moa.query("What is new?", mixture="paper-moa")
    calls = up.upstream.calls
    heads = [call.body["messages"][0] for call in calls]
    assert [head["role"] for head in heads] == ["user"] * 6 + ["system"] * 7
    assert all(head["content"].count(PAPER) == 1 for head in heads[6:])
    assert all(head["content"].endswith("".join(f"\n{n}. a text" for n in range(1, 7))) for head in heads[6:])
    assert all(said_to(call.body) == "What is new?" for call in calls)
    assert set(Counter(call.model for call in calls[:6]).values()) == {1}
    assert calls[-1].model == "Qwen1.5-110B-Chat"
    assert {(call.body["temperature"], call.body["max_tokens"]) for call in calls} == {(0.7, 2048)}
