"""Cancels, in the background, the runs of queries whose callers no longer wait for the answer.

A connection that is cut says nothing about what its caller wants: the server lets such a run go on for a while. A
caller who cancels a query wants nothing more of it, so the run is cancelled by the id of its request. It is tried for
two seconds at the most, and what comes of it is nobody's concern.
"""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress

from moa.errors import DeadlineExceeded, RunNotFound, ServerError

LONGEST = 2.0
"""Seconds after which no more is tried."""

_ATTEMPT = 0.7
"""Seconds for one call: the next one may meet another server."""

_FIRST_PAUSE = 0.1
_AT_ONCE = 0.25
"""Seconds for which a cancelled coroutine waits itself: its event loop may end with it."""

_PASSING = (RunNotFound, DeadlineExceeded, ServerError)
"""What may pass: the query may still be on its way to a server, or the server met may be frozen."""


class AsyncCancellations:
    """The queries of a client for coroutines that are waited for, and the cancellations of those no longer wanted."""

    def __init__(self, cancel: Callable[[str, float], Awaitable[object]]) -> None:
        """Cancel a run with ``cancel``, which is given the id of a request and a time limit."""
        self._cancel = cancel
        self._waited_for: dict[asyncio.Event, str] = {}
        """The ids of the requests that are waited for, by what tells that the wait is over."""
        self._tasks: set[asyncio.Task[object]] = set()

    @contextmanager
    def waiting(self, request_id: str) -> Iterator[None]:
        """Note that a caller waits for the end of a run."""
        over = asyncio.Event()
        self._waited_for[over] = request_id
        try:
            yield
        finally:
            del self._waited_for[over]
            over.set()

    async def begin(self, request_id: str) -> None:
        """Cancel the run of a request; what is not done in a moment goes on in the background."""
        await asyncio.wait((self._start(self._carry_out(request_id)),), timeout=_AT_ONCE)

    async def finish(self, *, all_runs: bool) -> None:
        """Wait for what is under way, and cancel ``all_runs`` that are still waited for."""
        for over, request_id in self._waited_for.items() if all_runs else ():
            self._start(self._carry_out(request_id))
            self._start(over.wait())  # its caller is to read how the run ended
        if tasks := tuple(self._tasks):
            try:
                await asyncio.wait(tasks, timeout=LONGEST)
            finally:
                for task in tasks:
                    task.cancel()

    def _start(self, work: Coroutine[object, object, object]) -> asyncio.Task[object]:
        task = asyncio.create_task(work, name="moa cancellation")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _carry_out(self, request_id: str) -> None:
        pause = _FIRST_PAUSE
        with suppress(Exception):  # nobody is there to be told: not of a closed channel, nor of a token not to be had
            async with asyncio.timeout(LONGEST):
                while True:
                    try:
                        await self._cancel(request_id, _ATTEMPT)
                    except _PASSING:
                        await asyncio.sleep(pause)
                        pause *= 2
                    else:
                        return


class SyncCancellations:
    """The queries of a client for threads that are waited for, and the cancellations of those no longer wanted."""

    def __init__(self, cancel: Callable[[str, float], object]) -> None:
        """Cancel a run with ``cancel``, which is given the id of a request and a time limit."""
        self._cancel = cancel
        self._changed = threading.Condition()
        self._waited_for: list[str] = []
        self._threads: set[threading.Thread] = set()

    @contextmanager
    def waiting(self, request_id: str) -> Iterator[None]:
        """Note that a caller waits for the end of a run."""
        with self._changed:
            self._waited_for.append(request_id)
        try:
            yield
        finally:
            with self._changed:
                self._waited_for.remove(request_id)
                self._changed.notify_all()

    def begin(self, request_id: str) -> None:
        """Cancel the run of a request in the background; the end of the interpreter waits for it."""
        thread = threading.Thread(target=self._carry_out, args=(request_id,), name="moa cancellation")
        with suppress(RuntimeError), self._changed:  # at the very end of the interpreter no thread can be started
            thread.start()
            self._threads.add(thread)

    def finish(self, *, all_runs: bool) -> None:
        """Wait for what is under way, and cancel ``all_runs`` that are still waited for."""
        with self._changed:
            request_ids = tuple(self._waited_for) if all_runs else ()
        for request_id in request_ids:
            self.begin(request_id)
        with self._changed:  # and until the callers have read how their runs ended
            self._changed.wait_for(lambda: not (self._threads or (all_runs and self._waited_for)), LONGEST)

    def _carry_out(self, request_id: str) -> None:
        pause, ends = _FIRST_PAUSE, time.monotonic() + LONGEST
        with suppress(Exception):  # nobody is there to be told: not of a closed channel, nor of a token not to be had
            while (left := ends - time.monotonic()) > 0:
                try:
                    self._cancel(request_id, min(_ATTEMPT, left))
                    break
                except _PASSING:
                    time.sleep(pause)
                    pause *= 2
        with self._changed:
            self._threads.discard(threading.current_thread())
            self._changed.notify_all()
