"""The rules that every store keeps, by themselves."""

from dataclasses import replace

import pytest

from moa_server.domain.errors import RequestIdReused
from moa_server.domain.event import AnswerDelta, CancelledBy, Event, RunCancelled, RunFailed
from moa_server.domain.ports import Append
from moa_server.domain.run import RunRecord, RunState, RunTrial
from moa_server.journal.codec import Codec
from moa_server.journal.rules import Held, Row, Verdict, judge, outcome, parted, record_of, registered, without_content
from tests.journal.examples import NOON, PLAN, SUCCEEDED, USED, deltas, events, submission

HELD = Held("a", 2, 3, running=True)
CODEC = Codec()
ROW = Row(
    "r1",
    CODEC.ticket(submission().ticket),
    CODEC.plan(PLAN),
    "running",
    1,
    "a",
    "f",
    NOON,
    12.0,
    "caller",
    34.0,
    None,
    2,
    after_loss=True,
    trial=RunTrial.OPEN.value,
)


def appended(first: int, count: int) -> Append:
    return deltas(count, epoch=2, first=first)


@pytest.mark.parametrize("held", [None, replace(HELD, owner="b"), replace(HELD, epoch=1), replace(HELD, epoch=3)])
def test_an_owner_of_another_epoch_or_name_has_lost_the_run_whatever_it_writes(held: Held | None) -> None:
    for append in (appended(4, 2), appended(9, 2), Append("r1", 2, ())):
        assert judge(append, held, "a") == Verdict(lost=True)


def test_an_owner_that_was_robbed_of_a_run_that_has_ended_learns_of_it() -> None:
    assert judge(appended(4, 1), replace(HELD, running=False), "b").lost


def test_nothing_is_added_to_a_run_that_has_ended_and_nothing_is_a_gap_in_it() -> None:
    for first in (4, 9):
        assert judge(appended(first, 1), replace(HELD, running=False), "a") == Verdict()


def test_an_append_without_events_asks_only_whether_the_run_is_still_owned() -> None:
    assert judge(Append("r1", 2, ()), HELD, "a") == Verdict()


@pytest.mark.parametrize(("first", "taken"), [(1, [4, 5, 6]), (3, [4, 5, 6, 7, 8]), (4, [4, 5, 6, 7, 8, 9])])
def test_what_is_there_already_is_not_written_again(first: int, taken: list[int]) -> None:
    verdict = judge(appended(first, 6), HELD, "a")
    assert ([event.sequence for event in verdict.events], verdict.behind, verdict.lost) == (taken, None, False)


def test_all_of_it_is_there_already() -> None:
    assert judge(appended(2, 2), HELD, "a") == Verdict()


def test_a_gap_is_told_and_nothing_is_written() -> None:
    for first in (5, 6):
        assert judge(appended(first, 2), HELD, "a") == Verdict(behind=3)


def test_events_are_taken_up_to_the_first_that_ends_the_run() -> None:
    after = events(AnswerDelta("a"), SUCCEEDED, AnswerDelta("b"), SUCCEEDED, epoch=2, first=4)
    assert judge(Append("r1", 2, after), HELD, "a").events == after[:2]


@pytest.mark.parametrize(
    ("fact", "state"),
    [
        (SUCCEEDED, RunState.SUCCEEDED),
        (RunFailed("NO_PROPOSALS", "all failed", (), "", USED), RunState.FAILED),
        (RunCancelled(CancelledBy.CALLER, USED), RunState.CANCELLED),
    ],
)
def test_the_last_event_says_how_a_run_ended_and_what_it_used(fact: RunFailed | RunCancelled, state: RunState) -> None:
    assert outcome(events(AnswerDelta("a"), fact)) == (state, USED)


def test_a_run_goes_on_until_its_end_is_written() -> None:
    nothing: tuple[Event, ...] = ()
    for written in (nothing, events(AnswerDelta("a"))):
        assert outcome(written) == (RunState.RUNNING, None)


def test_a_plan_without_content_has_nothing_that_the_caller_said() -> None:
    assert without_content(PLAN) == replace(PLAN, messages=(), response_schema=None)


def test_a_record_has_everything_that_its_row_has() -> None:
    assert record_of(ROW, CODEC) == RunRecord(
        "r1",
        submission().ticket,
        PLAN,
        RunState.RUNNING,
        1,
        NOON,
        12.0,
        "caller",
        34.0,
        None,
        2,
        after_loss=True,
        trial=RunTrial.OPEN,
    )
    ended = replace(ROW, usage=CODEC.usage(USED), state="succeeded")
    assert (record_of(ended, CODEC).usage, record_of(ended, CODEC).state) == (USED, RunState.SUCCEEDED)


def test_a_run_that_cannot_be_read_is_parted_from_those_that_can() -> None:
    rows = [replace(ROW, run_id="r0", plan=b"\xff"), ROW, replace(ROW, run_id="r2")]
    records, unreadable = parted(rows, CODEC)
    assert ([record.run_id for record in records], unreadable) == (["r1", "r2"], ["r0"])


def test_only_the_same_submission_of_the_same_owner_in_its_first_epoch_is_made_by_it() -> None:
    def created(row: Row, run_id: str = "r1", owner: str = "a") -> bool:
        found = registered(row, submission(run_id), owner, CODEC)
        assert found.record == record_of(row, CODEC)
        return found.created

    assert created(ROW)
    assert not created(ROW, run_id="r2")
    assert not created(ROW, owner="b")
    assert not created(replace(ROW, epoch=2))


def test_a_request_id_that_stands_for_another_request_is_refused() -> None:
    with pytest.raises(RequestIdReused):
        registered(ROW, submission(fingerprint="another"), "a", CODEC)
