"""Runs that are suspected: who takes them over, and when."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

from moa_server.domain.event import AgentStarted, LayerClosed, RunAdopted
from moa_server.domain.run import RunRecord, RunTrial
from moa_server.engine.records.takeover import Takeover
from moa_server.journal.memory import MemoryJournal
from tests.engine.facts import facts, failed, succeeded
from tests.engine.fakes import FakeModel, once, saying, silent, spec
from tests.engine.houses import OWNERSHIP_S, OpenHouse, ownership
from tests.engine.journals import CutOff, SharedJournal
from tests.journal.examples import submission
from tests.models.timeless_loop import now, timeless


def shared() -> SharedJournal:
    return SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.01)


async def held(open_house: OpenHouse, journal: SharedJournal, layers: list[list[str]], *texts: str) -> list[RunRecord]:
    """Begin runs on server ``one``, of which the last holds it until it has ended."""
    way = CutOff(journal)
    models = {name: FakeModel(spec(name), silent()) for name in ["boss", *(name for layer in layers for name in layer)]}
    one = await open_house(models, layers, journal=way, ownership=ownership("one"))
    runs = [await one.start(text, detached=True) for text in texts]
    for run in runs:
        await one.journaled(run.run_id, AgentStarted, 1)
    way.cut.set()
    journal.fall("one", runs[-1].run_id)
    return runs


async def epochs(journal: SharedJournal, run_id: str) -> set[int]:
    """Look for a while at the epochs that a run is in."""
    seen = set()
    for _ in range(5):
        await asyncio.sleep(OWNERSHIP_S / 4)
        record = await journal.find(run_id)
        assert record is not None
        seen.add(record.epoch)
    return seen


async def test_a_run_that_held_its_owner_in_its_trial_ends_without_a_call(open_house: OpenHouse) -> None:
    journal, unasked = shared(), FakeModel(spec("boss"))
    (run,) = await held(open_house, journal, [], "suspect")
    (tried,) = await journal.claim("two", 10)
    journal.fall("two", run.run_id)
    three = await open_house({"boss": unasked}, [], journal=journal, ownership=ownership("three"))
    events = await three.events(run.run_id)
    end = failed(events)
    assert tried.trial is RunTrial.OPEN
    assert (end.reason, dict(end.metadata)) == ("RUN_QUARANTINED", {"run_id": run.run_id, "epoch": "3"})
    assert unasked.asked == []
    assert [adopted.after_loss for adopted in facts(events, RunAdopted)] == [True]


async def test_a_server_takes_nothing_over_beside_a_trial_until_it_closes_a_layer(open_house: OpenHouse) -> None:
    journal, may_propose = shared(), asyncio.Event()
    (run,) = await held(open_house, journal, [["a"]], "suspect")
    models = {"a": FakeModel(spec("a"), once(may_propose, "A")), "boss": FakeModel(spec("boss"), silent())}
    two = await open_house(models, [["a"]], journal=journal, ownership=ownership("two"))
    await two.journaled(run.run_id, RunAdopted, 1)
    await journal.submit(submission("aside", "aside"), "gone")
    await journal.release("gone", ["aside"])
    assert await epochs(journal, "aside") == {1}
    may_propose.set()
    await two.journaled(run.run_id, LayerClosed, 1)
    await two.journaled("aside", RunAdopted, 1)


async def test_a_server_with_a_trial_under_way_begins_runs_of_its_own(open_house: OpenHouse) -> None:
    journal = shared()
    (run,) = await held(open_house, journal, [], "suspect")
    boss = FakeModel(spec("boss"), silent(), saying("the answer"))
    two = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("two"))
    await two.journaled(run.run_id, AgentStarted, 2)
    assert succeeded(await two.carried("another")).answer.text == "the answer"


async def test_no_trial_is_begun_beside_a_run_whose_call_is_made_again(open_house: OpenHouse) -> None:
    """It would be made a third time if the trial went wrong."""
    journal, may_answer = shared(), asyncio.Event()
    innocent, suspect = await held(open_house, journal, [], "innocent", "suspect")
    boss = FakeModel(spec("boss"), once(may_answer, "again"), saying("tried"))
    two = await open_house({"boss": boss}, [], journal=journal, ownership=ownership("two"))
    await two.journaled(innocent.run_id, RunAdopted, 1)
    assert await epochs(journal, suspect.run_id) == {1}
    may_answer.set()
    assert succeeded(await two.events(innocent.run_id)).answer.text == "again"
    assert succeeded(await two.events(suspect.run_id)).answer.text == "tried"


class Crowded(MemoryJournal):
    """A journal that tells when how many were claimed."""

    def __init__(self) -> None:
        super().__init__(monotonic=now)
        self.claims: list[tuple[float, int]] = []

    async def claim(self, owner: str, limit: int, *, trial: bool = True) -> Sequence[RunRecord]:
        claimed = await super().claim(owner, limit, trial=trial)
        self.claims.append((now(), len(claimed)))
        return claimed


async def taken(journal: Crowded, seconds: float) -> list[tuple[float, int]]:
    """Take over for a while; return after how long how many were claimed at once."""
    began, settled = now(), list[RunRecord]()
    taking = Takeover(
        journal,
        "two",
        ownership_s=5,
        room=lambda: 1000,
        can_carry_on=lambda _: True,
        unsettled=lambda: settled,
        carry_on=lambda *_: None,
    )
    looking = asyncio.create_task(taking.look_for_ever())
    await asyncio.sleep(seconds)
    looking.cancel()
    return [(at - began, number) for at, number in journal.claims if number]


@timeless
async def test_after_a_loss_runs_are_taken_over_a_few_at_a_time() -> None:
    journal = Crowded()
    for number in range(40):
        await journal.submit(submission(f"r{number}", f"q{number}"), "one")
    journal.fall("one", "")
    claims = await taken(journal, 10)
    assert [number for _, number in claims] == [16, 16, 8]
    assert all(later - before >= 0.5 for (before, _), (later, _) in pairwise(claims))


@timeless
async def test_runs_that_were_handed_over_are_taken_over_at_once() -> None:
    journal = Crowded()
    names = [f"r{number}" for number in range(40)]
    for name in names:
        await journal.submit(submission(name, name), "one")
    await journal.release("one", names)
    claims = await taken(journal, 10)
    assert [number for _, number in claims] == [16, 16, 8]
    assert claims[-1][0] < 0.5
