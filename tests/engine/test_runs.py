"""A run, from its query to its end."""

import asyncio
from itertools import pairwise

import pytest

from moa_server.domain.degradation import DegradationReason
from moa_server.domain.errors import (
    LayerNotFound,
    LayerOpen,
    ModelStreamCut,
    ModelUnavailable,
    Overloaded,
    RequestIdReused,
    RunNotFound,
    ShuttingDown,
)
from moa_server.domain.event import (
    AnswerDelta,
    AnswerRestarted,
    CancelledBy,
    Cursor,
    ProposalDelta,
    ProposalReceived,
    RunStarted,
    RunSucceeded,
)
from moa_server.domain.limits import Limits
from moa_server.domain.mixture import Rules
from tests.engine.facts import cancelled, closed_layers, ended, facts, failed, started, succeeded
from tests.engine.fakes import Asked, FakeModel, Script, failing, once, saying, silent, spec, texts
from tests.engine.houses import OpenHouse


def model(name: str, *scripts: Script) -> FakeModel:
    return FakeModel(spec(name), *scripts)


async def test_a_run_ends_with_the_aggregators_text(open_house: OpenHouse) -> None:
    house = await open_house({"a": model("a"), "boss": model("boss", saying("Hel", "lo"))}, [["a"]])
    events = await house.carried()
    assert isinstance(events[0].fact, RunStarted)
    assert isinstance(events[-1].fact, RunSucceeded)
    assert succeeded(events).answer.text == "Hello"
    assert [delta.text for delta in facts(events, AnswerDelta)] == ["Hel", "lo"]
    assert ended(events).usage.calls == 2


async def test_events_are_numbered_without_gaps(open_house: OpenHouse) -> None:
    house = await open_house({"a": model("a"), "b": model("b"), "boss": model("boss")}, [["a", "b"], ["b", "a"]])
    events = await house.carried()
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert all(event.epoch == 1 for event in events)
    assert all(before.time <= after.time for before, after in pairwise(events))


@pytest.mark.parametrize(("layers", "calls"), [(0, 1), (1, 4), (2, 7)])
async def test_calls_are_those_of_the_paper(open_house: OpenHouse, layers: int, calls: int) -> None:
    house = await open_house({name: model(name) for name in ("a", "b", "c", "boss")}, [["a", "b", "c"]] * layers)
    events = await house.carried()
    assert ended(events).usage.calls == calls
    assert house.engine.catalogue.mixtures["mix"].roster.layers == started(events).plan.roster.layers
    assert started(events).plan.worst_case.calls == calls


async def test_the_first_layer_sees_the_callers_messages_unchanged(open_house: OpenHouse) -> None:
    a = model("a")
    house = await open_house({"a": a, "boss": model("boss")}, [["a"]])
    events = await house.carried("what is {this}?")
    assert a.asked[0].prompt.messages == started(events).plan.messages
    assert list(texts(a.asked[0].prompt)) == ["what is {this}?"]


async def test_references_stand_in_configured_order_whatever_the_order_of_arrival(open_house: OpenHouse) -> None:
    gate, boss = asyncio.Event(), model("boss")

    async def last(asked: Asked) -> None:
        asked.say("SECOND")
        gate.set()

    house = await open_house({"a": model("a", once(gate, "FIRST")), "b": model("b", last), "boss": boss}, [["a", "b"]])
    events = await house.carried()
    shown = "".join(texts(boss.asked[0].prompt))
    assert shown.index("FIRST") < shown.index("SECOND")
    assert closed_layers(events)[0].arrival == (1, 0)


async def test_a_failed_agent_leaves_no_text_and_a_degradation(open_house: OpenHouse) -> None:
    boss = model("boss")
    house = await open_house(
        {"a": model("a", failing(ModelUnavailable("SECRET 503"))), "b": model("b"), "boss": boss}, [["a", "b"]]
    )
    events = await house.carried()
    assert "SECRET" not in "".join(texts(boss.asked[0].prompt))
    answer = succeeded(events).answer
    assert [(one.reason, one.agent) for one in answer.degradations] == [(DegradationReason.AGENT_FAILED, "a")]


