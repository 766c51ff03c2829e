"""What a stream makes of its calls: it takes them up again after a break, and leaves none of them running."""

import asyncio
import gc
import threading
import time
from collections.abc import Callable, Sequence

import grpc
import pytest

from moa.async_stream import AsyncStream
from moa.resume import Resume
from moa.sync_stream import Stream
from moa.terms import Deadline
from moa.testing import answered, numbered
from moa.v1.moa_service_pb2 import WatchRunRequest, WatchRunResponse
from moa.v1.run_pb2 import Cursor
from tests.models.timeless_loop import now, timeless

EVENTS = numbered(answered("42"))
BEGINNING = WatchRunResponse(run_id="7f3", events=EVENTS[:1])
REST = WatchRunResponse(run_id="7f3", events=EVENTS[1:])
PAUSE_S = 0.05

Step = WatchRunResponse | BaseException | None


class AsyncCall:
    """Says what it is told to; None waits until it is cancelled."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self._read: asyncio.Future[None] | None = None
        self.is_cancelled = False

    def __aiter__(self) -> "AsyncCall":
        return self

    async def __anext__(self) -> WatchRunResponse:
        if not self._steps:
            raise StopAsyncIteration
        step = self._steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        if step is None:
            self._read = asyncio.get_running_loop().create_future()
            await self._read
        assert step is not None
        return step

    async def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.OK

    def cancel(self) -> bool:
        self.is_cancelled = True
        if self._read is not None:
            self._read.cancel()
        return True


class SyncCall:
    """Says what it is told to."""

    def __init__(self, *steps: Step) -> None:
        self._steps = list(steps)
        self.is_cancelled = False

    def __iter__(self) -> "SyncCall":
        return self

    def __next__(self) -> WatchRunResponse:
        if not self._steps:
            raise StopIteration
        step = self._steps.pop(0)
        if isinstance(step, BaseException):
            raise step
        assert step is not None
        return step

    def add_callback(self, callback: Callable[[], None]) -> bool:
        return False

    def cancel(self) -> bool:
        self.is_cancelled = True
        return True


def resume() -> Resume:
    return Resume(Deadline.after(None), jitter=lambda _low, _high: PAUSE_S)


class Opener:
    """Hands out one call after the other."""

    def __init__(self, *calls: AsyncCall | SyncCall) -> None:
        self._calls = list(calls)
        self.asked: list[WatchRunRequest | None] = []

    def asynchronous(self, request: WatchRunRequest | None, _timeout: float | None) -> AsyncCall:
        call = self._next(request)
        assert isinstance(call, AsyncCall)
        return call

    def synchronous(self, request: WatchRunRequest | None, _timeout: float | None) -> SyncCall:
        call = self._next(request)
        assert isinstance(call, SyncCall)
        return call

    def _next(self, request: WatchRunRequest | None) -> AsyncCall | SyncCall:
        kept = None if request is None else WatchRunRequest()
        if kept is not None and request is not None:
            kept.CopyFrom(request)
        self.asked.append(kept)
        return self._calls.pop(0)


AGAIN: Sequence[WatchRunRequest | None] = [None, WatchRunRequest(run_id="7f3", after=Cursor(epoch=1, sequence=1))]


@timeless
async def test_a_coroutines_call_that_ends_early_is_taken_up_again_after_a_pause() -> None:
    opener = Opener(AsyncCall(BEGINNING), AsyncCall(REST))
    began = now()
    assert [event async for event in AsyncStream(resume(), opener.asynchronous)] == EVENTS
    assert opener.asked == AGAIN
    assert now() - began == pytest.approx(PAUSE_S)


def test_a_threads_call_that_ends_early_is_taken_up_again_after_a_pause() -> None:
    opener = Opener(SyncCall(BEGINNING), SyncCall(REST))
    began = time.monotonic()
    assert list(Stream(resume(), opener.synchronous)) == EVENTS
    assert opener.asked == AGAIN
    assert time.monotonic() - began >= PAUSE_S


@timeless
async def test_cancelling_a_read_cancels_the_call() -> None:
    call = AsyncCall(None)
    reading = asyncio.ensure_future(anext(AsyncStream(resume(), Opener(call).asynchronous)))
    await asyncio.sleep(0)
    assert not call.is_cancelled
    reading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert call.is_cancelled


@timeless
async def test_a_read_that_is_cancelled_while_its_stream_is_closed_ends_as_cancelled() -> None:
    stream = AsyncStream(resume(), Opener(AsyncCall(None)).asynchronous)
    reading = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    reading.cancel()
    await stream.aclose()
    with pytest.raises(asyncio.CancelledError):
        await reading


@timeless
async def test_a_call_that_somebody_else_cancelled_is_no_break() -> None:
    call = AsyncCall(asyncio.CancelledError())
    with pytest.raises(asyncio.CancelledError):
        await anext(AsyncStream(resume(), Opener(call).asynchronous))
    assert call.is_cancelled


@timeless
async def test_a_task_that_reads_while_it_is_being_cancelled_may_be_stopped_by_closing() -> None:
    stream = AsyncStream(resume(), Opener(AsyncCall(BEGINNING, None)).asynchronous)

    async def read_after_being_cancelled() -> int:
        try:
            await asyncio.sleep(1000.0)
        except asyncio.CancelledError:
            return len([event async for event in stream])
        return -1

    reading = asyncio.create_task(read_after_being_cancelled())
    await asyncio.sleep(0)
    reading.cancel()
    await asyncio.sleep(1.0)
    await stream.aclose()
    assert await reading == 1


def test_an_interrupted_read_cancels_the_call() -> None:
    call = SyncCall(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        next(Stream(resume(), Opener(call).synchronous))
    assert call.is_cancelled


def test_a_stream_closed_while_its_call_is_made_cancels_it() -> None:
    call = SyncCall(BEGINNING, REST)

    def close_and_open(_request: WatchRunRequest | None, _timeout: float | None) -> SyncCall:
        stream.close()
        return call

    stream = Stream(resume(), close_and_open)
    assert list(stream) == []
    assert call.is_cancelled


def test_no_thread_looks_after_a_stream_that_was_left() -> None:
    stream = Stream(resume(), Opener(SyncCall(BEGINNING)).synchronous)
    next(stream)
    watching = [thread for thread in threading.enumerate() if thread.name == "moa silence"]
    assert watching
    stream.close()
    gc.collect()
    for thread in watching:
        thread.join(3.0)
        assert not thread.is_alive()


def test_a_stream_that_is_forgotten_cancels_its_call() -> None:
    call = SyncCall(BEGINNING)
    stream = Stream(resume(), Opener(call).synchronous)
    next(stream)
    assert not call.is_cancelled
    del stream
    gc.collect()
    assert call.is_cancelled


@timeless
async def test_a_stream_that_a_coroutine_forgets_cancels_its_call() -> None:
    call = AsyncCall(BEGINNING)
    stream = AsyncStream(resume(), Opener(call).asynchronous)
    await anext(stream)
    assert not call.is_cancelled
    del stream
    gc.collect()
    await asyncio.sleep(0)
    assert call.is_cancelled
