"""Whenever owners are lost, the next carries the run on: no watcher misses an event, no proposal is paid for twice."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import count as count_from
from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from moa_server.domain.errors import JournalUnavailable
from moa_server.domain.event import (
    BEGINNING,
    AgentFailed,
    AgentStarted,
    AnswerDelta,
    AnswerRestarted,
    Cursor,
    Event,
    LayerClosed,
    ProposalReceived,
    RunAdopted,
    RunStarted,
    RunSucceeded,
)
from moa_server.domain.mixture import Rules
from moa_server.domain.operation import Ownership
from moa_server.engine.engine import Engine
from moa_server.strategies import STRATEGIES
from tests.engine.facts import ended, facts, told_as_it_happened
from tests.engine.journals import CutOff, SharedJournal
from tests.engine.stories import Story, Teller, many, stories
from tests.engine.story_runs import LIMITS, follow, patiently, start
from tests.models.timeless_loop import now
from tests.strategies.settings import SETTINGS

OWNERSHIP_S = 1.0


@dataclass
class Server:
    """An engine, its models, and its way to the journal."""

    engine: Engine
    models: dict[str, Teller]
    way: CutOff
    events: list[Event] = field(default_factory=list)
    """What a caller saw there."""


@asynccontextmanager
async def served(story: Story, journal: SharedJournal, name: str, most: int) -> AsyncIterator[Server]:
    models, way = story.models(), CutOff(journal, most)
    owner = Ownership(ownership_s=OWNERSHIP_S, lazy_s=0.02, owner=name)
    limits = replace(LIMITS, heartbeat_s=0.1)
    async with Engine(story.catalogue(models), way, limits, ownership=owner) as engine:
        yield Server(engine, models, way)


async def seen(server: Server, run_id: str, after: Cursor) -> Cursor:
    """Watch until the run ends or the server is cut off; return the place."""
    with suppress(JournalUnavailable):
        async with aclosing(server.engine.watch(run_id, after)) as news:
            async for events in news:
                server.events.extend(events)
                if server.way.is_cut or (events and events[-1].is_terminal):
                    break
    return server.events[-1].cursor if server.events else after


async def lost(story: Story, deaths: list[int], *, they_return: bool) -> tuple[list[Server], list[Event]]:
    """Have a story carried out by servers of which each is cut off after so many events; return what became of it."""
    journal = SharedJournal(ownership_s=OWNERSHIP_S, poll_s=0.05, monotonic=now)
    servers: list[Server] = []
    async with AsyncExitStack() as stack:
        place, run_id = BEGINNING, ""
        for number, most in enumerate([*deaths, 10_000]):
            server = await stack.enter_async_context(served(story, journal, f"owner {number}", most))
            servers.append(server)
            run_id = run_id or (await start(server.engine, story, detached=True)).run_id
            place = await seen(server, run_id, place)
            if not server.way.is_cut:
                break
        late = await follow(servers[-1].engine, run_id)
        if they_return:
            for server in servers:
                server.way.mend()
            async with asyncio.timeout(OWNERSHIP_S * 2):
                await asyncio.gather(*(server.engine.close(OWNERSHIP_S) for server in servers))
            assert all(asked.is_over for server in servers for model in server.models.values() for asked in model.asked)
            assert all([await follow(server.engine, run_id) == late for server in servers])
    return servers, late


def carried(story: Story, deaths: list[int], *, they_return: bool = False) -> tuple[list[Server], list[Event]]:
    return patiently(lost(story, deaths, they_return=they_return))


def are_whole(events: list[Event]) -> bool:
    """Whether no event is missing, doubled or out of order; an epoch may end anywhere."""
    return all(
        [event.sequence for event in of_epoch] == list(range(1, len(of_epoch) + 1))
        for of_epoch in (list(group) for _, group in groupby(events, key=lambda event: event.epoch))
    ) and [event.epoch for event in events] == sorted(event.epoch for event in events)


def asked_again(events: list[Event]) -> list[Event]:
    """Return where an agent was asked that had given its proposal to an earlier owner."""
    first: dict[tuple[int, int], int] = {}
    for event in events:
        if isinstance(event.fact, ProposalReceived):
            first.setdefault((event.fact.layer, event.fact.proposal.position), event.epoch)
    return [
        event
        for event in events
        if isinstance(event.fact, AgentStarted)
        and first.get((event.fact.layer, event.fact.position), event.epoch) < event.epoch
    ]


OUT_OF_TIME = Story(17, Rules(restart_answer=True, best_proposal_on_failure=True), 19, 0.2)
"""Its aggregator begins again when the run's time is over."""
BREAKS_OFF = Story(0, Rules(restart_answer=True), 28982, 0.2)
"""Its only agent breaks off, and begins again."""

