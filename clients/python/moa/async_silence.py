"""Looks whether a coroutine's read hears nothing for too long."""

import asyncio

from moa.silence import LATE, Cancellable, SilenceLimit


class SilenceTimer:
    """Cancels a call whose read hears nothing for the limit.

    One timer looks now and then, because one for each read would cost as much as the read. Between reads none runs:
    what a caller does not ask for may wait in the transport. It holds no stream, so that one left behind is freed.
    """

    def __init__(self, limit: SilenceLimit) -> None:
        self.is_expired = False
        """Whether the call was cancelled because of its silence."""
        self._limit = limit
        self._call: Cancellable | None = None
        self._began = 0.0
        self._looks_at = 0.0
        self._handle: asyncio.TimerHandle | None = None

    def begin(self, call: Cancellable) -> None:
        """Note that a read of this call begins."""
        seconds = self._limit.seconds
        if seconds is None:
            return
        loop = asyncio.get_running_loop()
        self._call, self._began = call, loop.time()
        if self._handle is None or self._began + seconds < self._looks_at:
            self._look_in(seconds, loop)

    def end(self) -> None:
        """Note that the read has ended."""
        self._call = None

    def take_expired(self) -> bool:
        """Say once whether the call was cancelled because of its silence."""
        was_expired, self.is_expired = self.is_expired, False
        return was_expired

    def stop(self) -> None:
        """Look no more at this call."""
        self.end()
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look_in(self, seconds: float, loop: asyncio.AbstractEventLoop) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._looks_at = loop.time() + seconds
        self._handle = loop.call_later(seconds, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._handle = None
        seconds = self._limit.seconds
        if self._call is None or seconds is None:
            return
        now = loop.time()
        if now - self._looks_at > LATE:
            self._began = now
        left = self._began + seconds - now
        if left > 0:
            self._look_in(left, loop)
        else:
            self.is_expired = True
            self._call.cancel()