async def test_when_all_fail_one_error_carries_every_cause(open_house: OpenHouse) -> None:
    boss = model("boss")
    house = await open_house(
        {"a": model("a", failing(ModelUnavailable("x"))), "b": model("b", failing(ModelStreamCut("y"))), "boss": boss},
        [["a", "b"]],
    )
    end = failed(await house.carried())
    assert end.reason == "NO_PROPOSALS"
    assert dict(end.metadata) == {"layer": "0", "agent.a": "MODEL_UNAVAILABLE", "agent.b": "MODEL_STREAM_CUT"}
    assert {failure.agent for failure in end.failures} == {"a", "b"}
    assert boss.asked == []


async def test_a_straggler_is_cut_once_quorum_and_grace_are_over(open_house: OpenHouse) -> None:
    slow, boss = model("slow", silent()), model("boss")
    house = await open_house(
        {"a": model("a"), "b": model("b"), "slow": slow, "boss": boss}, [["a", "slow", "b"]], rules=Rules(quorum=2)
    )
    events = await house.carried()
    closed = closed_layers(events)[0]
    assert [proposal.agent for proposal in closed.proposals] == ["a", "b"]
    assert [(failure.agent, failure.reason) for failure in closed.failures] == [("slow", "STRAGGLER_CUT")]
    assert slow.asked[0].cancelled
    assert succeeded(events).answer.degradations[0].reason is DegradationReason.STRAGGLER_CUT
    assert closed.failures[0].usage.calls == 1


async def test_a_layer_below_its_quorum_fails_the_run(open_house: OpenHouse) -> None:
    house = await open_house(
        {"a": model("a"), "b": model("b", failing(ModelUnavailable("x"))), "boss": model("boss")},
        [["a", "b"]],
        rules=Rules(quorum=2),
    )
    assert failed(await house.carried()).reason == "QUORUM_MISSED"


async def test_a_layer_below_its_quorum_degrades_the_answer_if_the_mixture_says_so(open_house: OpenHouse) -> None:
    house = await open_house(
        {"a": model("a"), "b": model("b", failing(ModelUnavailable("x"))), "boss": model("boss")},
        [["a", "b"]],
        rules=Rules(quorum=2, fail_below_quorum=False),
    )
    answer = succeeded(await house.carried()).answer
    assert DegradationReason.QUORUM_MISSED in {one.reason for one in answer.degradations}


async def test_the_best_proposal_stands_in_for_an_aggregator_that_failed_before_its_first_word(
    open_house: OpenHouse,
) -> None:
    house = await open_house(
        {"a": model("a", saying("mine")), "boss": model("boss", failing(ModelUnavailable("x")))}, [["a"]]
    )
    events = await house.carried()
    assert succeeded(events).answer.text == "mine"
    assert [delta.text for delta in facts(events, AnswerDelta)] == ["mine"]
    assert DegradationReason.AGGREGATOR_FAILED in {one.reason for one in succeeded(events).answer.degradations}


async def test_an_answer_that_broke_off_is_an_error_that_keeps_the_partial_text(open_house: OpenHouse) -> None:
    house = await open_house({"a": model("a"), "boss": model("boss", failing(ModelStreamCut("x"), "Half a"))}, [["a"]])
    end = failed(await house.carried())
    assert (end.reason, end.partial_text) == ("ANSWER_FAILED", "Half a")


async def test_an_answer_that_broke_off_begins_again_where_the_mixture_allows_it(open_house: OpenHouse) -> None:
    boss = model("boss", failing(ModelStreamCut("x"), "Half a"), saying("whole"))
    house = await open_house({"a": model("a"), "boss": boss}, [["a"]], rules=Rules(restart_answer=True))
    events = await house.carried()
    kinds = [type(event.fact) for event in events if isinstance(event.fact, AnswerDelta | AnswerRestarted)]
    assert kinds == [AnswerDelta, AnswerRestarted, AnswerDelta]
    assert succeeded(events).answer.text == "whole"
    assert ended(events).usage.calls == 3


