"""Streams of events: whole, mended, and never left running."""

import asyncio
import gc
import threading

import grpc
import pytest

import moa
from moa.testing import FakeMoa, Heartbeat, answered
from moa.v1.event_pb2 import AnswerDelta, Event, RunAdopted, RunStarted, RunSucceeded
from moa.v1.moa_service_pb2 import SynthesizeRequest, WatchRunRequest
from moa.v1.run_pb2 import Answer, Cursor
from tests.client.either import Either, sent


def facts(events: list[Event]) -> list[str | None]:
    return [event.WhichOneof("fact") for event in events]


def places(events: list[Event]) -> list[tuple[int, int]]:
    return [(event.epoch, event.sequence) for event in events]


async def test_synthesize_gives_every_event_once_and_the_terminal_one_last(client: Either, fake: FakeMoa) -> None:
    fake.answers("42", proposals={"fast": "41", "wide": "43"})
    events = await client.events(client.client.synthesize("hello", proposal_deltas=True))
    assert facts(events)[0] == "run_started"
    assert facts(events)[-1] == "run_succeeded"
    assert places(events) == [(1, number) for number in range(1, len(events) + 1)]
    assert sent(fake, SynthesizeRequest).proposal_deltas


async def test_answer_waits_to_the_end(client: Either, fake: FakeMoa) -> None:
    fake.answers("42")
    assert (await client.answer(client.client.synthesize("hello"))).text == "42"


async def test_a_finished_stream_does_not_look_left(client: Either, fake: FakeMoa) -> None:
    fake.answers("42")
    await client.events(client.client.synthesize("hello"))
    await client.call("mixtures")
    assert fake.left == 0


async def test_watch_attaches_after_a_place(client: Either, fake: FakeMoa) -> None:
    fake.answers("42")
    run_id = (await client.call("query", "hello", request_id="mine")).run.run_id
    events = await client.events(client.client.watch(run_id, after=Cursor(epoch=1, sequence=3)))
    assert events[0].sequence == 4
    assert await client.events(client.client.watch(request_id="mine")) != []


@pytest.mark.parametrize("cuts", [(3,), (1, 1, 1), (2, 0, 0, 1)])
async def test_a_broken_stream_goes_on_after_its_last_event(
    client: Either, fake: FakeMoa, cuts: tuple[int, ...]
) -> None:
    fake.answers("the whole answer", proposals={"fast": "a", "wide": "b"})
    fake.cuts(*cuts)
    events = await client.events(client.client.synthesize("hello"))
    assert places(events) == [(1, number) for number in range(1, len(events) + 1)]
    assert "".join(event.answer_delta.text for event in events) == "the whole answer"
    assert [call.method for call in fake.calls] == ["Synthesize", *["WatchRun"] * len(cuts)]
    assert sent(fake, WatchRunRequest, 1).after == Cursor(epoch=1, sequence=cuts[0])


async def test_a_broken_watch_goes_on_too(client: Either, fake: FakeMoa) -> None:
    fake.answers("42")
    run_id = (await client.call("query", "hello")).run.run_id
    fake.cuts(2)
    assert (await client.answer(client.client.watch(run_id))).text == "42"


async def test_a_run_adopted_by_another_server_goes_on(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted(), AnswerDelta(text="half")])
    stream = client.client.synthesize("hello")
    await client.first(stream)
    fake.goes_on(RunAdopted(), *answered("whole")[1:])
    events = await client.events(stream)
    assert places(events)[:2] == [(1, 2), (2, 1)]
    assert events[-1].run_succeeded.answer.text == "whole"


async def test_heartbeats_are_no_events(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted(), Heartbeat(), Heartbeat(), RunSucceeded(answer=Answer(text="42"))])
    events = await client.events(client.client.synthesize("hello"))
    assert places(events) == [(1, 1), (1, 2)]


