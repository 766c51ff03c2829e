"""What each method sends and returns, on both clients."""

import inspect
from pathlib import Path

import pytest

import moa
from moa.testing import FakeMoa
from moa.v1.event_pb2 import RunStarted
from moa.v1.moa_service_pb2 import LayerResultRequest, QueryRequest
from moa.v1.plan_pb2 import (
    ROLE_ASSISTANT,
    ROLE_SYSTEM,
    ROLE_USER,
    Budget,
    Message,
    Mixture,
    Part,
    Query,
    Sampling,
)
from moa.v1.run_pb2 import RUN_STATE_CANCELLED, RUN_STATE_SUCCEEDED
from tests.client.either import Either, sent


async def test_query_returns_answer_and_layers(client: Either, fake: FakeMoa) -> None:
    fake.answers("42", proposals={"fast": "41", "wide": "43"})
    response = await client.call("query", "What is it?", mixture="council")
    assert response.answer.text == "42"
    assert response.run.state == RUN_STATE_SUCCEEDED
    assert [proposal.text for proposal in response.layers[0].proposals] == ["41", "43"]
    asked = sent(fake, QueryRequest)
    assert asked.query.mixture == "council"
    assert (asked.query.messages[0].role, asked.query.messages[0].parts[0].text) == (ROLE_USER, "What is it?")


async def test_asking_again_with_a_request_id_finds_the_same_run(client: Either) -> None:
    first = await client.call("query", "hello", request_id="invoice-42")
    second = await client.call("query", "hello", request_id="invoice-42")
    assert first.run.run_id == second.run.run_id
    with pytest.raises(moa.RequestIdReused):
        await client.call("query", "something else", request_id="invoice-42")


async def test_a_request_without_an_id_is_given_a_fresh_one(client: Either, fake: FakeMoa) -> None:
    await client.call("query", "hello")
    await client.call("query", "hello")
    ids = [sent(fake, QueryRequest, place).request_id for place in (0, 1)]
    assert len(fake.calls) == 2
    assert len(set(ids)) == 2
    assert all(len(each) == 32 for each in ids)


async def test_conversation_and_overrides_travel(client: Either, fake: FakeMoa) -> None:
    turns = [
        Message(role=role, parts=[Part(text=text)])
        for role, text in ((ROLE_SYSTEM, "Be terse."), (ROLE_USER, "Hi"), (ROLE_ASSISTANT, "Yo"), (ROLE_USER, "Why?"))
    ]
    await client.call(
        "query",
        turns,
        sampling=Sampling(temperature=0.0),
        layers=[["fast", "wide"], ["deep"]],
        aggregator="editor",
        budget=Budget(calls=4),
        response_schema={"type": "object"},
        seed=0,
        detached=True,
    )
    asked = sent(fake, QueryRequest)
    assert list(asked.query.messages) == turns
    overrides = asked.query.overrides
    assert overrides.sampling.HasField("temperature")
    assert [list(layer.agents) for layer in overrides.layers] == [["fast", "wide"], ["deep"]]
    assert (overrides.aggregator, overrides.budget.calls) == ("editor", 4)
    assert overrides.response_schema == '{"type": "object"}'
    assert overrides.HasField("seed")
    assert asked.detached


async def test_a_whole_query_is_laid_under_the_options_and_left_alone(client: Either, fake: FakeMoa) -> None:
    query = Query(messages=[Message(role=ROLE_USER, parts=[Part(text="hello")])], mixture="council")
    before = query.SerializeToString()
    await client.call("query", query, aggregator="editor")
    assert sent(fake, QueryRequest).query.mixture == "council"
    assert sent(fake, QueryRequest).query.overrides.aggregator == "editor"
    assert query.SerializeToString() == before


async def test_a_plain_question_sends_no_overrides(client: Either, fake: FakeMoa) -> None:
    await client.call("query", "hello")
    assert not sent(fake, QueryRequest).query.HasField("overrides")


async def test_layer_explain_mixtures_and_cancel(client: Either, fake: FakeMoa) -> None:
    fake.mixtures.append(Mixture(name="council"))
    fake.plan.worst_case.calls = 4
    fake.answers("42", proposals={"fast": "41"})
    run_id = (await client.call("query", "hello")).run.run_id
    layer = await client.call("layer_result", run_id, 0, wait=1.5)
    assert layer.proposals[0].text == "41"
    assert sent(fake, LayerResultRequest).wait.ToMilliseconds() == 1500
    assert [mixture.name for mixture in await client.call("mixtures")] == ["council"]
    assert (await client.call("explain", "hello")).worst_case.calls == 4
    assert (await client.call("cancel", run_id)).state == RUN_STATE_SUCCEEDED


async def test_a_cancelled_run_says_so(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    stream = client.client.synthesize("hello")
    await client.first(stream)
    run_id = stream.run_id
    assert (await client.call("cancel", run_id)).state == RUN_STATE_CANCELLED
    with pytest.raises(moa.RunCancelled) as caught:
        await client.answer(stream)
    assert caught.value.metadata == {"run_id": run_id, "by": "caller"}


async def test_every_call_carries_the_token(client: Either, fake: FakeMoa) -> None:
    await client.call("mixtures")
    assert fake.calls[-1].metadata["authorization"] == "Bearer secret"


def test_token_is_asked_for_again_at_every_call(fake: FakeMoa, tmp_path: Path) -> None:
    path = tmp_path / "token"
    with fake.client(token=moa.token_file(path)) as client:
        for token in ("first", "second"):
            path.write_text(f"{token}\n")
            client.mixtures()
            assert fake.calls[-1].metadata["authorization"] == f"Bearer {token}"


def test_both_clients_have_the_same_methods_in_the_same_order() -> None:
    def methods(kind: type) -> dict[str, list[str]]:
        found = {name: each for name, each in vars(kind).items() if inspect.isfunction(each) and name[0] != "_"}
        return {name: list(inspect.signature(each).parameters) for name, each in found.items()}

    promised = ["query", "synthesize", "watch", "layer_result", "cancel", "explain", "mixtures", "close"]
    assert list(methods(moa.Client)) == promised
    assert list(methods(moa.AsyncClient).items()) == list(methods(moa.Client).items())
