"""What follows a break, by an injected clock."""

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

import moa
from moa.errors import MoaError
from moa.resume import PATIENCE, Resume
from moa.silence import BEATS, SPREAD, STARTING, WATCHING
from moa.status import Status
from moa.terms import Deadline
from moa.testing import answered, numbered
from moa.v1.event_pb2 import AnswerDelta, Event, RunAdopted, RunSucceeded
from moa.v1.moa_service_pb2 import WatchRunRequest, WatchRunResponse
from moa.v1.run_pb2 import Cursor

CUT = moa.Unreachable("socket closed", Status(StatusCode.UNAVAILABLE))


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def longest(_low: float, high: float) -> float:
    return high


def resume(timeout: float | None = None, clock: Clock | None = None, watching: WatchRunRequest | None = None) -> Resume:
    return Resume(Deadline.after(timeout, clock or Clock()), watching, longest)


def attached(
    timeout: float | None = None, clock: Clock | None = None, watching: WatchRunRequest | None = None
) -> Resume:
    made = resume(timeout, clock, watching)
    take(made, *numbered(answered("42"))[:1])
    return made


def take(made: Resume, *events: Event) -> list[Event]:
    return list(made.accept(WatchRunResponse(run_id="7f3", events=events)))


def test_before_the_first_event_the_request_is_made_again() -> None:
    assert resume().request() is None
    assert attached().request() == WatchRunRequest(run_id="7f3", after=Cursor(epoch=1, sequence=1))


def test_a_watch_begins_at_the_place_that_was_asked_for() -> None:
    watching = WatchRunRequest(run_id="7f3", after=Cursor(epoch=1, sequence=5))
    made = resume(watching=watching)
    assert (made.request(), made.run_id, made.end) == (watching, "7f3", None)


def test_a_stream_that_is_cut_before_its_first_message_is_asked_for_again_soon() -> None:
    assert resume().delay(moa.errors.StreamCut("nothing was heard")) == pytest.approx(0.1)


def test_a_watch_by_request_id_goes_on_by_run_id() -> None:
    made = attached(watching=WatchRunRequest(request_id="mine"))
    request = made.request()
    assert request is not None
    assert request.WhichOneof("run") == "run_id"


def test_no_event_is_accepted_twice_and_none_of_an_epoch_gone_by() -> None:
    made = resume()
    first = numbered([AnswerDelta(text="a"), AnswerDelta(text="b")])
    second = numbered([RunAdopted(), AnswerDelta(text="c")], epoch=2)
    late = numbered([AnswerDelta(text="zombie")], after=2)
    assert take(made, *first, *first) == first
    assert take(made, *second, *late, *second) == second
    assert take(made, *first) == []


def test_a_message_without_events_is_progress_and_moves_nothing() -> None:
    clock = Clock()
    made = attached(clock=clock)
    before = made.request()
    clock.now += PATIENCE - 1
    assert take(made) == []
    assert made.request() == before
    clock.now += PATIENCE - 1
    made.delay(CUT)


def test_the_first_message_of_each_call_tells_how_long_silence_may_last() -> None:
    def heard(period_s: int) -> float | None:
        list(made.accept(WatchRunResponse(run_id="7f3", heartbeat_period=Duration(seconds=period_s))))
        return made.silence.seconds

    made = resume()
    assert made.begin() is None
    assert made.silence.seconds == STARTING + SPREAD
    assert heard(2) == BEATS * 2 + SPREAD
    assert heard(0) == BEATS * 2 + SPREAD, "the others tell nothing"
    assert made.begin() == WatchRunRequest(run_id="7f3")
    assert made.silence.seconds == WATCHING + SPREAD
    assert heard(1) == BEATS + SPREAD


def test_a_new_event_ends_the_patience_with_a_server_that_fell_silent_and_an_old_one_does_not() -> None:
    made, first = attached(), numbered(answered("42"))[:2]
    for events, patience in ((first[:1], 2), (first[1:], 1)):
        made.silence.broken()
        made.begin()
        take(made, *events)
        made.begin()
        list(made.accept(WatchRunResponse(run_id="7f3", heartbeat_period=Duration(seconds=1))))
        assert made.silence.seconds == BEATS * patience + SPREAD


def test_the_end_is_taken_again_by_one_who_watches_from_there() -> None:
    made = resume(watching=WatchRunRequest(run_id="7f3", after=Cursor(epoch=9, sequence=9)))
    end = numbered([RunSucceeded()], after=4)
    assert take(made, *end) == end
    assert made.end == end[0]


def test_waits_grow_and_are_bounded() -> None:
    made = attached()
    assert [round(made.delay(CUT), 1) for _ in range(8)] == [0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0, 2.0]


def test_progress_makes_the_next_wait_short_again() -> None:
    made = attached()
    for _ in range(5):
        made.delay(CUT)
    take(made, *numbered([AnswerDelta(text="a")], after=1))
    assert made.delay(CUT) == pytest.approx(0.1)


def test_what_the_server_asks_to_wait_is_waited() -> None:
    busy = moa.Overloaded("full", Status(StatusCode.UNAVAILABLE, "OVERLOADED", retry_after=7.0))
    assert attached().delay(busy) == 7.0


def test_a_wait_is_anywhere_between_nothing_and_the_longest() -> None:
    asked = list[tuple[float, float]]()

    def shortest(low: float, high: float) -> float:
        asked.append((low, high))
        return low

    made = Resume(Deadline.after(None, Clock()), WatchRunRequest(run_id="7f3"), shortest)
    take(made, *numbered(answered("42"))[:1])
    assert made.delay(CUT) == 0.0
    assert asked == [(0.0, 0.1)]


def test_a_wait_that_takes_all_the_time_that_is_left_is_no_use() -> None:
    busy = moa.Overloaded("full", Status(StatusCode.UNAVAILABLE, "OVERLOADED", retry_after=0.5))
    with pytest.raises(moa.Overloaded):
        attached(timeout=0.5).delay(busy)
    assert attached(timeout=0.75).delay(busy) == 0.5


def test_the_callers_time_limit_ends_it() -> None:
    clock = Clock()
    made = attached(timeout=1.0, clock=clock)
    made.delay(CUT)
    clock.now += 0.9
    with pytest.raises(moa.Unreachable):
        made.delay(CUT)


def test_without_a_time_limit_patience_ends_it() -> None:
    clock = Clock()
    made = attached(clock=clock)
    clock.now += PATIENCE - 1
    made.delay(CUT)
    clock.now += 1
    with pytest.raises(moa.Unreachable):
        made.delay(CUT)


@pytest.mark.parametrize("code", [StatusCode.INTERNAL, StatusCode.UNKNOWN, StatusCode.CANCELLED, StatusCode.ABORTED])
def test_a_break_without_a_reason_is_mended_whatever_its_code(code: StatusCode) -> None:
    assert attached().delay(MoaError("RST_STREAM", Status(code))) == pytest.approx(0.1)


@pytest.mark.parametrize(
    "error",
    [
        moa.InternalError("trace 4bf9"),
        moa.RunNotFound("run 7f3 not found"),
        moa.ResumePointExpired("gone"),
        moa.DeadlineExceeded("too late"),
        moa.Unauthenticated("who are you"),
    ],
)
def test_what_a_server_says_is_final(error: MoaError) -> None:
    with pytest.raises(type(error)):
        attached().delay(error)


def test_a_server_never_reached_is_left_to_the_channel() -> None:
    with pytest.raises(moa.Unreachable):
        resume().delay(CUT)