async def test_a_stream_that_stays_broken_is_given_up_when_the_time_is_over(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    fake.cuts(1, *[0] * 200)
    with pytest.raises(moa.MoaError) as caught:
        await client.events(client.client.synthesize("hello", timeout=0.4))
    assert isinstance(caught.value, moa.Unreachable | moa.DeadlineExceeded)


async def test_a_refused_start_is_raised_at_once(client: Either, fake: FakeMoa) -> None:
    fake.refuses(moa.UnknownMixture("no mixture is called coucil"))
    with pytest.raises(moa.UnknownMixture, match="coucil"):
        await client.events(client.client.synthesize("hello", mixture="coucil"))
    assert len(fake.calls) == 1


async def test_an_expired_place_is_raised_once_a_stream_breaks(client: Either, fake: FakeMoa) -> None:
    fake.answers("42")
    fake.cuts(2)
    stream = client.client.synthesize("hello")
    await client.first(stream)
    await client.first(stream)
    fake.refuses(moa.ResumePointExpired("the events after (1, 2) are no longer kept"))
    with pytest.raises(moa.ResumePointExpired):
        await client.first(stream)


async def test_a_failed_run_is_an_event_and_its_answer_is_an_error(client: Either, fake: FakeMoa) -> None:
    fake.fails(moa.NoProposals("no agent of layer 0 answered"))
    stream = client.client.synthesize("hello")
    assert (await client.first(stream)).HasField("run_started")
    with pytest.raises(moa.NoProposals, match="no agent of layer 0 answered"):
        await client.answer(stream)


async def test_deadline_of_a_stream_is_typed(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    with pytest.raises(moa.DeadlineExceeded):
        await client.events(client.client.synthesize("hello", timeout=0.2))


async def test_closing_a_stream_cancels_the_call(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    stream = client.client.synthesize("hello")
    await client.first(stream)
    await client.close(stream)
    assert await asyncio.to_thread(fake.wait_left)
    assert await client.events(stream) == []


async def test_breaking_out_of_the_loop_cancels_the_call(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    if isinstance(client.client, moa.Client):
        for _ in client.client.synthesize("hello"):
            break
    else:
        async for _ in client.client.synthesize("hello"):
            break
    gc.collect()
    assert await asyncio.to_thread(fake.wait_left)


async def test_an_exception_in_the_block_cancels_the_call(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    stream = client.client.synthesize("hello")
    with pytest.raises(ZeroDivisionError):
        await _fail_inside(stream)
    assert await asyncio.to_thread(fake.wait_left)


async def _fail_inside(stream: moa.AsyncStream | moa.Stream) -> None:
    if isinstance(stream, moa.Stream):
        with stream:
            next(stream)
            raise ZeroDivisionError
    async with stream:
        await anext(stream)
        raise ZeroDivisionError


async def test_a_cancelled_task_cancels_the_call(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        stream = client.synthesize("hello")
        await anext(stream)
        task = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await asyncio.to_thread(fake.wait_left)


async def test_a_read_given_up_loses_no_event(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        stream = client.synthesize("hello")
        await anext(stream)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await anext(stream)
        fake.goes_on(AnswerDelta(text="42"), RunSucceeded(answer=Answer(text="42")))
        assert facts([event async for event in stream]) == ["answer_delta", "run_succeeded"]


async def test_closing_from_another_task_ends_the_iteration(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        stream = client.synthesize("hello")
        await anext(stream)

        async def rest() -> list[Event]:
            return [event async for event in stream]

        reading = asyncio.create_task(rest())
        await asyncio.sleep(0)
        await stream.aclose()
        assert await reading == []


def test_closing_from_another_thread_ends_the_iteration(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    with fake.client() as client:
        stream = client.synthesize("hello")
        next(stream)
        rest: list[Event] = []
        reading = threading.Thread(target=lambda: rest.extend(stream))
        reading.start()
        stream.close()
        reading.join(10)
        assert not reading.is_alive()
        assert rest == []


async def test_a_server_that_goes_away_for_good_is_an_error_in_time(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    stream = client.client.synthesize("hello", timeout=3.0)
    await client.first(stream)
    await asyncio.to_thread(fake.stop)
    with pytest.raises((moa.Unreachable, moa.StreamCut, moa.DeadlineExceeded)):
        await client.first(stream)


async def test_a_server_that_comes_back_goes_on_with_the_run(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted(), AnswerDelta(text="forty-")])
    stream = client.client.synthesize("hello")
    await client.first(stream)
    await asyncio.to_thread(fake.restart)
    fake.goes_on(AnswerDelta(text="two"), RunSucceeded(answer=Answer(text="forty-two")))
    events = await client.events(stream)
    assert places(events) == [(1, 2), (1, 3), (1, 4)]


async def test_a_query_under_way_when_its_server_restarts_finds_its_run_again(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client(timeout=20) as client:
        asking = asyncio.create_task(client.query("hello"))
        assert await asyncio.to_thread(fake.wait_called)
        await asyncio.to_thread(fake.restart)
        assert await asyncio.to_thread(fake.wait_called, 2)
        fake.goes_on(RunSucceeded(answer=Answer(text="forty-two")))
        response = await asking
    assert (response.answer.text, response.run.run_id) == ("forty-two", "run-1")


async def test_nobody_listening_is_unreachable(unused_tcp_port: int) -> None:
    async with moa.AsyncClient(f"127.0.0.1:{unused_tcp_port}", timeout=20) as client:
        with pytest.raises(moa.Unreachable) as caught:
            await client.mixtures()
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    assert caught.value.reason == ""
