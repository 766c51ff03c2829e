"""Kills and freezes servers at random under many runs, and checks that every one of them ends whole: `make chaos`."""

import asyncio
import random
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import dataclass, field
from socket import socket
from typing import Any, TypedDict, Unpack

from moa import AsyncClient, JournalUnavailable
from moa.v1.event_pb2 import Event
from tests.house.servers import Server
from tests.house.surviving.fleet import Fleet, freeze, thaw
from tests.house.surviving.frozen import Attachments
from tests.house.surviving.watcher import Watcher, check_whole, kept, kind
from tests.journal.postgres import Postgres
from tests.upstream import Call, Speech

LAYERS = (("p0", "p1", "p2", "p3"), ("p4", "p5", "p6", "p7"), ("p8", "p9", "p10"))
CALLS = 12
_SERVERS = 3
_TOKENS = 15
_ASK_AGAIN_S = 0.5
_MARK = re.compile(r"question (\d+)!")


@dataclass(frozen=True)
class Plan:
    """What is to be survived."""

    runs: int = 60
    faults: int = 12
    freezes: bool = False
    ownership_s: float = 3.0
    pause_s: tuple[float, float] = (0.5, 2.0)
    """Between two faults."""
    token_s: float = 0.04
    seed: int = 1


@dataclass
class Story:
    """One run, as its caller saw it and as the journal kept it."""

    number: int
    seen: list[Event]
    kept: list[Event]

    @property
    def answered(self) -> bool:
        return kind(self.seen[-1]) == "run_succeeded"

    def paid_again(self) -> int:
        """Agents that were called again by a later owner though their proposal had been kept."""
        had: set[tuple[int, str]] = set()
        again = 0
        for event in self.kept:
            if kind(event) == "proposal_received":
                had.add((event.proposal_received.layer, event.proposal_received.proposal.agent))
            elif kind(event) == "agent_started":
                again += (event.agent_started.layer, event.agent_started.agent) in had
        return again


@dataclass
class Outcome:
    """What came of it."""

    stories: list[Story]
    completed: Counter[tuple[int, str]]
    """How often the upstream gave each agent of each run its whole answer."""
    kills: int = 0
    freezes: int = 0
    took_s: float = 0.0

    @property
    def answered(self) -> int:
        return sum(story.answered for story in self.stories)

    @property
    def adopted(self) -> int:
        return sum(kind(event) == "run_adopted" for story in self.stories for event in story.kept)

    @property
    def paid_again(self) -> int:
        return sum(story.paid_again() for story in self.stories)

    @property
    def most_paid(self) -> int:
        """How often a call was paid that was paid most often."""
        return max(self.completed.values(), default=0)

    @property
    def completed_again(self) -> int:
        return sum(times - 1 for times in self.completed.values())


@dataclass
class House:
    """Servers on ports that stay theirs, so that one that is started again is found where it was."""

    fleet: Fleet
    ownership_s: float
    number: int = _SERVERS
    strategy: str = "aggregate"
    journal: dict[str, Any] = field(default_factory=dict)
    """What else is said of it."""
    ports: list[int] = field(default_factory=list)
    servers: dict[int, Server] = field(default_factory=dict)

    async def open(self) -> None:
        self.ports = free_ports(self.number)
        await asyncio.gather(*(self.start(port) for port in self.ports))

    async def start(self, port: int) -> None:
        names = [*(name for layer in LAYERS for name in layer), "boss"]
        provided = {"provider": "openai", "endpoint": self.fleet.upstream.endpoint}
        (server,) = await self.fleet.start(
            1,
            models={name: {**provided, "model": name} for name in names},
            agents={name: {"model": name} for name in names},
            mixtures={"deep": {"strategy": self.strategy, "layers": [*map(list, LAYERS)], "aggregator": "boss"}},
            server={"listen": f"127.0.0.1:{port}", "drain_grace": "0s"},
            journal={**self.fleet.journal, "ownership": self.ownership_s, **self.journal},
        )
        self.servers[port] = server

    async def client(self, *ports: int) -> AsyncClient:
        addresses = ",".join(f"127.0.0.1:{port}" for port in ports or self.ports)
        return await self.fleet.stack.enter_async_context(AsyncClient(f"ipv4:{addresses}", timeout=180))


