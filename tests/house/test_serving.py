"""The whole house through the client: every method, against a real process."""

import asyncio

import pytest
from google.protobuf.duration_pb2 import Duration

from moa import LayerOpen, NoProposals, RunCancelled
from moa.v1 import plan_pb2, run_pb2
from tests.client.either import Either
from tests.house.gates import Gate, held
from tests.upstream import Speech, UpstreamThread


async def test_a_question_is_answered_with_all_its_layers(client: Either, house: UpstreamThread) -> None:
    house.script("two", Speech("the second proposal"))
    response = await client.call("query", "Why?", mixture="council")
    assert response.answer.text == "the answer"
    assert response.run.state == run_pb2.RUN_STATE_SUCCEEDED
    assert response.run.usage.calls == len(house.upstream.calls) == 4
    texts = [proposal.text for proposal in response.layers[0].proposals]
    assert texts == ["a proposal", "the second proposal", "a proposal"]
    [asked] = house.upstream.calls_of("editor")
    assert "the second proposal" in str(asked.body["messages"])
    [first] = house.upstream.calls_of("one")
    assert [message["content"] for message in first.body["messages"]] == ["Why?"]
    assert await client.answer(client.client.watch(response.run.run_id)) == response.answer


async def test_layers_close_in_order_and_events_have_no_gaps(client: Either, house: UpstreamThread) -> None:
    events = await client.events(client.client.synthesize("Why?", mixture="deep"))
    closed = [event.layer_closed.layer for event in events if event.HasField("layer_closed")]
    assert [(layer.index, len(layer.agents), layer.answers) for layer in closed] == [
        (0, 2, False),
        (1, 1, False),
        (2, 1, True),
    ]
    numbered = [(event.epoch, event.sequence) for event in events]
    assert numbered == [(1, number) for number in range(1, len(numbered) + 1)]
    assert events[-1].run_succeeded.answer.text == "the answer"
    assert len(house.upstream.calls) == 4


async def test_the_answer_is_heard_while_it_is_being_written(client: Either, house: UpstreamThread) -> None:
    gate = Gate()
    house.script("editor", held("word by word it comes", gate, after=2))
    stream = client.client.synthesize("Why?", mixture="alone")
    pieces, closed = [], 0
    while not (event := await client.first(stream)).HasField("run_succeeded"):
        if event.HasField("answer_delta"):
            pieces.append(event.answer_delta.text)
            if "".join(pieces) == "word by ":
                gate.open()  # the rest is not even written yet
        closed += event.HasField("layer_closed")
    assert len(pieces) >= 2
    assert "".join(pieces) == event.run_succeeded.answer.text == "word by word it comes"
    assert closed == 2
    await client.close(stream)


async def test_a_run_is_watched_from_the_place_after_the_last_event_seen(client: Either, house: UpstreamThread) -> None:
    stream = client.client.synthesize("Why?", mixture="council")
    events = await client.events(stream)
    for seen in (events[0], events[len(events) // 2], events[-2]):
        after = run_pb2.Cursor(epoch=seen.epoch, sequence=seen.sequence)
        again = await client.events(client.client.watch(stream.run_id, after=after))
        assert again == events[events.index(seen) + 1 :]
    assert len(house.upstream.calls) == 4


async def test_the_same_request_id_finds_the_same_run(client: Either, house: UpstreamThread) -> None:
    name = f"invoice-{type(client.client).__name__}"
    first = await client.call("query", "Why?", mixture="council", request_id=name)
    again = await client.call("query", "Why?", mixture="council", request_id=name)
    assert again == first
    assert len(house.upstream.calls) == 4


async def test_a_layer_can_be_waited_for(client: Either, house: UpstreamThread) -> None:
    gate = Gate()
    house.script("two", held("late", gate))
    stream = client.client.synthesize("Why?", mixture="council")
    await client.first(stream)
    run_id = stream.run_id
    with pytest.raises(LayerOpen):
        await client.call("layer_result", run_id, 0)
    waiting = asyncio.create_task(client.aside("layer_result", run_id, 0, wait=15.0))
    await client.call("mixtures")  # the wait has been asked for before this, and is answered after it
    assert not waiting.done()
    gate.open()
    layer = await waiting
    assert [proposal.text for proposal in layer.proposals] == ["a proposal", "late", "a proposal"]
    assert (await client.answer(stream)).text == "the answer"


async def test_cancelling_closes_the_connections_to_the_models(client: Either, house: UpstreamThread) -> None:
    house.script("*", held("never heard", Gate(), after=1))
    stream = client.client.synthesize("Why?", mixture="council")
    await client.first(stream)
    run_id = stream.run_id
    await asyncio.to_thread(house.wait_for, lambda: sum(call.tokens_sent for call in house.upstream.calls) == 3)
    run = await client.call("cancel", run_id)
    assert run.state == run_pb2.RUN_STATE_CANCELLED
    await asyncio.to_thread(house.wait_for, lambda: all(call.aborted for call in house.upstream.calls))
    with pytest.raises(RunCancelled) as cancelled:
        await client.answer(stream)
    assert cancelled.value.metadata["by"] == "caller"
    assert len(house.upstream.calls) == 3


async def test_agents_whose_time_is_over_have_failed_and_their_models_are_left(
    client: Either, house: UpstreamThread
) -> None:
    house.script("*", held("never heard", Gate()))
    budget = plan_pb2.Budget(time=Duration(nanos=300_000_000))
    with pytest.raises(NoProposals) as late:
        await client.call("query", "Why?", mixture="council", budget=budget)
    assert [cause.reason for cause in late.value.causes] == ["MODEL_TIMEOUT"] * 3
    await asyncio.to_thread(house.wait_for, lambda: all(call.aborted for call in house.upstream.calls))
    assert len(house.upstream.calls) == 3


async def test_a_detached_run_goes_on_when_its_stream_is_left(client: Either, house: UpstreamThread) -> None:
    gate = Gate()
    house.script("one", held("at last", gate, after=1))
    stream = client.client.synthesize("Why?", mixture="alone", detached=True)
    await client.first(stream)
    run_id = stream.run_id
    await client.close(stream)
    gate.open()
    assert (await client.answer(client.client.watch(run_id))).text == "the answer"


async def test_a_plan_is_explained_and_nothing_is_called(client: Either, house: UpstreamThread) -> None:
    plan = await client.call("explain", "Why?", mixture="deep")
    assert [[agent.name for agent in layer.agents] for layer in plan.layers] == [["one", "two"], ["three"], ["editor"]]
    assert plan.worst_case.calls == 4
    assert house.upstream.calls == []


async def test_mixtures_are_listed_in_the_operators_order(client: Either) -> None:
    mixtures = await client.call("mixtures")
    assert [(mixture.name, mixture.is_default) for mixture in mixtures] == [
        ("council", True),
        ("deep", False),
        ("alone", False),
    ]
    assert mixtures[0].description == "Three and an editor."
    assert mixtures[0].worst_case.calls == 4
