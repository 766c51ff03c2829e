"""Kills servers that share sealed runs, beside one whose keys are others and which can read none of them."""

import asyncio
import random
from base64 import b64encode
from dataclasses import dataclass
from os import urandom

from tests.house.surviving.chaos import House, Outcome, Plan, asked, completed, free_ports, house_on, stories_of
from tests.house.surviving.fleet import Fleet

_OURS, _THEIRS = "ours", "theirs"


@dataclass(frozen=True)
class Sealed:
    """What came of it."""

    outcome: Outcome
    left: int
    """How often the stranger took a run, and left it to those who can read it."""


async def sealed(fleet: Fleet, plan: Plan) -> Sealed:
    """Carry the runs out while their servers are killed by turns, and return what came of them."""
    chance = random.Random(plan.seed)
    for name in (_OURS, _THEIRS):
        (fleet.folder / name).write_bytes(b64encode(urandom(32)))
    async with house_on(fleet, plan.ownership_s, plan.token_s, number=0) as house:
        house.ports = free_ports(3)
        *readers, stranger = house.ports
        await _start(house, stranger, _THEIRS)
        for port in readers:
            await _start(house, port, _OURS)
        client = await house.client(*readers)
        faults = asyncio.create_task(_kills(house, readers, plan, chance))
        seen = await asyncio.gather(
            *(asked(client, number, chance.uniform(0, plan.faults)) for number in range(plan.runs))
        )
        kills = await faults
        outcome = Outcome(await stories_of(client, seen), completed(fleet.upstream.calls), kills)
        left = sum(line["event"] == "run.left_to_others" for line in house.servers[stranger].log())
        return Sealed(outcome, left)


async def _kills(house: House, ports: list[int], plan: Plan, chance: random.Random) -> int:
    for number in range(plan.faults):
        await asyncio.sleep(chance.uniform(*plan.pause_s))
        port = ports[number % len(ports)]
        await asyncio.to_thread(house.servers[port].kill)
        await _start(house, port, _OURS)
    return plan.faults


async def _start(house: House, port: int, keys: str) -> None:
    house.journal = {"encryption": {"keys": {"file": keys}}}
    await house.start(port)
