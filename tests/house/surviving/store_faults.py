"""Takes the store itself away under many runs: its file is held by a server that is frozen, its database is killed."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from grpc_health.v1.health_pb2 import HealthCheckResponse

from moa import JournalUnavailable, MoaError
from tests.house.health import until
from tests.house.servers import Server
from tests.house.surviving.chaos import Faults, House, Plan
from tests.house.surviving.fleet import freeze_in_a_write, thaw
from tests.journal.postgres import Postgres

_READINESS = "moa.readiness"
_CALL_S = 20.0


@dataclass
class Held:
    """What the others made of it when one of them was frozen in a write to their file."""

    others: int = 0
    told: int = 0
    """Of these, how many told a caller that the journal was unavailable."""
    unready_s: list[float] = field(default_factory=list)
    """After which each was not ready any more."""
    ready_s: list[float] = field(default_factory=list)
    """After which each was ready again, once the one that held the file went on or was dead."""


def frozen_in_writes(path: Path, held: Held) -> Faults:
    """Freeze servers in the middle of their writes; let them go on, and kill them, by turns."""

    async def faults(house: House, plan: Plan, chance: random.Random) -> tuple[int, int]:
        for number in range(plan.faults):
            await asyncio.sleep(chance.uniform(*plan.pause_s))
            port = chance.choice(house.ports)
            server = house.servers[port]
            others = [house.servers[other] for other in house.ports if other != port]
            since = await freeze_in_a_write(server, path)
            held.others += len(others)
            told, held_s = await asyncio.gather(
                asyncio.gather(*(_is_told(house, other) for other in others)),
                _all_become(others, HealthCheckResponse.NOT_SERVING, since),
            )
            held.told += sum(told)
            held.unready_s += held_s
            if number % 2:
                await asyncio.to_thread(server.kill)
            else:
                thaw(server)
            held.ready_s += await _all_become(others, HealthCheckResponse.SERVING, time.monotonic())
            if number % 2:
                await house.start(port)
        return plan.faults // 2, plan.faults - plan.faults // 2

    return faults


def killed_store(store: Postgres) -> Faults:
    """Kill the database and start it again, now for less time than an ownership, now for more."""

    async def faults(_house: House, plan: Plan, chance: random.Random) -> tuple[int, int]:
        for number in range(plan.faults):
            await asyncio.sleep(chance.uniform(*plan.pause_s))
            await asyncio.to_thread(store.kill)
            await asyncio.sleep(plan.ownership_s * (0.3, 1.5)[number % 2])
            await asyncio.to_thread(store.start)
        return plan.faults, 0

    return faults


async def _is_told(house: House, server: Server) -> bool:
    client = await house.client(server.port)
    try:
        await client.query("who holds the file?", mixture="deep", timeout=_CALL_S)
    except MoaError as error:
        return isinstance(error, JournalUnavailable)
    return False


async def _all_become(servers: Sequence[Server], status: int, since: float) -> list[float]:
    async def becomes(server: Server) -> float:
        await until(server.target, status, _READINESS)
        return time.monotonic() - since

    return await asyncio.gather(*(becomes(server) for server in servers))
