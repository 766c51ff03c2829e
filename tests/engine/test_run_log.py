"""What the owner of a run holds of it: numbered, durable, shown, in this order and no other."""

import asyncio

from moa_server.domain.answer import Answer
from moa_server.domain.event import AgentStarted, AnswerDelta, Fact, LayerClosed, RunSucceeded
from moa_server.domain.proposal import LayerResult
from moa_server.domain.usage import Usage
from moa_server.engine.records.run_log import RunLog, Waiters
from tests.journal.clock import HandClock
from tests.models.timeless_loop import now, timeless

ASKED = AgentStarted(0, "a", 0, "m")
WORD = AnswerDelta("word")
END = RunSucceeded(Answer("word", "a", "m", "m"), Usage())
SOON_S = 0.1


def log(*facts: Fact) -> RunLog:
    made = RunLog("r1", 2, HandClock())
    for fact in facts:
        made.append(fact)
    return made


def pending(made: RunLog) -> list[int]:
    return [event.sequence for event in made.pending()]


def shown(made: RunLog, after: int = 0) -> list[int]:
    return [event.sequence for event in made.shown_after(after)]


async def has_news(made: RunLog) -> bool:
    try:
        async with asyncio.timeout(SOON_S):
            await made.news()
    except TimeoutError:
        return False
    return True


@timeless
async def test_facts_are_numbered_from_one_with_run_epoch_and_moment() -> None:
    clock = HandClock()
    made = RunLog("r1", 2, clock)
    first = made.append(ASKED)
    clock.advance(1)
    second = made.append(WORD)
    assert [(event.run_id, event.epoch, event.sequence) for event in (first, second)] == [("r1", 2, 1), ("r1", 2, 2)]
    assert (second.time - first.time).total_seconds() == 1
    assert made.pending() == (first, second)


@timeless
async def test_what_is_durable_is_not_pending_and_stays_so_until_the_journal_has_lost_it() -> None:
    made = log(WORD, WORD, WORD)
    made.settle(2)
    assert pending(made) == [3]
    made.settle(1)
    assert pending(made) == [3], "a late answer takes nothing back"
    made.rewind(3)
    assert pending(made) == [3], "what is not there cannot be lost"
    made.rewind(1)
    assert pending(made) == [2, 3]
    assert shown(made) == [1, 2, 3], "what was shown stays shown"


@timeless
async def test_words_are_shown_at_once_and_an_end_when_it_is_durable() -> None:
    made = log(WORD, END)
    assert (shown(made), made.has_shown_beyond(0), made.has_shown_beyond(1)) == ([1], True, False)
    made.settle(2)
    assert (shown(made), shown(made, 1), made.has_shown_beyond(1)) == ([1, 2], [2], True)
    assert not made.has_shown_beyond(2)


@timeless
async def test_nothing_is_shown_before_what_stands_ahead_of_it() -> None:
    made = log(END, WORD)
    assert shown(made) == []
    made.settle(1)
    assert shown(made) == [1, 2]


@timeless
async def test_a_watcher_is_woken_for_a_word_at_once_and_a_little_later_for_the_rest() -> None:
    made = log()
    began, waiting = now(), asyncio.create_task(made.news())
    await asyncio.sleep(0)
    made.append(ASKED)
    made.append(ASKED)
    await waiting
    assert 0 < now() - began < SOON_S
    assert shown(made) == [1, 2]
    began, waiting = now(), asyncio.create_task(made.news())
    await asyncio.sleep(0)
    made.append(ASKED)
    made.append(WORD)
    await waiting
    assert now() == began
    assert not await has_news(made), "they were told of all at once"


@timeless
async def test_what_shows_nothing_new_wakes_nobody_who_watches() -> None:
    made = log(WORD)
    made.settle(1)
    waiting = asyncio.create_task(has_news(made))
    await asyncio.sleep(0)
    made.append(END)
    made.settle(1)
    assert not await waiting


@timeless
async def test_watchers_are_woken_when_it_is_left_or_a_heartbeat_is_due() -> None:
    for wake in (RunLog.leave, RunLog.wake_watchers):
        made = log(WORD)
        waiting = asyncio.create_task(has_news(made))
        await asyncio.sleep(0)
        assert not made.is_left
        wake(made)
        assert await waiting
        assert made.is_left == (wake is RunLog.leave)


@timeless
async def test_one_who_waits_for_the_journal_waits_for_all_that_was_appended_before() -> None:
    made = log(WORD, WORD)
    waiting = asyncio.create_task(made.durable())
    await asyncio.sleep(0)
    made.append(WORD)
    made.settle(1)
    await asyncio.sleep(SOON_S)
    assert not waiting.done()
    made.settle(2)
    await waiting
    made.settle(3)
    await made.durable()


@timeless
async def test_that_a_layer_has_closed_under_this_owner_is_known() -> None:
    made = log(WORD)
    assert not made.has_closed_a_layer
    made.append(LayerClosed(LayerResult(0, ()).summary()))
    assert made.has_closed_a_layer


@timeless
async def test_those_who_wait_are_woken_once_and_one_who_gave_up_is_forgotten() -> None:
    waiters = Waiters()
    waits = [asyncio.create_task(waiters.wait()) for _ in range(3)]
    await asyncio.sleep(0)
    waits[0].cancel()
    waiters.wake()  # before the cancelled one has run
    await asyncio.gather(*waits, return_exceptions=True)
    assert [wait.cancelled() for wait in waits] == [True, False, False]
    again = asyncio.create_task(waiters.wait())
    await asyncio.sleep(0)
    again.cancel()
    await asyncio.gather(again, return_exceptions=True)
    assert not waiters._futures  # noqa: SLF001 - that nothing is kept is what is tested
