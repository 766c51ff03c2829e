"""What a server claims of what others have left, how much of it at once, and what it lets go."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import Cursor, Event
from moa_server.domain.run import RunRecord, RunState, RunTrial
from moa_server.engine.records.history import History
from moa_server.engine.records.takeover import Takeover
from tests.engine.journals import SharedJournal
from tests.journal.examples import NOON, PLAN, submission
from tests.models.timeless_loop import now, timeless

OWNERSHIP_S = 0.8
LOOK_S = 0.1


def record(run_id: str, *, after_loss: bool = False, trial: RunTrial = RunTrial.NONE) -> RunRecord:
    ticket = submission().ticket
    return RunRecord(run_id, ticket, PLAN, RunState.RUNNING, 2, NOON, after_loss=after_loss, trial=trial)


class Sealed(JournalUnavailable):
    """What no waiting mends."""

    passes = False


class Left(SharedJournal):
    """A journal with runs that others have left."""

    def __init__(self) -> None:
        super().__init__()
        self.there: list[RunRecord] = []
        self.claims: list[tuple[float, int, bool]] = []
        self.let_go: list[list[str]] = []
        self.left_to_others: list[list[str]] = []
        self.unread: dict[str, JournalUnavailable] = {}

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        assert owner == "me"
        self.claims.append((now(), limit, trial))
        claimed, self.there = self.there[:limit], self.there[limit:]
        return claimed

    async def release(self, owner: str, run_ids: Sequence[str]) -> None:
        assert owner == "me"
        self.let_go.append([*run_ids])

    async def leave(self, owner: str, run_ids: Sequence[str]) -> None:
        assert owner == "me"
        self.left_to_others.append([*run_ids])

    async def read(self, run_id: str, after: Cursor, limit: int, *, strict: bool = False) -> Sequence[Event]:
        assert strict, "a history with a gap is none"
        if run_id in self.unread:
            raise self.unread[run_id]
        return ()


class Server:
    """One that looks for runs, as far as its takeover knows it."""

    def __init__(self, room: int = 100) -> None:
        self.journal = Left()
        self.room = room
        self.unsettled: list[RunRecord] = []
        self.refuses = ""
        self.carried: list[tuple[str, float]] = []
        self.takeover = Takeover(
            self.journal,
            "me",
            ownership_s=OWNERSHIP_S,
            room=lambda: self.room,
            can_carry_on=lambda record: record.run_id != self.refuses,
            unsettled=lambda: self.unsettled,
            carry_on=self._carry_on,
        )

    def _carry_on(self, record: RunRecord, history: History, at: float) -> None:
        assert history == History()
        self.carried.append((record.run_id, at))

    @property
    def run_ids(self) -> list[str]:
        return [run_id for run_id, _ in self.carried]


@asynccontextmanager
async def looking(server: Server) -> AsyncIterator[None]:
    task = asyncio.create_task(server.takeover.look_for_ever())
    await asyncio.sleep(0.01)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@timeless
async def test_what_is_claimed_is_carried_on_from_the_moment_of_the_claim() -> None:
    server, began = Server(), now()
    server.journal.there = [record("r1"), record("r2")]
    async with looking(server):
        assert server.carried == [("r1", began), ("r2", began)]
        assert server.takeover.left() == []


@timeless
async def test_no_more_is_claimed_at_once_than_there_is_room_for_or_than_leaves_others_some() -> None:
    for room, limits in ((3, [3]), (16, [16]), (100, [16]), (0, []), (-1, [])):
        server = Server(room)
        async with looking(server):
            assert [limit for _, limit, _ in server.journal.claims] == limits


@timeless
async def test_servers_look_several_times_within_the_ownership_time_and_not_in_step() -> None:
    server = Server()
    async with looking(server):
        await asyncio.sleep(10 * LOOK_S)
    moments = [moment for moment, _, _ in server.journal.claims]
    pauses = [after - before for before, after in pairwise(moments)]
    assert all(0.6 * LOOK_S <= pause <= LOOK_S * 1.01 for pause in pauses)
    assert len({round(pause, 6) for pause in pauses}) > 1


@timeless
async def test_where_more_is_left_it_is_claimed_at_once_and_after_a_loss_a_little_later() -> None:
    for after_loss, pause_s in ((False, 0.0), (True, 0.6)):
        server = Server(room=2)
        server.journal.there = [record(f"r{number}", after_loss=after_loss) for number in range(3)]
        async with looking(server):
            await asyncio.sleep(2 * LOOK_S)
            at_once = len(server.run_ids) == 3
            assert at_once == (not after_loss)
            await asyncio.sleep(1.0)
            assert server.run_ids == ["r0", "r1", "r2"]
        first, second, *_ = (moment for moment, _, _ in server.journal.claims)
        assert second - first >= pause_s


@timeless
async def test_a_run_on_trial_is_claimed_only_by_a_server_that_has_taken_over_nothing_else() -> None:
    for unsettled, trials in (
        ([], [True]),
        ([record("r0")], [False]),
        ([record("r0", trial=RunTrial.FAILED)], [False]),
        ([record("r0", trial=RunTrial.OPEN)], []),
        ([record("r0", trial=RunTrial.OPEN), record("r1")], []),
    ):
        server = Server()
        server.unsettled = unsettled
        async with looking(server):
            assert [trial for _, _, trial in server.journal.claims] == trials


@timeless
async def test_a_run_that_cannot_be_read_now_is_kept_and_takes_room_and_holds_up_no_other() -> None:
    server = Server(room=2)
    server.journal.unread = {"r1": JournalUnavailable("away")}
    server.journal.there = [record("r1"), record("r2")]
    began = now()
    async with looking(server):
        await asyncio.sleep(2 * LOOK_S)
        assert (server.run_ids, server.takeover.left()) == (["r2"], ["r1"])
        assert [limit for _, limit, _ in server.journal.claims][:2] == [2, 1]
        assert [trial for _, _, trial in server.journal.claims][:2] == [True, False]
        server.journal.unread = {}
        await asyncio.sleep(2 * LOOK_S)
        assert server.carried == [("r2", began), ("r1", began)]
        assert server.takeover.left() == []


@timeless
async def test_a_trial_that_cannot_be_read_yet_takes_nobody_along() -> None:
    server = Server()
    server.journal.unread = {"r1": JournalUnavailable("away")}
    server.journal.there = [record("r1", trial=RunTrial.OPEN)]
    async with looking(server):
        await asyncio.sleep(5 * LOOK_S)
        assert len(server.journal.claims) == 1


@timeless
async def test_what_this_server_cannot_carry_on_or_can_never_read_is_left_to_others() -> None:
    server = Server()
    server.refuses = "r1"
    server.journal.unread = {"r2": Sealed("by another key")}
    server.journal.there = [record(run_id) for run_id in ("r1", "r2", "r3")]
    async with looking(server):
        assert server.journal.left_to_others == [["r1"], ["r2"]]
        assert (server.run_ids, server.takeover.left()) == (["r3"], [])


@timeless
async def test_a_run_that_may_have_been_registered_is_let_go_once() -> None:
    server = Server()
    server.takeover.doubt("r1")
    assert server.takeover.left() == ["r1"]
    async with looking(server):
        await asyncio.sleep(3 * LOOK_S)
        assert server.journal.let_go == [["r1"]]
        assert server.takeover.left() == []
