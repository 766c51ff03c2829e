"""When events are written, and what becomes of what the journal answers."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

import pytest

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import AnswerDelta
from moa_server.domain.operation import Ownership
from moa_server.domain.ports import Append, Written
from moa_server.engine.records.run_log import RunLog
from moa_server.engine.records.writer import Writer
from tests.engine.journals import SharedJournal
from tests.journal.clock import HandClock
from tests.models.timeless_loop import now, timeless

OWNERSHIP = Ownership(6.0, lazy_s=0.5, owner="me")
RENEWAL_S = 2.0
MOMENT_S = 0.05
"""Within which an urgent event is written, company and all."""


class Answering(SharedJournal):
    """A journal that answers what it is told to, and remembers what it was sent, and when."""

    def __init__(self) -> None:
        super().__init__()
        self.answers: list[Written | Exception] = []
        self.written: list[tuple[float, list[Append]]] = []

    async def write(self, owner: str, appends: Sequence[Append]) -> Written:
        assert owner == "me"
        self.written.append((now(), [*appends]))
        answer = self.answers.pop(0) if self.answers else Written()
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def sent(self) -> list[list[tuple[str, list[int]]]]:
        """What was sent with each write, by run and number; runs without news left out."""
        batches = (batch for _, batch in self.written)
        return [[(one.run_id, [event.sequence for event in one.events]) for one in batch] for batch in batches]


class Desk:
    """A writer at work, and what it told."""

    def __init__(self, *, is_shared: bool = True) -> None:
        self.journal = Answering()
        self.journal.is_shared = is_shared
        self.told: list[Written] = []
        self.writer = Writer(self.journal, OWNERSHIP, self.told.append)

    def adopted(self, run_id: str, epoch: int = 1) -> RunLog:
        log = RunLog(run_id, epoch, HandClock())
        self.writer.adopt(log)
        return log

    def say(self, log: RunLog, *, urgent: bool = True) -> None:
        log.append(AnswerDelta("word"))
        self.writer.note(log, urgent=urgent)


@asynccontextmanager
async def desk(*, is_shared: bool = True) -> AsyncIterator[Desk]:
    made = Desk(is_shared=is_shared)
    task = asyncio.create_task(made.writer.write_for_ever())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@timeless
async def test_an_urgent_event_is_written_in_a_moment_and_takes_the_others_along() -> None:
    async with desk() as made:
        began, one, other = now(), made.adopted("r1"), made.adopted("r2")
        made.say(one, urgent=False)
        made.say(other)
        await asyncio.gather(one.durable(), other.durable())
        assert now() - began < MOMENT_S
        assert made.journal.sent == [[("r1", [1]), ("r2", [1])]]


@timeless
async def test_what_has_to_be_known_before_money_is_spent_is_written_in_a_moment() -> None:
    async with desk() as made:
        began, log = now(), made.adopted("r1")
        log.append(AnswerDelta("word"))
        await made.writer.until_known(log)
        assert now() - began < MOMENT_S
        assert made.journal.sent == [[("r1", [1])]]


@timeless
async def test_events_that_nobody_waits_for_wait_for_company() -> None:
    async with desk() as made:
        began, log = now(), made.adopted("r1")
        made.say(log, urgent=False)
        await asyncio.sleep(OWNERSHIP.lazy_s / 2)
        made.say(log, urgent=False)
        await log.durable()
        assert OWNERSHIP.lazy_s <= now() - began < OWNERSHIP.lazy_s + MOMENT_S
        assert made.journal.sent == [[("r1", [1, 2])]]
        made.say(log, urgent=False)
        await log.durable()
        assert now() - began >= 2 * OWNERSHIP.lazy_s, "the next ones wait anew"


@timeless
async def test_events_wait_a_moment_for_company_and_a_little_longer_where_there_are_many_runs() -> None:
    for runs, moment_s in ((1, 0.001), (3, 0.0015), (20, 0.01), (100, 0.03)):
        async with desk() as made:
            logs = [made.adopted(f"r{number}") for number in range(runs)]
            began = now()
            made.say(logs[0])
            await asyncio.sleep(0.0005)
            made.say(logs[-1])
            await asyncio.gather(logs[0].durable(), logs[-1].durable())
            assert now() - began == pytest.approx(moment_s)
            assert len(made.journal.written) == 1


@timeless
async def test_where_a_commit_costs_nothing_no_event_waits_for_company() -> None:
    async with desk(is_shared=False) as made:
        log, began = made.adopted("r1"), now()
        made.say(log)
        await log.durable()
        assert now() == began


@timeless
async def test_events_that_were_taken_along_leave_no_hurry_behind() -> None:
    async with desk() as made:
        log = made.adopted("r1")
        made.say(log, urgent=False)
        await asyncio.sleep(OWNERSHIP.lazy_s / 4)
        made.say(log)
        await log.durable()
        began = now()
        made.say(log, urgent=False)
        await log.durable()
        assert now() - began >= OWNERSHIP.lazy_s


@timeless
async def test_runs_without_news_are_asked_for_twice_within_a_renewal_at_the_most() -> None:
    async with desk() as made:
        log = made.adopted("r1")
        made.adopted("r2")
        for _ in range(3):
            made.say(log)
            await log.durable()
            await asyncio.sleep(RENEWAL_S * 0.4)
        assert [len(batch) for batch in made.journal.sent] == [2, 1, 2]


@timeless
async def test_the_ownership_is_renewed_thrice_within_its_time_without_news() -> None:
    async with desk() as made:
        made.adopted("r1")
        await asyncio.sleep(3 * RENEWAL_S + MOMENT_S)
        assert made.journal.sent == [[("r1", [])]] * 3


@timeless
async def test_nothing_is_written_for_nobody() -> None:
    async with desk() as made:
        log = made.adopted("r1")
        made.writer.drop(RunLog("r1", 2, HandClock()))  # of another epoch
        made.say(log)
        await log.durable()
        made.say(log)
        made.writer.drop(log)
        await asyncio.sleep(3 * RENEWAL_S)
        assert made.journal.sent == [[("r1", [1])]]


@timeless
async def test_money_may_be_spent_for_a_share_of_the_time_after_a_renewal_began() -> None:
    writer, may_spend = Desk().writer, list[bool]()
    may_spend.append(writer.may_spend)
    waiting = asyncio.create_task(writer.until_it_may_spend())
    await asyncio.sleep(0)
    renewed = now()
    writer.renewed(renewed)
    await waiting
    writer.renewed(renewed - 1)
    assert writer.renewed_at == renewed, "an older one takes nothing back"
    for share in (0.75, 0.1):
        await asyncio.sleep(OWNERSHIP.ownership_s * share)
        may_spend.append(writer.may_spend)
    assert may_spend == [False, True, False]


@timeless
async def test_what_could_not_be_written_is_sent_again_with_all_that_is_owned() -> None:
    async with desk() as made:
        one = made.adopted("r1")
        made.adopted("r2")
        made.say(one)
        await one.durable()
        made.journal.answers = [JournalUnavailable("away"), JournalUnavailable("away")]
        began = now()
        made.say(one)
        await asyncio.sleep(MOMENT_S)
        made.say(one)
        await one.durable()
        assert 0.4 <= now() - began < 0.4 + 3 * MOMENT_S, "it is not asked again at once"
        assert made.journal.sent[1:] == [[("r1", [2])], [("r1", [2, 3]), ("r2", [])], [("r1", [2, 3]), ("r2", [])]]
        assert made.told == []


@timeless
async def test_what_a_store_has_lost_is_sent_once_more_and_counts_as_lost_until_then() -> None:
    async with desk() as made:
        log = made.adopted("r1")
        for _ in range(2):
            made.say(log)
            await log.durable()
        made.journal.answers = [Written(behind=(("r1", 0), ("gone", 4)))]
        began = now()
        made.say(log)
        await log.durable()
        assert now() - began < 3 * MOMENT_S
        assert made.journal.sent == [[("r1", [1])], [("r1", [2])], [("r1", [3])], [("r1", [1, 2, 3])]]


@timeless
async def test_a_run_that_was_lost_is_told_and_is_not_durable_here() -> None:
    async with desk() as made:
        lost, other = made.adopted("r1"), made.adopted("r2")
        made.journal.answers = [Written(lost=frozenset({"r1", "unknown"}))]
        for log in (lost, other):
            made.say(log)
        await other.durable()
        assert [written.lost for written in made.told] == [frozenset({"r1"})]
        assert [event.sequence for event in lost.pending()] == [1]


@timeless
async def test_that_an_earlier_epoch_was_lost_is_not_told_of_the_next() -> None:
    async with desk() as made:
        former = made.adopted("r1", epoch=1)
        made.say(former)
        made.adopted("r1", epoch=3)
        made.journal.answers = [Written(lost=frozenset({"r1"}))]
        await asyncio.sleep(MOMENT_S)
        assert made.journal.written
        assert made.told == []


@timeless
async def test_a_cancellation_asked_of_any_server_is_told() -> None:
    async with desk() as made:
        made.adopted("r1")
        made.journal.answers = [Written(cancelled=(("r1", "caller"),))]
        made.writer.renew_now()
        await asyncio.sleep(MOMENT_S)
        assert [written.cancelled for written in made.told] == [(("r1", "caller"),)]


@timeless
async def test_a_flush_waits_for_everything_that_was_said() -> None:
    async with desk() as made:
        logs = [made.adopted(run_id) for run_id in ("r1", "r2")]
        for log in logs:
            made.say(log, urgent=False)
        began = now()
        await made.writer.flush()
        assert now() - began < 3 * MOMENT_S
        assert [log.pending() for log in logs] == [(), ()]
