"""Silence is a break, but only of a server, and only while somebody listens."""

import asyncio
import time
from typing import Any

import pytest

import moa
from moa.silence import BEATS, SPREAD, STARTING, WATCHING, SilenceLimit
from moa.testing import FakeMoa
from moa.v1.event_pb2 import AnswerDelta, RunStarted, RunSucceeded
from moa.v1.moa_service_pb2 import WatchRunRequest
from moa.v1.run_pb2 import Answer, Cursor
from tests.client.either import Either, sent

END = RunSucceeded(answer=Answer(text="42"))


def longest(_low: float, high: float) -> float:
    return high


async def aside(client: Either, stream: Any) -> list[Any]:  # noqa: ANN401 - of either kind
    """Read to the end while the test goes on."""
    if isinstance(client.client, moa.Client):
        return await asyncio.to_thread(list, stream)
    return [event async for event in stream]


async def test_a_stream_on_which_nothing_is_heard_is_taken_up_again(client: Either, fake: FakeMoa) -> None:
    fake.promises_heartbeats(0.1)
    fake.plays([RunStarted()])
    reading = asyncio.create_task(aside(client, client.client.synthesize("hello")))
    assert await asyncio.to_thread(fake.wait_called, 2)
    fake.goes_on(END)
    events = await reading
    assert [event.sequence for event in events] == [1, 2]
    assert sent(fake, WatchRunRequest, 1).after == Cursor(epoch=1, sequence=1)


async def test_a_caller_who_does_not_read_hears_nothing_and_breaks_nothing(client: Either, fake: FakeMoa) -> None:
    fake.promises_heartbeats(0.3)
    fake.plays([RunStarted(), AnswerDelta(text="42")])
    stream = client.client.synthesize("hello")
    for _ in range(2):
        await client.first(stream)
    await asyncio.sleep((BEATS + 2) * 0.3)
    fake.goes_on(END)
    assert (await client.first(stream)).HasField("run_succeeded")
    assert len(fake.calls) == 1


async def test_a_caller_who_stood_still_does_not_blame_the_server(fake: FakeMoa) -> None:
    fake.promises_heartbeats(0.1)
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        stream = client.synthesize("hello")
        await anext(stream)
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        fake.goes_on(END)
        time.sleep(2.0)  # noqa: ASYNC251 - the loop is what stands still
        assert (await reading).HasField("run_succeeded")
    assert len(fake.calls) == 1


async def test_a_server_that_promises_no_heartbeats_may_be_silent(client: Either, fake: FakeMoa) -> None:
    fake.promises_heartbeats(0.0)
    fake.plays([RunStarted()])
    reading = asyncio.create_task(aside(client, client.client.synthesize("hello")))
    assert not await asyncio.to_thread(_called_again, fake)
    fake.goes_on(END)
    await reading


def _called_again(fake: FakeMoa) -> bool:
    assert fake.wait_called()
    time.sleep(1.0)
    return len(fake.calls) > 1


@pytest.mark.parametrize("period", [0.1, 1.0, 50.0])
def test_patience_follows_the_period_that_the_server_told(period: float) -> None:
    limit = SilenceLimit(longest)
    limit.begin(starts=True)
    limit.hear_period(period)
    assert limit.seconds is not None
    assert BEATS * period < limit.seconds <= BEATS * period + min(period, SPREAD)


def test_callers_of_one_silent_server_leave_it_one_after_the_other() -> None:
    limits = [SilenceLimit() for _ in range(50)]
    for limit in limits:
        limit.hear_period(1.0)
    seconds = sorted(limit.seconds or 0.0 for limit in limits)
    assert 3.0 <= seconds[0] < seconds[-1] <= 3.0 + SPREAD
    assert seconds[-1] - seconds[0] > SPREAD / 2


def test_each_silence_in_vain_makes_more_patient_up_to_a_bound_and_an_event_ends_that() -> None:
    limit = SilenceLimit(lambda low, _high: low)
    patience = []
    for _ in range(4):
        limit.hear_period(1.0)
        patience.append(limit.seconds)
        limit.broken()
    assert patience == [3.0, 6.0, 12.0, 12.0]
    limit.hear_event()
    limit.hear_period(1.0)
    assert limit.seconds == 3.0


def test_the_first_message_is_waited_for_a_short_time_and_longer_when_it_stays_away() -> None:
    limit = SilenceLimit(lambda low, _high: low)
    waits = []
    for _ in range(12):
        limit.begin(starts=False)
        waits.append(limit.seconds)
        limit.broken()
    assert waits[:4] == [WATCHING] * 4
    assert waits[4:] == [2.0, 4.0, 8.0, 16.0, 20.0, 20.0, 20.0, 20.0]
    limit.hear_event()
    limit.begin(starts=True)
    assert limit.seconds == STARTING
