"""How a stream takes leave: the server ends the call, not the caller, unless that takes it too long."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator

import grpc
import pytest

import moa
from moa.async_stream import AsyncStream
from moa.resume import FAREWELL, Resume
from moa.sync_stream import Stream
from moa.terms import Deadline
from moa.testing import FakeMoa, answered, numbered
from moa.v1.event_pb2 import RunStarted
from moa.v1.moa_service_pb2 import WatchRunRequest, WatchRunResponse
from moa.v1.run_pb2 import Cursor
from tests.client.either import Either
from tests.models.timeless_loop import now, timeless

WHOLE = WatchRunResponse(run_id="7f3", events=numbered(answered("42")))


class AsyncCall:
    """Says all it has to say, and is ended by the server so many seconds later."""

    def __init__(self, ends_after_s: float) -> None:
        self._ends_after_s = ends_after_s
        self.said: list[str] = []

    def __aiter__(self) -> AsyncIterator[WatchRunResponse]:
        return self

    async def __anext__(self) -> WatchRunResponse:
        return WHOLE

    async def code(self) -> grpc.StatusCode:
        await asyncio.sleep(self._ends_after_s)
        self.said.append("ended")
        return grpc.StatusCode.OK

    def cancel(self) -> bool:
        self.said.append("cancelled")
        return True


class SyncCall:
    """Says all it has to say; what is told to its end is told at once, later from a thread, or never."""

    def __init__(self, ends: str) -> None:
        self._ends = ends
        self.said: list[str] = []

    def __iter__(self) -> Iterator[WatchRunResponse]:
        yield WHOLE

    def add_callback(self, callback: Callable[[], None]) -> bool:
        if self._ends == "over":
            return False
        if self._ends == "later":
            threading.Timer(0.05, self._end, (callback,)).start()
        return True

    def cancel(self) -> bool:
        self.said.append("cancelled")
        return True

    def _end(self, callback: Callable[[], None]) -> None:
        self.said.append("ended")
        callback()


def resume() -> Resume:
    return Resume(Deadline.after(None))


@pytest.mark.parametrize(
    ("ends_after_s", "said"), [(0.4, ["ended", "cancelled"]), (1000.0, ["cancelled"])], ids=["soon", "never"]
)
def test_a_coroutine_lets_the_server_end_the_call_for_a_while(ends_after_s: float, said: list[str]) -> None:
    @timeless
    async def check() -> None:
        call = AsyncCall(ends_after_s)
        stream = AsyncStream(resume(), lambda _target, _timeout: call)
        began = now()
        assert len([event async for event in stream]) == len(WHOLE.events)
        assert now() - began == pytest.approx(min(ends_after_s, FAREWELL))
        assert call.said == said
        assert [event async for event in stream] == []
        assert call.said == said

    check()


@pytest.mark.parametrize(
    ("ends", "said"),
    [("later", ["ended", "cancelled"]), ("over", ["cancelled"]), ("never", ["cancelled"])],
)
def test_a_thread_lets_the_server_end_the_call_for_a_while(ends: str, said: list[str]) -> None:
    call = SyncCall(ends)
    stream = Stream(resume(), lambda _target, _timeout: call)
    assert len(list(stream)) == len(WHOLE.events)
    assert call.said == said
    assert list(stream) == []


async def test_layers_are_given_whole_when_they_close(client: Either, fake: FakeMoa) -> None:
    fake.answers("42", proposals={"fast": "41", "wide": "43"})
    stream = client.client.synthesize("hello")
    layers = await client.events(stream.layers())
    assert [[proposal.text for proposal in layer.proposals] for layer in layers] == [["41", "43"]]
    assert stream.closed_layers == {0: layers[0]}


async def test_a_layer_that_was_begun_before_the_stream_is_left_out(client: Either, fake: FakeMoa) -> None:
    fake.answers("42", proposals={"fast": "41", "wide": "43"})
    run_id = (await client.call("query", "hello")).run.run_id
    stream = client.client.watch(run_id, after=Cursor(epoch=1, sequence=5))
    assert await client.events(stream.layers()) == []
    assert stream.closed_layers == {}


async def test_a_stream_whose_answer_failed_is_left(client: Either, fake: FakeMoa) -> None:
    fake.plays([RunStarted()])
    stream = client.client.synthesize("hello", timeout=0.2)
    with pytest.raises(moa.DeadlineExceeded):
        await client.answer(stream)
    assert await client.events(stream) == []
    assert [type(call.request) for call in fake.calls if isinstance(call.request, WatchRunRequest)] == []
