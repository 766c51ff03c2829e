"""A caller that no longer wants an answer says so; one whose connection broke does not."""

import asyncio
import threading
import time

import grpc
import pytest

import moa
from moa.cancellations import AsyncCancellations, SyncCancellations
from moa.testing import FakeMoa
from moa.v1.event_pb2 import RunStarted
from moa.v1.moa_service_pb2 import CancelRunRequest, QueryRequest
from tests.client.either import Either, sent


def methods(fake: FakeMoa) -> list[str]:
    return [call.method for call in fake.calls]


async def cancelled(asking: "asyncio.Task[object]") -> None:
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_query_whose_task_is_cancelled_cancels_its_run(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        asking = asyncio.create_task(client.query("hello"))
        assert await asyncio.to_thread(fake.wait_called)
        await cancelled(asking)
    assert methods(fake) == ["Query", "CancelRun"]
    assert sent(fake, CancelRunRequest).request_id == sent(fake, QueryRequest, 0).request_id


async def test_a_query_that_takes_longer_than_its_caller_waits_cancels_its_run(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await client.query("hello", request_id="mine")
    assert sent(fake, CancelRunRequest).request_id == "mine"


async def test_a_detached_query_leaves_its_run_alone(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        asking = asyncio.create_task(client.query("hello", detached=True))
        assert await asyncio.to_thread(fake.wait_called)
        await cancelled(asking)
    assert methods(fake) == ["Query"]


async def test_a_query_that_ended_by_itself_cancels_nothing(client: Either, fake: FakeMoa) -> None:
    fake.fails(moa.NoProposals("nobody"))
    with pytest.raises(moa.NoProposals):
        await client.call("query", "hello")
    fake.plays([RunStarted()])
    with pytest.raises(moa.DeadlineExceeded):  # the run has the same deadline
        await client.call("query", "hello", timeout=0.3)
    await client.call("close")
    assert methods(fake) == ["Query", "Query"]


async def test_a_cancellation_that_overtakes_its_query_is_made_again(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with fake.async_client() as client:
        asking = asyncio.create_task(client.query("hello"))
        assert await asyncio.to_thread(fake.wait_called)
        fake.refuses(moa.RunNotFound("no run with this request_id"))
        await cancelled(asking)
    assert methods(fake) == ["Query", "CancelRun", "CancelRun"]


async def test_closing_a_client_cancels_the_runs_of_its_queries(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    asking = asyncio.create_task(client.aside("query", "hello"))
    assert await asyncio.to_thread(fake.wait_called)
    closing = client.aside("close") if isinstance(client.client, moa.Client) else client.call("close")
    await closing
    with pytest.raises(moa.RunCancelled):
        await asking
    assert methods(fake) == ["Query", "CancelRun"]


async def test_a_client_whose_channel_is_another_ones_leaves_its_queries(fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    async with grpc.aio.insecure_channel(fake.target) as channel:
        borrower = moa.AsyncClient(channel)
        asking = asyncio.create_task(borrower.query("hello"))
        assert await asyncio.to_thread(fake.wait_called)
        await borrower.close()
        assert methods(fake) == ["Query"]
        await cancelled(asking)


async def test_no_server_holds_a_cancelled_caller_for_long() -> None:
    hangs = asyncio.Event()
    tried = asyncio.Event()

    async def cancel(_request_id: str, _timeout: float) -> None:
        tried.set()
        await hangs.wait()

    cancellations = AsyncCancellations(cancel)
    async with asyncio.timeout(20):
        await cancellations.begin("mine")
        await cancellations.finish(all_runs=True)
    assert tried.is_set()
    await asyncio.sleep(0)
    assert [task for task in asyncio.all_tasks() if task.get_name() == "moa cancellation"] == []


@pytest.mark.parametrize("error", [OSError("no such token"), ValueError("closed channel")])
async def test_what_comes_of_a_cancellation_is_nobodys_concern(error: Exception) -> None:
    async def cancel(_request_id: str, _timeout: float) -> None:
        raise error

    def cancel_now(_request_id: str, _timeout: float) -> None:
        raise error

    cancellations = AsyncCancellations(cancel)
    await cancellations.begin("mine")
    await cancellations.finish(all_runs=True)
    threads = SyncCancellations(cancel_now)
    threads.begin("mine")
    threads.finish(all_runs=True)


def test_a_thread_that_is_interrupted_does_not_wait_for_the_cancellation() -> None:
    hangs = threading.Event()
    asked: list[str] = []

    def cancel(request_id: str, _timeout: float) -> None:
        asked.append(request_id)
        hangs.wait(20)

    cancellations = SyncCancellations(cancel)
    with cancellations.waiting("other"):
        cancellations.begin("mine")
        assert not hangs.is_set()
        began = time.monotonic()
        cancellations.finish(all_runs=True)
        assert time.monotonic() - began < 15
    assert sorted(asked) == ["mine", "other"]
    hangs.set()
