"""What every journal promises."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import pytest

from moa_server.domain.conversation import Message, Role
from moa_server.domain.errors import RequestIdReused, ResumePointExpired
from moa_server.domain.event import BEGINNING, AnswerDelta, Cursor, RunAdopted
from moa_server.domain.limits import Retention
from moa_server.domain.ports import Append, Journal
from moa_server.domain.run import RunRecord, RunState, RunTrial
from moa_server.journal.rules import PURGE_STEP
from tests.journal.examples import CLOSED, PLAN, SUCCEEDED, USED, deltas, events, submission, whole

OWNERSHIP_S = 5.0


class Store(Protocol):
    """A store that several servers share."""

    async def journal(self, retention: Retention | None = None) -> Journal:
        """Return a journal of one more server."""
        ...

    async def pass_time(self, seconds: float) -> None:
        """Let time pass, for the store and for all its servers."""
        ...


async def grow_silent(store: Store, *watching: Journal) -> None:
    """Let more than the ownership time pass, in which only some servers reach the store."""
    for _ in range(5):
        await store.pass_time(OWNERSHIP_S / 3)
        for number, journal in enumerate(watching):
            await journal.write(f"watcher {number}", ())


async def taken_over(store: Store, first: Journal, second: Journal) -> RunRecord:
    """Let ``a`` lose its run ``r1`` to ``b``."""
    await first.submit(submission(), "a")
    await first.write("a", [deltas(3)])
    await grow_silent(store, second)
    (claimed,) = await second.claim("b", 10)
    return claimed


async def lost_by(store: Store, journal: Journal, run_ids: Sequence[str], *owners: str) -> None:
    """Have runs lost by one owner after the other to silence."""
    for run_id in run_ids:
        await journal.submit(submission(run_id, run_id), owners[0])
    for owner in owners[1:]:
        await grow_silent(store, journal)
        assert len(await journal.claim(owner, 10)) == len(run_ids)
    await journal.write(owners[-1], ())
    await grow_silent(store, journal)


class JournalContract:
    async def test_a_submitted_run_is_found_by_its_id_and_by_its_request(self, store: Store) -> None:
        journal = await store.journal()
        registered = await journal.submit(submission(), "a")
        assert registered.created
        assert (registered.record.epoch, registered.record.state) == (1, RunState.RUNNING)
        for found in (await journal.find("r1"), await journal.find_request("ann", "q1")):
            assert found is not None
            assert (found.run_id, found.plan, found.ticket) == ("r1", PLAN, submission().ticket)

    async def test_what_was_never_submitted_is_not_found(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        assert await journal.find("r2") is None
        assert await journal.find_request("bob", "q1") is None
        assert await journal.find_request("ann", "") is None

    async def test_the_same_submission_sent_again_is_the_same_registration(self, store: Store) -> None:
        journal = await store.journal()
        first = await journal.submit(submission(), "a")
        again = await journal.submit(submission(), "a")
        assert (first.created, again.created) == (True, True)
        assert again.record.run_id == "r1"

    async def test_a_second_candidate_finds_the_run_of_its_request(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission("r1"), "a")
        other = await journal.submit(submission("r2"), "b")
        assert (other.created, other.record.run_id) == (False, "r1")
        assert await journal.find("r2") is None

    async def test_ten_duplicates_at_once_on_two_servers_are_one_run(self, store: Store) -> None:
        servers = [await store.journal(), await store.journal()]
        registered = await asyncio.gather(
            *(servers[number % 2].submit(submission(f"r{number}"), f"owner {number % 2}") for number in range(10))
        )
        assert len({one.record.run_id for one in registered}) == 1
        assert sum(one.created for one in registered) == 1

    async def test_a_request_id_stands_for_one_fingerprint(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        with pytest.raises(RequestIdReused):
            await journal.submit(submission("r2", fingerprint="another"), "a")

    async def test_callers_do_not_share_request_ids_and_runs_without_one_are_apart(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission("r1"), "a")
        assert (await journal.submit(submission("r2", caller="bob"), "a")).created
        assert (await journal.submit(submission("r3", ""), "a")).created
        assert (await journal.submit(submission("r4", ""), "a")).created

    async def test_what_is_written_is_read_in_order_after_any_place(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.write("a", [deltas(3)])
        await journal.write("a", [deltas(4, first=4)])
        written = (*deltas(3).events, *deltas(4, first=4).events)
        for place in range(8):
            read = await journal.read("r1", Cursor(1, place), 100)
            assert tuple(read) == written[place:]
        assert tuple(await journal.read("r1", BEGINNING, 100)) == written

    async def test_a_read_gives_no_more_than_its_limit_and_no_less(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        for first in range(1, 10):
            await journal.write("a", [deltas(1, first=first)])
        await journal.write("a", [deltas(20, first=10)])
        assert [event.sequence for event in await journal.read("r1", Cursor(1, 2), 12)] == list(range(3, 15))

    async def test_a_new_run_has_no_events_and_reading_waits_for_none(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        assert not await journal.read("r1", BEGINNING, 10)

    async def test_one_write_appends_for_many_runs(self, store: Store) -> None:
        journal = await store.journal()
        for run_id in ("r1", "r2", "r3"):
            await journal.submit(submission(run_id, run_id), "a")
        await journal.write("a", [deltas(2, run_id=run_id) for run_id in ("r1", "r2", "r3")])
        for run_id in ("r1", "r2", "r3"):
            assert len(await journal.read(run_id, BEGINNING, 10)) == 2

    async def test_a_terminal_event_ends_its_run_with_its_usage(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.write("a", [whole()])
        record = await journal.find("r1")
        assert record is not None
        assert (record.state, record.usage) == (RunState.SUCCEEDED, USED)
        assert (await journal.read("r1", BEGINNING, 10))[-1].fact == SUCCEEDED

    async def test_nothing_is_kept_after_the_terminal_event(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.write("a", [Append("r1", 1, events(SUCCEEDED, AnswerDelta("late"), SUCCEEDED))])
        await journal.write("a", [Append("r1", 1, events(SUCCEEDED, first=4))])
        await journal.write("a", [Append("r1", 1, events(SUCCEEDED, first=2))])
        assert [event.is_terminal for event in await journal.read("r1", BEGINNING, 10)] == [True]

    async def test_a_write_sent_again_changes_nothing(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        for _ in range(3):
            written = await journal.write("a", [whole()])
            assert (written.lost, written.behind) == (frozenset(), ())
        assert len(await journal.read("r1", BEGINNING, 10)) == 4

    async def test_a_write_of_which_a_part_is_there_adds_the_rest(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.write("a", [deltas(3)])
        await journal.write("a", [deltas(5, first=2)])
        assert [event.sequence for event in await journal.read("r1", BEGINNING, 10)] == [1, 2, 3, 4, 5, 6]

    async def test_a_write_after_a_lost_tail_says_from_where_to_send_again(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.submit(submission("r2", "q2"), "a")
        await journal.write("a", [deltas(3)])
        written = await journal.write("a", [deltas(2, first=6), deltas(1, run_id="r2")])
        assert (written.behind, written.lost) == ((("r1", 3),), frozenset())
        assert len(await journal.read("r1", BEGINNING, 10)) == 3
        assert len(await journal.read("r2", BEGINNING, 10)) == 1
        assert (await journal.write("a", [deltas(4, first=4)])).behind == ()
        assert len(await journal.read("r1", BEGINNING, 10)) == 7

    async def test_an_owner_that_writes_is_not_robbed(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        for _ in range(5):
            await store.pass_time(OWNERSHIP_S / 2)
            await first.write("a", ())
            assert not await second.claim("b", 10)

    async def test_a_silent_owners_run_is_claimed_once_with_the_next_epoch(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        claimed = await taken_over(store, first, second)
        assert (claimed.run_id, claimed.epoch, claimed.state) == ("r1", 2, RunState.RUNNING)
        assert (claimed.plan, claimed.ticket) == (PLAN, submission().ticket)
        assert claimed.age_s >= OWNERSHIP_S
        assert not await first.claim("c", 10)

    async def test_claimants_at_once_never_get_the_same_run(self, store: Store) -> None:
        first, second, third = await store.journal(), await store.journal(), await store.journal()
        for number in range(12):
            await first.submit(submission(f"r{number}", f"q{number}"), "a")
        await grow_silent(store, second, third)
        claimed: list[str] = []
        while len(claimed) < 12:
            for records in await asyncio.gather(second.claim("b", 4), third.claim("c", 4)):
                assert len(records) <= 4
                claimed += [record.run_id for record in records]
        assert len(set(claimed)) == 12

    async def test_a_robbed_owner_can_write_nothing_and_is_told(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await taken_over(store, first, second)
        for append in (deltas(2, first=4), Append("r1", 1, events(SUCCEEDED, first=4)), Append("r1", 1)):
            assert (await first.write("a", [append])).lost == {"r1"}
        record = await second.find("r1")
        assert record is not None
        assert (record.state, record.epoch) == (RunState.RUNNING, 2)
        assert len(await second.read("r1", BEGINNING, 10)) == 3

    async def test_a_lost_run_does_not_hold_up_the_others_of_its_write(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await taken_over(store, first, second)
        await first.submit(submission("r2", "q2"), "a")
        assert (await first.write("a", [deltas(2, first=4), deltas(2, run_id="r2")])).lost == {"r1"}
        assert len(await first.read("r2", BEGINNING, 10)) == 2

    async def test_the_right_owner_with_an_old_epoch_is_refused(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await taken_over(store, first, second)
        assert (await second.write("b", [deltas(1, epoch=1, first=4)])).lost == {"r1"}

    async def test_a_run_nobody_knows_is_lost(self, store: Store) -> None:
        journal = await store.journal()
        assert (await journal.write("a", [deltas(1)])).lost == {"r1"}

    async def test_the_new_owner_begins_its_epoch_at_one_and_readers_go_on_after_the_old(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await taken_over(store, first, second)
        adopted = events(RunAdopted(0), SUCCEEDED, epoch=2)
        await second.write("b", [Append("r1", 2, adopted)])
        assert tuple(await first.read("r1", Cursor(1, 3), 10)) == adopted
        assert tuple(await first.read("r1", Cursor(1, 99), 10)) == adopted
        assert tuple(await first.read("r1", Cursor(2, 1), 10)) == adopted[1:]

    async def test_an_owner_whose_lease_is_renewed_is_not_robbed(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        async with first.lease("a") as lease:
            for _ in range(5):
                await store.pass_time(OWNERSHIP_S / 2)
                await second.write("watcher", ())
                assert await lease.renew()
                assert not await second.claim("b", 10)

    async def test_a_lease_that_has_lapsed_is_not_renewed(self, store: Store) -> None:
        """Only a write is told what was lost meanwhile."""
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        async with first.lease("a") as lease:
            await grow_silent(store, second)
            assert not await lease.renew()
            assert [record.run_id for record in await second.claim("b", 10)] == ["r1"]
            await first.write("a", ())
            assert await lease.renew()
        assert (await first.write("a", [deltas(1)])).lost == {"r1"}

    async def test_a_lease_of_nobody_is_not_renewed(self, store: Store) -> None:
        async with (await store.journal()).lease("nobody") as lease:
            assert not await lease.renew()

    async def test_the_runs_of_a_fallen_owner_are_claimed_at_once(self, store: Store) -> None:
        """It has come to its end by its own word: no time of silence is waited for."""
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        async with first.lease("a") as lease:
            await lease.fall("")
            assert not await lease.renew()
        await first.write("a", [deltas(1)])
        (claimed,) = await second.claim("b", 10)
        assert (claimed.epoch, claimed.owners_lost, claimed.after_loss) == (2, 1, True)
        assert (await first.write("a", [deltas(1, first=2)])).lost == {"r1"}

    async def test_only_owners_lost_to_silence_are_counted(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        for former, owner in ("ab", "bc", "cd", "de"):
            await first.release(former, ["r1"])
            (claimed,) = await second.claim(owner, 10)
            assert (claimed.owners_lost, claimed.after_loss, claimed.trial) == (0, False, RunTrial.NONE)
        await second.write("e", ())
        await grow_silent(store, second)
        (claimed,) = await second.claim("f", 10)
        assert (claimed.epoch, claimed.owners_lost, claimed.after_loss) == (6, 1, True)
        found = await first.find("r1")
        assert found is not None
        assert found.owners_lost == 1

    async def test_a_run_that_has_lost_two_owners_is_claimed_last_and_alone(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await lost_by(store, second, ("r1", "r2"), "a", "b")
        await first.submit(submission("r3", "q3"), "c")
        await first.release("c", ["r3"])
        assert [(one.run_id, one.trial) for one in await second.claim("d", 1)] == [("r3", RunTrial.NONE)]
        assert not await second.claim("d", 10, trial=False)
        assert [(one.run_id, one.trial) for one in await second.claim("d", 10)] == [("r1", RunTrial.OPEN)]
        assert [(one.run_id, one.owners_lost) for one in await second.claim("e", 10)] == [("r2", 2)]

    async def test_no_more_than_the_limit_is_claimed(self, store: Store) -> None:
        journal = await store.journal()
        await lost_by(store, journal, ("r1",), "a", "b")
        assert not await journal.claim("c", 0)
        assert [one.run_id for one in await journal.claim("c", 1)] == ["r1"]

    async def test_a_trial_is_over_once_a_layer_has_closed(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await lost_by(store, second, ("r1",), "a", "b")
        (claimed,) = await second.claim("c", 10)
        await second.write("c", [deltas(1, epoch=3)])
        found = await first.find("r1")
        assert found is not None
        assert found.trial is RunTrial.OPEN
        await second.write("c", [Append("r1", 3, events(CLOSED, epoch=3, first=2))])
        found = await first.find("r1")
        assert found is not None
        assert (claimed.trial, found.trial) == (RunTrial.OPEN, RunTrial.NONE)
        await second.release("c", ["r1"])
        assert [one.trial for one in await first.claim("d", 10)] == [RunTrial.NONE], "a hand-over raises no suspicion"

    async def test_a_trial_that_was_cut_short_is_held_again_however_often(self, store: Store) -> None:
        """Owners that are killed or hand over say nothing against a run."""
        first, second = await store.journal(), await store.journal()
        await lost_by(store, second, ("r1",), "a", "b")
        for owner in "cde":
            (claimed,) = await second.claim(owner, 10)
            assert claimed.trial is RunTrial.OPEN
            await second.write(owner, ())
            await grow_silent(store, second)
        await second.claim("f", 10)
        await second.release("f", ["r1"])
        (claimed,) = await first.claim("g", 10)
        assert (claimed.trial, claimed.owners_lost) == (RunTrial.OPEN, 5)

    async def test_a_run_that_is_to_blame_is_tried_at_once_and_its_neighbours_are_not(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await lost_by(store, second, ("r1", "r2", "r3"), "a")
        assert len(await second.claim("b", 10)) == 3
        async with first.lease("b") as lease:
            await lease.fall("r2")
        innocent = await second.claim("c", 10)
        assert [(one.run_id, one.owners_lost, one.trial) for one in innocent] == [
            ("r1", 2, RunTrial.NONE),
            ("r3", 2, RunTrial.NONE),
        ]
        assert [(one.run_id, one.trial) for one in await second.claim("c", 10)] == [("r2", RunTrial.OPEN)]

    async def test_a_run_that_is_to_blame_in_its_trial_has_failed_it(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        for owner, expected in (("a", RunTrial.OPEN), ("b", RunTrial.FAILED)):
            async with first.lease(owner) as lease:
                await lease.fall("r1")
            (claimed,) = await second.claim(chr(ord(owner) + 1), 10, trial=expected is RunTrial.OPEN)
            assert claimed.trial is expected
        await second.release("c", ["r1"])
        assert [one.trial for one in await first.claim("d", 10)] == [RunTrial.FAILED], "whoever ends it may be killed"

    async def test_a_run_that_is_tried_stays_so_when_another_is_to_blame_or_nobody(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        for owner, blamed in (("a", "r1"), ("b", "r9"), ("c", "")):
            async with first.lease(owner) as lease:
                await lease.fall(blamed)
            (claimed,) = await second.claim(chr(ord(owner) + 1), 10)
            assert claimed.trial is RunTrial.OPEN

    async def test_a_run_that_is_left_is_claimed_by_others_and_never_again_here(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        await first.release("a", ["r1"])
        (claimed,) = await second.claim("b", 10)
        await second.leave("b", ["r1"])
        assert not await second.claim("b", 10)
        (again,) = await first.claim("c", 10)
        assert (again.run_id, again.epoch) == ("r1", claimed.epoch + 1)
        assert (again.owners_lost, again.trial) == (0, RunTrial.NONE), "it was not lost by being left"

    async def test_a_released_run_can_be_claimed_at_once_and_only_by_another(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        await second.release("b", ["r1"])
        assert not await second.claim("b", 10)
        await first.release("a", ["r1"])
        (claimed,) = await second.claim("b", 10)
        assert claimed.epoch == 2
        assert (await first.write("a", [deltas(1)])).lost == {"r1"}

    async def test_an_ended_run_is_neither_claimed_nor_released(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        await first.write("a", [whole()])
        await first.release("a", ["r1"])
        await grow_silent(store, second)
        assert not await second.claim("b", 10)

    async def test_an_owner_is_told_of_cancellations_asked_of_any_server(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        await first.submit(submission("r2", "q2"), "a")
        await second.cancel("r1", "bob")
        await second.cancel("r1", "eve")
        await second.cancel("nothing", "eve")
        assert (await first.write("a", ())).cancelled == (("r1", "bob"),)
        assert (await second.write("b", ())).cancelled == ()
        record = await second.find("r1")
        assert record is not None
        assert record.cancel_asked == "bob"

    async def test_an_owner_that_follows_itself_hears_of_a_cancellation(
        self, store: Store, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("moa_server.journal.followers.POLL_S", 1e6)
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        async with asyncio.timeout(20), aclosing(first.follow("a")) as news:
            await anext(news)
            await second.cancel("r1", "bob")
            await anext(news)
        assert (await first.write("a", ())).cancelled == (("r1", "bob"),)

    async def test_it_is_known_how_long_nobody_was_seen_to_watch(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        for run_id in ("r1", "r2"):
            await first.submit(submission(run_id, run_id), "a")
        await second.note_watched(["r1", "nothing"])
        await store.pass_time(10)
        watched, unwatched = await first.find("r1"), await first.find("r2")
        assert watched is not None
        assert unwatched is not None
        assert 10 <= watched.unwatched_s < 60
        assert unwatched.unwatched_s == float("inf")

    async def test_an_ended_run_cannot_be_cancelled(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await journal.write("a", [whole()])
        await journal.cancel("r1", "bob")
        assert (await journal.write("a", ())).cancelled == ()

    async def test_a_follower_on_another_server_sees_the_run_to_its_end(self, store: Store) -> None:
        first, second = await store.journal(), await store.journal()
        await first.submit(submission(), "a")
        seen: list[int] = []

        async def watch() -> None:
            async with aclosing(second.follow("r1")) as news:
                async for _ in news:
                    seen.extend(event.sequence for event in await second.read("r1", Cursor(1, len(seen)), 10))
                    if len(seen) == 4:
                        return

        async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
            tasks.create_task(watch())
            for place in range(4):
                await first.write("a", [Append("r1", 1, whole().events[place : place + 1])])
                await asyncio.sleep(0)
        assert seen == [1, 2, 3, 4]

    async def test_old_runs_are_purged_and_their_request_ids_are_free_again(self, store: Store) -> None:
        journal = await store.journal(Retention(age_s=60))
        for run_id in ("r1", "r2"):
            await journal.submit(submission(run_id, run_id), "a")
        await journal.write("a", [whole()])
        assert await journal.purge() == 0
        await store.pass_time(61)
        assert await journal.purge() == 1
        assert await journal.find("r1") is None
        assert await journal.find("r2") is not None
        assert await journal.find_request("ann", "r1") is None
        assert (await journal.submit(submission("r3", "r1"), "a")).created
        with pytest.raises(ResumePointExpired):
            await journal.read("r1", BEGINNING, 10)

    async def test_contents_can_go_before_the_account(self, store: Store) -> None:
        journal = await store.journal(Retention(content_age_s=10))
        await journal.submit(submission(), "a")
        await journal.write("a", [whole()])
        await store.pass_time(11)
        assert [await journal.purge(), await journal.purge()] == [1, 0]
        with pytest.raises(ResumePointExpired):
            await journal.read("r1", BEGINNING, 10)
        record = await journal.find("r1")
        assert record is not None
        assert (record.plan.messages, record.usage, record.state) == ((), USED, RunState.SUCCEEDED)

    @pytest.mark.parametrize("retention", [Retention(count=2), Retention(count_per_caller=2)])
    async def test_the_oldest_go_when_there_are_too_many(self, store: Store, retention: Retention) -> None:
        journal = await store.journal(retention)
        for number in range(5):
            run_id = f"r{number}"
            await journal.submit(submission(run_id, run_id), "a")
            await journal.write("a", [whole(run_id)])
            await store.pass_time(0.01)
        assert await journal.purge() == 3
        assert [await journal.find(f"r{number}") is None for number in range(5)] == [True, True, True, False, False]
        await journal.submit(submission("r5", "r5"), "a")
        await journal.write("a", [whole("r5")])
        assert await journal.purge() == 1

    async def test_one_callers_runs_do_not_push_out_anothers(self, store: Store) -> None:
        journal = await store.journal(Retention(count_per_caller=1))
        await journal.submit(submission("b1", "q", "bob"), "a")
        await journal.write("a", [whole("b1")])
        for run_id in ("r1", "r2"):
            await journal.submit(submission(run_id, run_id), "a")
            await journal.write("a", [whole(run_id)])
            await store.pass_time(0.01)
        assert await journal.purge() == 1
        assert await journal.find("b1") is not None
        assert await journal.find("r1") is None

    @pytest.mark.parametrize("retention", [Retention(bytes=25_000), Retention(bytes_per_caller=25_000)])
    async def test_the_oldest_go_when_they_take_too_much(self, store: Store, retention: Retention) -> None:
        journal = await store.journal(retention)
        for number in range(4):
            run_id = f"r{number}"
            await journal.submit(submission(run_id, run_id), "a")
            text = AnswerDelta("x" * 8_000)
            await journal.write("a", [Append(run_id, 1, events(text, SUCCEEDED, run_id=run_id))])
            await store.pass_time(0.01)
        assert await journal.purge() == 2
        assert [await journal.find(f"r{number}") is None for number in range(4)] == [True, True, False, False]

    async def test_an_unfinished_run_is_never_purged(self, store: Store) -> None:
        journal = await store.journal(Retention(age_s=1, content_age_s=1, count=0))
        await journal.submit(submission(), "a")
        await store.pass_time(100)
        assert await journal.purge() == 0

    @pytest.mark.parametrize("retention", [Retention(count=1), Retention(count_per_caller=1), Retention(bytes=12_000)])
    async def test_what_is_gone_counts_no_more(self, store: Store, retention: Retention) -> None:
        journal = await store.journal(retention)
        gone = []
        for number in range(4):
            run_id = f"r{number}"
            await journal.submit(submission(run_id, run_id), "a")
            half = AnswerDelta("x" * 4_000)
            await journal.write("a", [Append(run_id, 1, events(half, run_id=run_id))])
            await journal.write("a", [Append(run_id, 1, events(half, SUCCEEDED, run_id=run_id, first=2))])
            await store.pass_time(0.01)
            gone.append(await journal.purge())
        assert gone == [0, 1, 1, 1]
        assert [await journal.find(f"r{number}") is None for number in range(4)] == [True, True, True, False]

    async def test_contents_that_are_gone_take_no_room(self, store: Store) -> None:
        journal = await store.journal(Retention(content_age_s=10, bytes=25_000))
        gone = []
        for number in range(2):
            run_id = f"r{number}"
            await journal.submit(submission(run_id, run_id), "a")
            await journal.write("a", [Append(run_id, 1, events(AnswerDelta("x" * 14_000), SUCCEEDED, run_id=run_id))])
            await store.pass_time(11)
            gone.append(await journal.purge())
        assert gone == [1, 1]
        assert [await journal.find(f"r{number}") is None for number in range(2)] == [False] * 2

    async def test_what_lost_its_contents_goes_as_any_other(self, store: Store) -> None:
        journal = await store.journal(Retention(content_age_s=10, age_s=60))
        await journal.submit(submission(), "a")
        await journal.write("a", [whole()])
        gone = []
        for _ in range(3):
            await store.pass_time(31)
            gone.append(await journal.purge())
        assert gone == [1, 1, 0]
        assert await journal.find("r1") is None

    @pytest.mark.parametrize("retention", [Retention(content_age_s=10, count=PURGE_STEP), Retention(count=0)])
    async def test_no_more_than_a_step_is_purged_at_once(self, store: Store, retention: Retention) -> None:
        journal = await store.journal(retention)
        for number in range(PURGE_STEP + 1):
            await journal.submit(submission(f"r{number}", f"q{number}"), "a")
            await journal.write("a", [whole(f"r{number}")])
        await store.pass_time(11)
        gone = [await journal.purge() for _ in range(3)]
        assert (max(gone), sum(gone), gone[-1]) == (PURGE_STEP, PURGE_STEP + 1, 0)

    async def test_an_ended_run_is_asked_to_end_no_more(self, store: Store) -> None:
        journal = await store.journal(Retention(age_s=60))
        await journal.submit(submission(), "a")
        await journal.cancel("r1", "ann")
        assert (await journal.write("a", ())).cancelled == (("r1", "ann"),)
        await journal.write("a", [whole()])
        assert (await journal.write("a", ())).cancelled == ()
        await store.pass_time(61)
        assert await journal.purge() == 1
        assert (await journal.write("a", ())).cancelled == ()

    async def test_a_run_is_as_old_as_the_time_since_it_was_submitted(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(), "a")
        await store.pass_time(100)
        record = await journal.find("r1")
        assert record is not None
        assert record.age_s == pytest.approx(100, abs=20)
        assert record.created.utcoffset() == timedelta()

    async def test_a_submission_without_a_request_id_sent_again_leaves_its_run_as_it_is(self, store: Store) -> None:
        journal = await store.journal()
        await journal.submit(submission(request_id=""), "a")
        await journal.write("a", [deltas(3)])
        assert (await journal.submit(submission(request_id=""), "a")).created
        assert len(await journal.read("r1", BEGINNING, 10)) == 3

    async def test_what_was_asked_takes_room_too(self, store: Store) -> None:
        journal = await store.journal(Retention(bytes=50_000))
        plan = replace(PLAN, messages=(Message.of(Role.USER, "x" * 30_000),))
        for run_id in ("r1", "r2"):
            await journal.submit(replace(submission(run_id, run_id), plan=plan), "a")
            await journal.write("a", [whole(run_id)])
            await store.pass_time(0.01)
        assert await journal.purge() == 1
        assert await journal.find("r1") is None