Faults = Callable[[House, Plan, random.Random], Coroutine[Any, Any, tuple[int, int]]]
"""Does what is to be survived; returns how many kills and freezes it was."""


class Furnishing(TypedDict, total=False):
    """What may be said of a house."""

    number: int
    strategy: str
    journal: dict[str, Any]


@asynccontextmanager
async def house_on(
    fleet: Fleet, ownership_s: float, token_s: float, **more: Unpack[Furnishing]
) -> AsyncIterator[House]:
    """Run the servers; the answers of all models take their time."""
    fleet.upstream.script("*", Speech(tokens=_TOKENS, token_s=token_s))
    house = House(fleet, ownership_s, **more)
    await house.open()
    yield house


async def survive(fleet: Fleet, plan: Plan, faults_of: Faults | None = None) -> Outcome:
    """Carry the runs out under the faults, those of servers unless others are given; return what came of them."""
    chance = random.Random(plan.seed)
    async with house_on(fleet, plan.ownership_s, plan.token_s) as house:
        client = await house.client()
        began = time.monotonic()
        faults = asyncio.create_task((faults_of or _faults)(house, plan, chance))
        seen = await asyncio.gather(
            *(
                asked(client, number, chance.uniform(0, plan.faults), request_id=f"request {number}")
                for number in range(plan.runs)
            )
        )
        took_s = time.monotonic() - began
        kills, freezes = await faults
        stories = await stories_of(client, seen)
        return Outcome(stories, completed(fleet.upstream.calls), kills, freezes, took_s)


async def stories_of(client: AsyncClient, seen: Sequence[tuple[str, list[Event]]]) -> list[Story]:
    """Hold what callers saw of each run against what was kept."""
    stories = [Story(number, events, await kept(client, run_id)) for number, (run_id, events) in enumerate(seen)]
    for story in stories:
        check_whole(story.seen, story.kept)
    return stories


async def asked(
    client: AsyncClient, number: int, after_s: float, more: str = "", request_id: str = ""
) -> tuple[str, list[Event]]:
    """Ask after a while; return which run it is, and all that came.

    What was refused because the journal was away is asked again, by its own id if it has one.
    """
    await asyncio.sleep(after_s)
    while True:
        async with client.synthesize(f"question {number}!{more}", mixture="deep", request_id=request_id) as stream:
            try:
                events = [event async for event in stream]
            except JournalUnavailable:
                if stream.run_id or not request_id:  # a run that was begun is not to be lost sight of
                    raise
                await asyncio.sleep(_ASK_AGAIN_S)
            else:
                return stream.run_id, events


async def _faults(house: House, plan: Plan, chance: random.Random) -> tuple[int, int]:
    done: Counter[str] = Counter()
    for _ in range(plan.faults):
        await asyncio.sleep(chance.uniform(*plan.pause_s))
        port = chance.choice(house.ports)
        if plan.freezes and chance.random() < 0.5:
            freeze(house.servers[port])
            await asyncio.sleep(plan.ownership_s * chance.uniform(1.1, 1.6))
            thaw(house.servers[port])
            done["freeze"] += 1
        else:
            await asyncio.to_thread(house.servers[port].kill)
            await house.start(port)
            done["kill"] += 1
    return done["kill"], done["freeze"]


def completed(calls: Sequence[Call]) -> Counter[tuple[int, str]]:
    """Count the calls that were answered to their last token, by run and agent."""
    whole = (call for call in calls if call.tokens_sent == _TOKENS and call.aborted is None)
    return Counter((number_of(call), call.model) for call in whole)


