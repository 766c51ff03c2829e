"""Looks, from one thread for the whole process, whether a thread's read hears nothing for too long."""

import threading
import time
from weakref import WeakSet

from moa.silence import LATE, Cancellable, SilenceLimit

_TICK = 0.2


class WatchedRead:
    """The read of one stream: its call is cancelled when it hears nothing for the limit.

    Between reads nobody looks: what a caller does not ask for may wait in the transport.
    """

    def __init__(self, limit: SilenceLimit) -> None:
        self.limit = limit
        self.call: Cancellable | None = None
        """The call that is being read."""
        self.began = 0.0
        self.is_expired = False
        """Whether the call was cancelled because of its silence."""

    def begin(self, call: Cancellable) -> None:
        """Note that a read of this call begins."""
        if self.limit.seconds is not None:
            with _watchdog.lock:
                self.call, self.began = call, time.monotonic()
                _watchdog.watch(self)

    def end(self) -> None:
        """Note that the read has ended."""
        with _watchdog.lock:
            self.call = None

    def take_expired(self) -> bool:
        """Say once whether the call was cancelled because of its silence."""
        was_expired, self.is_expired = self.is_expired, False
        return was_expired

    def stop(self) -> None:
        """Look no more at this stream until its next read."""
        with _watchdog.lock:
            self.call = None
            _watchdog.reads.discard(self)

    def has_expired(self, now: float) -> bool:
        """Say whether the read under way has heard nothing for the limit."""
        seconds = self.limit.seconds
        return self.call is not None and seconds is not None and now - self.began >= seconds


class _Watchdog:
    """Looks at every read a few times a second. Its thread lives as long as there are streams."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.reads = WeakSet[WatchedRead]()
        self._thread: threading.Thread | None = None

    def watch(self, read: WatchedRead) -> None:
        """Look at a read from now on; the lock is held."""
        self.reads.add(read)
        # After a fork the thread is there in the parent alone.
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._look_on, name="moa silence", daemon=True)
            self._thread.start()

    def _look_on(self) -> None:
        looked = time.monotonic()
        while True:
            time.sleep(_TICK)
            now = time.monotonic()
            with self.lock:
                if not self.reads:
                    self._thread = None
                    return
                if now - looked > _TICK + LATE:
                    for read in self.reads:
                        read.began = now
                calls = [self._expire(read) for read in self.reads if read.has_expired(now)]
            looked = now
            for call in calls:  # outside of the lock: it wakes the reader, who takes it
                if call is not None:
                    call.cancel()

    def _expire(self, read: WatchedRead) -> Cancellable | None:
        call, read.call = read.call, None
        read.is_expired = True
        return call


_watchdog = _Watchdog()