async def test_pieces_of_proposals_are_events_only_when_asked_for(open_house: OpenHouse) -> None:
    house = await open_house({"a": model("a", saying("x", "y")), "boss": model("boss")}, [["a"]])
    assert facts(await house.carried(), ProposalDelta) == []
    assert [delta.text for delta in facts(await house.carried(proposal_deltas=True), ProposalDelta)] == ["x", "y"]


async def test_a_watcher_resumes_after_a_place_with_nothing_lost_or_repeated(open_house: OpenHouse) -> None:
    house = await open_house({"a": model("a"), "boss": model("boss", saying("1", "2", "3"))}, [["a"]])
    whole = await house.carried()
    for place in whole:
        # The end is told again to one who has seen it.
        assert await house.events(place.run_id, place.cursor) == (whole[place.sequence :] or whole[-1:])


async def test_a_watcher_of_an_open_run_sees_what_comes(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    house = await open_house({"boss": model("boss", once(gate, "now"))}, [])
    run = await house.start()
    first, second = (asyncio.create_task(house.events(run.run_id)) for _ in range(2))
    gate.set()
    assert await first == await second
    assert (await first)[-1].is_terminal


async def test_a_heartbeat_comes_while_no_one_speaks(open_house: OpenHouse) -> None:
    house = await open_house({"boss": model("boss", silent())}, [], limits=Limits(heartbeat_s=0.01))
    run = await house.start()
    beats = 0
    async for events in house.engine.watch(run.run_id, Cursor()):
        beats += not events
        if beats == 3:
            break
    await house.engine.cancel(run.run_id, CancelledBy.CALLER)


async def test_cancelling_cancels_the_calls_and_ends_the_run(open_house: OpenHouse) -> None:
    slow = model("slow", silent())
    house = await open_house({"slow": slow, "boss": model("boss")}, [["slow"]])
    run = await house.start()
    await slow.called.wait()
    await house.engine.cancel(run.run_id, CancelledBy.CALLER)
    end = cancelled(await house.events(run.run_id))
    assert end.by is CancelledBy.CALLER
    assert end.usage.calls == 1
    assert slow.asked[0].cancelled
    assert house.engine.open_runs() == 0


async def test_cancelling_an_ended_run_changes_nothing(open_house: OpenHouse) -> None:
    house = await open_house({"boss": model("boss")}, [])
    events = await house.carried()
    await house.engine.cancel(events[0].run_id, CancelledBy.CALLER)
    assert await house.events(events[0].run_id) == events


async def test_a_run_that_nobody_watches_is_cancelled_after_the_grace(open_house: OpenHouse) -> None:
    slow = model("slow", silent())
    house = await open_house({"slow": slow, "boss": model("boss")}, [["slow"]], limits=Limits(abandon_grace_s=0.0))
    run = await house.start()
    await slow.called.wait()
    assert cancelled(await house.events(run.run_id)).by is CancelledBy.ABANDONED


async def test_a_detached_run_goes_on_unwatched(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    house = await open_house({"boss": model("boss", once(gate, "done"))}, [], limits=Limits(abandon_grace_s=0.0))
    run = await house.start(detached=True)
    for _ in range(20):
        await asyncio.sleep(0)
    gate.set()
    assert succeeded(await house.events(run.run_id)).answer.text == "done"


async def test_the_deadline_ends_the_run_with_a_typed_error(open_house: OpenHouse) -> None:
    house = await open_house({"slow": model("slow", silent()), "boss": model("boss")}, [["slow"]])
    end = failed(await house.carried(time_s=0.05))
    assert end.reason in {"DEADLINE_EXCEEDED", "NO_PROPOSALS"}


async def test_a_proposer_that_hangs_leaves_the_aggregator_its_share(open_house: OpenHouse) -> None:
    house = await open_house(
        {"slow": model("slow", silent()), "a": model("a"), "boss": model("boss", saying("made it"))}, [["slow", "a"]]
    )
    assert succeeded(await house.carried(time_s=0.3)).answer.text == "made it"


async def test_the_same_request_id_finds_the_same_run(open_house: OpenHouse) -> None:
    a = model("a")
    house = await open_house({"a": a, "boss": model("boss")}, [["a"]])
    first, second = await asyncio.gather(*(house.start(request_id="r") for _ in range(2)))
    assert first.run_id == second.run_id
    await house.events(first.run_id)
    assert (await house.start(request_id="r")).run_id == first.run_id
    assert len(a.asked) == 1
    with pytest.raises(RequestIdReused):
        await house.start("another question", request_id="r")


async def test_a_closed_layer_can_be_read_and_an_open_one_waited_for(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    house = await open_house({"a": model("a", once(gate, "A")), "boss": model("boss", silent())}, [["a"]])
    run = await house.start()
    with pytest.raises(LayerOpen):
        await house.engine.layer_result(run.run_id, 0)
    waiting = asyncio.create_task(house.engine.layer_result(run.run_id, 0, 5))
    await asyncio.sleep(0)
    gate.set()
    assert (await waiting).proposals[0].text == "A"
    assert await house.engine.layer_result(run.run_id, 0) == await waiting
    await house.engine.cancel(run.run_id, CancelledBy.CALLER)
    with pytest.raises(LayerNotFound):
        await house.engine.layer_result(run.run_id, 1)


async def test_a_run_of_another_caller_is_not_found(open_house: OpenHouse) -> None:
    house = await open_house({"boss": model("boss")}, [])
    run = await house.start()
    await house.events(run.run_id)
    with pytest.raises(RunNotFound):
        await house.engine.find("someone else", run_id=run.run_id)
    assert (await house.engine.find("tester", run_id=run.run_id)).run_id == run.run_id


async def test_a_full_server_refuses_new_runs_and_still_finds_old_ones(open_house: OpenHouse) -> None:
    house = await open_house({"boss": model("boss", silent())}, [], limits=Limits(open_runs=1))
    run = await house.start(request_id="r")
    with pytest.raises(Overloaded) as refused:
        await house.start()
    assert refused.value.retry_after_s
    assert (await house.start(request_id="r")).run_id == run.run_id
    await house.engine.cancel(run.run_id, CancelledBy.CALLER)


async def test_a_closing_engine_lets_its_runs_finish_and_refuses_new_ones(open_house: OpenHouse) -> None:
    gate = asyncio.Event()
    house = await open_house({"boss": model("boss", once(gate, "done"))}, [])
    run = await house.start()
    closing = asyncio.create_task(house.engine.close(5))
    await asyncio.sleep(0)
    with pytest.raises(ShuttingDown):
        await house.start()
    gate.set()
    await closing
    assert succeeded(await house.events(run.run_id)).answer.text == "done"


async def test_a_closing_engine_cancels_what_is_left_after_the_grace(open_house: OpenHouse) -> None:
    house = await open_house({"boss": model("boss", silent())}, [])
    run = await house.start()
    await house.engine.close(0.01)
    assert cancelled(await house.events(run.run_id)).by is CancelledBy.OPERATOR


async def test_two_runs_at_once_share_no_text(open_house: OpenHouse) -> None:
    async def echo(asked: Asked) -> None:
        await asyncio.sleep(0)
        asked.say("heard ", asked.prompt.messages[-1].parts[0].text)

    models = {name: FakeModel(spec(name), echo) for name in ("a", "b", "boss")}
    house = await open_house(models, [["a", "b"]])
    both = await asyncio.gather(house.carried("APPLE"), house.carried("PEAR"))
    for events, mine, other in zip(both, ("APPLE", "PEAR"), ("PEAR", "APPLE"), strict=True):
        told = "".join(repr(event.fact) for event in events)
        assert mine in told
        assert other not in told


async def test_an_agent_that_breaks_the_server_is_a_failure_of_that_agent(open_house: OpenHouse) -> None:
    async def broken(_asked: Asked) -> None:
        raise ZeroDivisionError("a fault with a secret in it")

    house = await open_house({"a": model("a", broken), "b": model("b"), "boss": model("boss")}, [["a", "b"]])
    events = await house.carried()
    assert isinstance(events[-1].fact, RunSucceeded)
    assert "secret" not in repr([event.fact for event in events])
    assert len(facts(events, ProposalReceived)) == 2