def number_of(call: Call) -> int:
    """Return which run asked."""
    found = _MARK.search(str(call.body))
    assert found is not None
    return int(found[1])


async def takeovers(fleet: Fleet, ownership_s: float, *, runs: int, kill: bool) -> list[float]:
    """Take the owner of some runs away; return the seconds until each caller saw the next owner's first event."""
    async with house_on(fleet, ownership_s, token_s=0.2) as house:
        await asyncio.sleep(ownership_s * 1.2)  # nobody claims before the store was well for one ownership
        first = await house.client(house.ports[0])
        others = await house.client(*house.ports[1:])
        async with AsyncExitStack() as stack:
            watching = []
            for number in range(runs):
                async with first.synthesize(f"question {number}!", mixture="deep", detached=True) as stream:
                    await anext(stream)
                    run_id = stream.run_id
                watching.append(await stack.enter_async_context(Watcher(others.watch(run_id))))
            for one in watching:
                await one.seen("agent_started")
            began = time.monotonic()
            process = house.servers[house.ports[0]].process
            process.kill() if kill else process.terminate()
            return await asyncio.gather(*(_adopted(one, began) for one in watching))


async def hand_overs(fleet: Fleet, ownership_s: float, *, runs: int, times: int, token_s: float) -> Outcome:
    """Stop the server of all runs in an orderly way, so many times; return what came of them."""
    async with house_on(fleet, ownership_s, token_s, number=2, journal={"most_owners": 1}) as house:
        client = await house.client()
        first = await house.client(house.ports[0])
        begun = []
        for number in range(runs):
            async with first.synthesize(f"question {number}!", mixture="deep", detached=True) as stream:
                await anext(stream)
                begun.append(stream.run_id)
        for turn in range(times):
            port = house.ports[turn % 2]
            server = house.servers[port]
            assert await asyncio.to_thread(server.stop) == 0
            heir = house.servers[house.ports[(turn + 1) % 2]]
            await asyncio.to_thread(heir.wait_for_log, "run.adopted", runs)
            await house.start(port)
        seen = [(run_id, await kept(client, run_id)) for run_id in begun]
        return Outcome(await stories_of(client, seen), completed(fleet.upstream.calls))


async def breaks(fleet: Fleet, ownership_s: float, *, runs: int) -> list[float]:
    """Freeze a server under the callers of some runs; return the seconds until each of them has left it."""
    async with house_on(fleet, ownership_s, token_s=0.2) as house:
        frozen, *others = (house.servers[port] for port in house.ports)
        async with Attachments(frozen.target, *(other.target for other in others)) as callers:
            watching = [await callers.enter(f"question {number}!", "deep") for number in range(runs)]
            for one in watching:
                await one.seen("agent_started")
            began = time.monotonic()
            freeze(frozen)
            left_at = await callers.have_left(runs)
            for one in watching:
                await one.seen("run_adopted")  # from another server, while the first is still frozen
            thaw(frozen)
            return [at - began for at in left_at[:runs]]


async def outage(fleet: Fleet, store: Postgres, *, ownership_s: float, dead_s: float) -> float:
    """Kill the store under a run that is answering; return the seconds from its return to the end of the run."""
    async with house_on(fleet, ownership_s, token_s=0.2) as house:
        client = await house.client()
        async with Watcher(client.synthesize("question 0!", mixture="deep")) as caller:
            await caller.seen("answer_delta")
            await asyncio.to_thread(store.kill)
            await asyncio.sleep(dead_s)
            await asyncio.to_thread(store.start)
            began = time.monotonic()
            end = await caller.end()
            assert (kind(end), end.epoch) == ("run_succeeded", 1)
            return time.monotonic() - began


async def _adopted(watching: Watcher, began: float) -> float:
    await watching.seen("run_adopted")
    return time.monotonic() - began


def free_ports(number: int) -> list[int]:
    """Return ports that nobody listens on."""
    sockets: list[Any] = [socket() for _ in range(number)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        with closing(one):
            pass
    return ports
