"""Reads a run's events in a thread, across broken connections."""

import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from types import TracebackType
from typing import Protocol, Self

from moa.errors import MoaError, StreamCut
from moa.layers import ClosedLayers
from moa.resume import FAREWELL, Message, Resume
from moa.sync_silence import WatchedRead
from moa.translation import answer_of, translated
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import WatchRunRequest
from moa.v1.run_pb2 import Answer, LayerResult


class SyncCall(Protocol):
    """A streaming call of gRPC, as far as it is used here."""

    def __iter__(self) -> Iterator[Message]: ...
    def cancel(self) -> bool: ...
    def add_callback(self, callback: Callable[[], None]) -> bool: ...


SyncOpener = Callable[[WatchRunRequest | None, float | None], SyncCall]


class Stream:
    """The events of a run, each once, the terminal one last.

    A broken connection is mended by itself, and so is one on which nothing is heard for three heartbeats while the
    next event is waited for. Leaving the stream cancels the call: use ``with``, or call ``close``, when it is kept in
    a variable. The run goes on for a while, so that a watcher may come back; the client's ``cancel`` ends it.
    """

    def __init__(self, resume: Resume, opener: SyncOpener) -> None:
        self._resume = resume
        self._open = opener
        self._call: SyncCall | None = None
        self._responses: Iterator[Message] | None = None
        self._ready = deque[Event]()
        """What has come and was not asked for yet."""
        self._layers = ClosedLayers()
        self._closed = threading.Event()
        self._silence = WatchedRead(resume.silence)

    @property
    def run_id(self) -> str:
        """The run's id, empty before the first message."""
        return self._resume.run_id

    @property
    def closed_layers(self) -> Mapping[int, LayerResult]:
        """The layers whose end has been read, whole, by their numbers; not those that were begun before the stream."""
        return self._layers.by_index

    def layers(self) -> Iterator[LayerResult]:
        """Yield each layer, whole, when it closes; what else happens is read and left out."""
        for event in self:
            if (layer := self._layers.closed_by(event)) is not None:
                yield layer

    def answer(self) -> Answer:
        """Read to the end and return the answer, or raise why there is none."""
        try:
            for _ in self:
                pass
            return answer_of(self._resume.end, self.run_id)
        finally:
            self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._ready and not self._closed.is_set() and not self._resume.end:
            message = self._read()
            if message is not None:
                self._ready.extend(self._resume.accept(message))
        if self._ready and not self._closed.is_set():
            event = self._ready.popleft()
            self._layers.hear(event)
            return event
        if not self._closed.is_set():
            self._finish()
        raise StopIteration

    def close(self) -> None:
        """Leave the stream, from any thread; the call is cancelled."""
        self._closed.set()
        self._drop()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if self._call is not None:  # and nothing that takes a lock: garbage is collected anywhere
            self._call.cancel()

    def _read(self) -> Message | None:
        """Return the next message, or None after a break that was waited out."""
        try:
            with translated():
                return self._receive()
        except MoaError as error:
            broken = self._resume.silence.broken() if self._silence.take_expired() else error
            self._drop()
            if self._closed.is_set():  # closed by another thread while this one was reading
                return None
            delay = self._resume.delay(broken)
        except BaseException:  # Ctrl-C above all: a call that nobody reads any more is not left running
            self._drop()
            raise
        self._closed.wait(delay)
        return None

    def _receive(self) -> Message:
        call, responses = self._call, self._responses
        if call is None or responses is None:
            call = self._call = self._open(self._resume.begin(), self._resume.deadline.remaining())
            responses = self._responses = iter(call)
            if self._closed.is_set():  # by another thread, which saw no call yet
                call.cancel()
        self._silence.begin(call)
        try:
            response = next(responses, None)
        finally:
            self._silence.end()
        if response is None:
            raise StreamCut("the stream ended before its terminal event")
        return response

    def _finish(self) -> None:
        """Let the server end the call, so that it does not look left."""
        if self._call is not None:
            ended = threading.Event()
            if self._call.add_callback(ended.set):
                ended.wait(FAREWELL)
        self.close()

    def _drop(self) -> None:
        self._silence.stop()
        call, self._call, self._responses = self._call, None, None
        if call is not None:
            call.cancel()
