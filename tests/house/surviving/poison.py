"""Lets some of many runs hold their server's event loop, starts anew what ends itself, and counts who was lost."""

import asyncio
import random
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from moa import AsyncClient, Unreachable
from moa.v1.error_pb2 import ERROR_REASON_RUN_QUARANTINED
from moa.v1.event_pb2 import Event
from tests.house.surviving import poisoned_server
from tests.house.surviving.chaos import House, Outcome, asked, completed, house_on, stories_of
from tests.house.surviving.fleet import Fleet

HELD_EXIT = 70
_LOOK_S = 0.05
_AGAIN_S = 0.5


@dataclass(frozen=True)
class Dose:
    """How much poison there is, and for how long a server stands it."""

    runs: int = 60
    poisoned: int = 3
    within_s: float = 30.0
    """In which time the runs begin."""
    ownership_s: float = 5.0
    busy_limit_s: float = 2.0
    token_s: float = 0.04
    seed: int = 1


@dataclass
class Effect:
    """What came of it."""

    outcome: Outcome
    poisoned: range
    ended: list[int]
    """The exit codes of servers that ended."""

    @property
    def quarantined(self) -> int:
        ends = (self.outcome.stories[number].seen[-1] for number in self.poisoned)
        return sum(end.run_failed.failure.reason == ERROR_REASON_RUN_QUARANTINED for end in ends)

    @property
    def most_paid(self) -> int:
        """How often the call was paid that was paid most often."""
        return max(self.outcome.completed.values())


def taking_poison(fleet: Fleet) -> None:
    """Have the fleet's servers started with the strategy that can hold them."""
    fleet.command = (sys.executable, str(Path(poisoned_server.__file__)))


async def poisoned(fleet: Fleet, dose: Dose) -> Effect:
    """Carry runs out of which the first few hold every server they come to, and return what came of them."""
    chance = random.Random(dose.seed)
    taking_poison(fleet)
    held = {"busy_limit": dose.busy_limit_s}
    house = house_on(fleet, dose.ownership_s, dose.token_s, strategy=poisoned_server.NAME, journal=held)
    async with house as servers:
        client = await servers.client()
        care = asyncio.create_task(_started_anew(servers))
        poison = range(dose.poisoned)
        after = [dose.within_s * (number + 0.5) / dose.poisoned for number in poison]
        after += [chance.uniform(0, dose.within_s) for _ in range(dose.runs - dose.poisoned)]
        seen = await asyncio.gather(
            *(_asked(client, number, s, " poison!" if number in poison else "") for number, s in enumerate(after))
        )
        stories = await stories_of(client, seen)
        care.cancel()
        with suppress(asyncio.CancelledError):
            await care
        codes = [server.process.poll() for server in fleet.servers]
        ended = [code for code in codes if code is not None]
        return Effect(Outcome(stories, completed(fleet.upstream.calls)), poison, ended)


async def _asked(client: AsyncClient, number: int, after_s: float, more: str) -> tuple[str, list[Event]]:
    """Ask again where the first message never came: a server that is held takes calls, and ends with them."""
    while True:
        try:
            return await asked(client, number, after_s, more, f"request {number}")
        except Unreachable:
            after_s = _AGAIN_S


async def _started_anew(house: House) -> None:
    """Do what Kubernetes does for a container that has ended."""
    while True:
        await asyncio.sleep(_LOOK_S)
        for port in house.ports:
            if house.servers[port].process.poll() is not None:
                await house.start(port)
