"""Reads a run's events in a thread, across broken connections."""

import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Protocol, Self

from moa.errors import MoaError, StreamCut
from moa.resume import FAREWELL, Resume
from moa.translation import answer_of, translated
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import SynthesizeResponse, WatchRunRequest, WatchRunResponse
from moa.v1.run_pb2 import Answer


class SyncCall(Protocol):
    """A streaming call of gRPC, as far as it is used here."""

    def __iter__(self) -> Iterator[SynthesizeResponse | WatchRunResponse]: ...
    def cancel(self) -> bool: ...
    def add_callback(self, callback: Callable[[], None]) -> bool: ...


SyncOpener = Callable[[WatchRunRequest | None, float | None], SyncCall]


class Stream:
    """The events of a run, each once, the terminal one last.

    A broken connection is mended by itself. Leaving the stream cancels the call: use ``with``, or call ``close``,
    when it is kept in a variable.
    """

    def __init__(self, resume: Resume, opener: SyncOpener) -> None:
        self._resume = resume
        self._open = opener
        self._call: SyncCall | None = None
        self._responses: Iterator[SynthesizeResponse | WatchRunResponse] | None = None
        self._closed = threading.Event()

    @property
    def run_id(self) -> str:
        """The run's id, empty before the first event."""
        return self._resume.run_id

    def answer(self) -> Answer:
        """Read to the end and return the answer, or raise why there is none."""
        try:
            for _ in self:
                pass
            return answer_of(self._resume.end)
        finally:
            self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        while not self._closed.is_set() and not self._resume.end:
            event = self._read()
            if event is not None and self._resume.accept(event):
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
        self._drop()

    def _read(self) -> Event | None:
        """Return the next event, or None after a break that was waited out."""
        try:
            with translated():
                return self._receive()
        except MoaError as error:
            self._drop()
            if self._closed.is_set():  # closed by another thread while this one was reading
                return None
            delay = self._resume.delay(error)
        except BaseException:  # Ctrl-C above all: a call that nobody reads any more is not left running
            self._drop()
            raise
        self._closed.wait(delay)
        return None

    def _receive(self) -> Event:
        if self._responses is None:
            self._call = self._open(self._resume.request(), self._resume.deadline.remaining())
            self._responses = iter(self._call)
        response = next(self._responses, None)
        if response is None:
            raise StreamCut("the stream ended before its terminal event")
        return response.event

    def _finish(self) -> None:
        """Let the server end the call, so that it does not look left."""
        if self._call is not None:
            ended = threading.Event()
            if self._call.add_callback(ended.set):
                ended.wait(FAREWELL)
        self.close()

    def _drop(self) -> None:
        call, self._call, self._responses = self._call, None, None
        if call is not None:
            call.cancel()