DEATHS = st.lists(st.integers(0, 20), min_size=1, max_size=3)
QUICK = st.builds(Rules, restart_answer=st.booleans(), best_proposal_on_failure=st.booleans())


@many(80)
@given(stories(rules=QUICK), DEATHS, st.booleans())
def test_a_run_survives_its_owners(story: Story, deaths: list[int], they_return: bool) -> None:  # noqa: FBT001
    servers, late = carried(story, deaths, they_return=they_return)
    resumed = [event for server in servers for event in server.events]
    for stream in (resumed, late):
        assert are_whole(stream)
        assert [event.is_terminal for event in stream].index(True) == len(stream) - 1
        assert isinstance(stream[0].fact, RunStarted)
    adopted = [event for event in late if isinstance(event.fact, RunAdopted)]
    assert len(adopted) <= late[-1].epoch - 1
    assert all(event.sequence in {1, 2} for event in adopted)
    assert {event.cursor: event for event in late}.items() <= {event.cursor: event for event in resumed + late}.items()
    kept = {event.cursor for event in late}
    unkept = [event for event in resumed if event.cursor not in kept]
    assert not any(isinstance(event.fact, ProposalReceived | LayerClosed) for event in unkept), "it was shown too early"


@many(80)
@given(stories(rules=QUICK), DEATHS)
@example(BREAKS_OFF, [0])
@example(OUT_OF_TIME, [19])
def test_what_is_less_than_planned_is_told_once_and_none_of_it_is_forgotten(story: Story, deaths: list[int]) -> None:
    _, late = carried(story, deaths)
    end, planned = ended(late), Counter(facts(late, RunStarted)[0].plan.degradations)
    if isinstance(end, RunSucceeded):
        assert told_as_it_happened(late) == Counter(end.answer.degradations) - planned


@many(80)
@given(stories(rules=QUICK), DEATHS)
def test_no_agent_whose_proposal_was_journaled_is_asked_again(story: Story, deaths: list[int]) -> None:
    servers, late = carried(story, deaths)
    assert asked_again(late) == []
    last = late[-1].epoch
    asked = Counter({name: len(model.asked) for name, model in servers[-1].models.items() if model.asked})
    started = Counter(
        event.fact.agent for event in late if isinstance(event.fact, AgentStarted) and event.epoch == last
    )
    assert asked <= started
    indices = [event.fact.layer.index for event in late if isinstance(event.fact, LayerClosed)]
    assert indices == sorted(set(indices)), "no layer closes twice"


def made_for(events: list[Event]) -> int:
    """How many calls were begun, as far as it is told: an agent that no time was left for made none."""
    begun = sum(isinstance(event.fact, AgentStarted) for event in events)
    return begun - sum(isinstance(event.fact, AgentFailed) and not event.fact.failure.attempts for event in events)


@many(60)
@given(stories(rules=QUICK), DEATHS)
@example(OUT_OF_TIME, [19])
def test_the_answer_is_what_its_last_epoch_shows_and_every_known_call_is_paid_for(
    story: Story, deaths: list[int]
) -> None:
    servers, late = carried(story, deaths)
    end = ended(late)
    made = sum(len(model.asked) for server in servers for model in server.models.values())
    mine = sum(len(model.asked) for model in servers[-1].models.values())
    if isinstance(end, RunSucceeded):
        assert end.usage.calls == made_for(late), "lost calls count too"
    assert mine <= end.usage.calls
    assert end.usage.calls <= max(made, sum(isinstance(event.fact, AgentStarted) for event in late))
    if isinstance(end, RunSucceeded):
        shown: list[str] = []
        for event in late:
            if isinstance(event.fact, AnswerRestarted | RunAdopted):
                shown.clear()
            if isinstance(event.fact, AnswerDelta):
                shown.append(event.fact.text)
        assert "".join(shown) == end.answer.text


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_an_owner_can_be_lost_at_any_event(strategy: str) -> None:
    which = next(number for number, setting in enumerate(SETTINGS) if setting.strategy == strategy)
    for most in count_from():
        servers, late = carried(Story(which, Rules(), most, 0.1), [most])
        assert are_whole(late)
        assert isinstance(late[0].fact, RunStarted)
        assert asked_again(late) == []
        if len(servers) == 1:
            return
