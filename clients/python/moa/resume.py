"""Decides what follows when a stream of events breaks."""

import random
from collections.abc import Callable, Iterator

from grpc import StatusCode

from moa.errors import JournalUnavailable, MoaError, Overloaded, ShuttingDown, StreamCut, Unreachable
from moa.silence import SilenceLimit
from moa.terms import Deadline
from moa.v1.event_pb2 import Event
from moa.v1.moa_service_pb2 import SynthesizeResponse, WatchRunRequest, WatchRunResponse
from moa.v1.run_pb2 import Cursor

TERMINAL = frozenset({"run_succeeded", "run_failed", "run_cancelled"})

PATIENCE = 60.0
"""Seconds without a new event after which a caller who named no time limit is told."""

FAREWELL = 0.5
"""Seconds a server has to end the call after the terminal event, before it is cancelled."""

_FIRST_DELAY = 0.1
_LONGEST_DELAY = 2.0
_MOST_DOUBLINGS = 10

_PASSING = (Unreachable, StreamCut, ShuttingDown, JournalUnavailable)
_BROKEN = frozenset({StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.CANCELLED, StatusCode.ABORTED})


def is_terminal(event: Event) -> bool:
    """Return whether nothing follows this event."""
    return event.WhichOneof("fact") in TERMINAL


Message = SynthesizeResponse | WatchRunResponse
"""Of a stream."""


class Resume:
    """Knows a caller's place in a run; is told events and failures, and does no I/O."""

    def __init__(
        self,
        deadline: Deadline,
        watching: WatchRunRequest | None = None,
        jitter: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.deadline = deadline
        self.end: Event | None = None
        """The terminal event, once it has come."""
        self.silence = SilenceLimit(jitter)
        """How long a read may hear nothing."""
        self._target = WatchRunRequest()
        if watching:
            self._target.CopyFrom(watching)
        self._attached = False
        self._is_first = True
        self._failures = 0
        self._progress = deadline.clock()
        self._jitter = jitter

    @property
    def run_id(self) -> str:
        """The run's id, empty before the first event when it was not given."""
        return self._target.run_id

    def request(self) -> WatchRunRequest | None:
        """Return what to attach with; None when the run's id is not known and it has to be started again."""
        return self._target if self._target.WhichOneof("run") else None

    def begin(self) -> WatchRunRequest | None:
        """Note that a call is made; return what it is to attach with."""
        request = self.request()
        self.silence.begin(starts=request is None)
        self._is_first = True
        return request

    def accept(self, message: Message) -> Iterator[Event]:
        """Note a message, and give those of its events that are new to the caller; one without any is a heartbeat."""
        self._attached = True
        self._failures = 0
        self._progress = self.deadline.clock()
        if self._is_first:  # it alone tells the period
            self._is_first = False
            self.silence.hear_period(message.heartbeat_period.ToNanoseconds() / 1e9)
        if message.run_id:  # from now on a break is mended by watching the run, not by asking again
            self._target.run_id = message.run_id
        for event in message.events:
            place = (event.epoch, event.sequence)
            is_new = not self._target.HasField("after") or place > (
                self._target.after.epoch,
                self._target.after.sequence,
            )
            if is_new:
                self.silence.hear_event()
                self._target.after.CopyFrom(Cursor(epoch=event.epoch, sequence=event.sequence))
            if is_terminal(event):  # told again to one who watches from the end or beyond it
                self.end = event
            if is_new or self.end is event:
                yield event

    def delay(self, error: MoaError) -> float:
        """Return the seconds to wait before attaching again; raise the error when that is no use."""
        self._failures += 1
        # Anywhere up to the longest: the callers that one server's end cut off do not come back all at once.
        longest = min(_LONGEST_DELAY, _FIRST_DELAY * 2 ** min(self._failures - 1, _MOST_DOUBLINGS))
        delay = max(self._jitter(0.0, longest), error.retry_after or 0.0)
        left = self.deadline.remaining()
        if left is None:
            left = PATIENCE - (self.deadline.clock() - self._progress)
        if not self._passes(error) or delay >= left:
            raise error
        return delay

    def _passes(self, error: MoaError) -> bool:
        """Return whether asking again can help; a server never reached is the channel's business."""
        if not self._attached:
            return isinstance(error, StreamCut)
        cut = not error.reason and error.code in _BROKEN
        return cut or isinstance(error, (*_PASSING, Overloaded))
