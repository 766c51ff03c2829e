"""Reads a run's events in a coroutine, across broken connections."""

import asyncio
import contextlib
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from types import TracebackType
from typing import Protocol, Self

import grpc

from moa.async_silence import SilenceTimer
from moa.errors import MoaError, StreamCut
from moa.layers import ClosedLayers
from moa.resume import FAREWELL, Message, Resume
from moa.translation import answer_of, translated
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import WatchRunRequest
from moa.v1.run_pb2 import Answer, LayerResult


class AsyncCall(Protocol):
    """A streaming call of gRPC, as far as it is used here."""

    def __aiter__(self) -> AsyncIterator[Message]: ...
    def cancel(self) -> bool: ...
    async def code(self) -> grpc.StatusCode: ...


AsyncOpener = Callable[[WatchRunRequest | None, float | None], AsyncCall]


class AsyncStream:
    """The events of a run, each once, the terminal one last.

    A broken connection is mended by itself, and so is one on which nothing is heard for three heartbeats while the
    next event is waited for. Leaving the stream cancels the call: use ``async with``, or call ``aclose``, when it is
    kept in a variable. The run goes on for a while, so that a watcher may come back; the client's ``cancel`` ends it.
    """

    def __init__(self, resume: Resume, opener: AsyncOpener) -> None:
        self._resume = resume
        self._open = opener
        self._call: AsyncCall | None = None
        self._responses: AsyncIterator[Message] | None = None
        self._ready = deque[Event]()
        """What has come and was not asked for yet."""
        self._layers = ClosedLayers()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._silence = SilenceTimer(resume.silence)

    @property
    def run_id(self) -> str:
        """The run's id, empty before the first message."""
        return self._resume.run_id

    @property
    def closed_layers(self) -> Mapping[int, LayerResult]:
        """The layers whose end has been read, whole, by their numbers; not those that were begun before the stream."""
        return self._layers.by_index

    async def layers(self) -> AsyncIterator[LayerResult]:
        """Yield each layer, whole, when it closes; what else happens is read and left out."""
        async for event in self:
            if (layer := self._layers.closed_by(event)) is not None:
                yield layer

    async def answer(self) -> Answer:
        """Read to the end and return the answer, or raise why there is none."""
        try:
            async for _ in self:
                pass
            return answer_of(self._resume.end, self.run_id)
        finally:
            await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ready and not self._closed and not self._resume.end:
            message = await self._read()
            if message is not None:
                self._ready.extend(self._resume.accept(message))
        if self._ready and not self._closed:
            event = self._ready.popleft()
            self._layers.hear(event)
            return event
        if not self._closed:
            await self._finish()
        raise StopAsyncIteration

    async def aclose(self) -> None:
        """Leave the stream; the call is cancelled."""
        self._closed = True
        self._drop()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        call, loop = self._call, self._loop
        if call is not None and loop is not None and not loop.is_closed():
            loop.call_soon_threadsafe(call.cancel)  # garbage is collected on any thread

    async def _read(self) -> Message | None:
        """Return the next message, or None after a break that was waited out."""
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        try:
            with translated():
                return await self._receive()
        except MoaError as error:
            broken = self._resume.silence.broken() if self._silence.take_expired() else error
            self._drop()
        except asyncio.CancelledError:
            is_silent = self._silence.take_expired()
            self._drop()
            if task and task.cancelling() > cancelled_before:
                raise
            if self._closed:  # by another task while this one was reading
                return None
            if not is_silent:
                raise
            broken = self._resume.silence.broken()
        await asyncio.sleep(self._resume.delay(broken))
        return None

    async def _receive(self) -> Message:
        if self._call is None or self._responses is None:
            self._loop = asyncio.get_running_loop()
            self._call = self._open(self._resume.begin(), self._resume.deadline.remaining())
            # Not read(): that forgets messages which arrived together with the status.
            self._responses = aiter(self._call)
        self._silence.begin(self._call)
        try:
            response = await anext(self._responses, None)
        finally:
            self._silence.end()
        if response is None:
            raise StreamCut("the stream ended before its terminal event")
        return response

    async def _finish(self) -> None:
        """Let the server end the call, so that it does not look left."""
        if self._call is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FAREWELL):
                    await self._call.code()
        await self.aclose()

    def _drop(self) -> None:
        self._silence.stop()
        call, self._call, self._responses = self._call, None, None
        if call is not None:
            call.cancel()
