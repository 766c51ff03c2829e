"""What an open run holds: a thousand at once, waiting on slow upstreams."""

import asyncio
from collections.abc import Sequence
from time import perf_counter
from typing import Final

from bench.callers import ask, ask_many
from bench.house import House, house, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure
from moa import MoaError

_FIRST_MS = 4000
_PANELS: Final = {
    "quick": Panel((voice(20, 0),) * 3, voice(20, 0)),
    "slow": Panel((voice(20, _FIRST_MS),) * 3, voice(50, _FIRST_MS, 10)),
}
_PATH_S: Final = 2 * _FIRST_MS / 1000 + 49 * 0.010
_SPARE_S, _MOST_KIB = 4.0, 110.0


async def memory(scale: Scale) -> Sequence[Figure]:
    """Open them all, and look at the server's memory until the last has ended."""
    runs = scale.of(100, 1000, 1000)
    with upstream() as (_, endpoint):
        async with house(endpoint, _PANELS) as server:
            await ask_many(server.client, "quick", 64, at_once=16)
            idle, began = server.process.resident, perf_counter()
            peak = asyncio.create_task(_peak(server))
            ends = await asyncio.gather(*(_end(server, number) for number in range(runs)))
            whole = perf_counter() - began
            peak.cancel()
            most = await peak
            await asyncio.sleep(1.0)
            after = server.process.resident
    return [
        Figure(f"{runs} runs opened at once: not answered", ends.count(False), most=0),
        Figure("resident for each above idle, at the most", (most - idle) / runs / 1024, "KiB", most=_MOST_KIB),
        Figure("resident for each above idle, a second after the last", (after - idle) / runs / 1024, "KiB"),
        Figure(f"the last one done, over the critical path of {_PATH_S:.1f} s", whole - _PATH_S, "s", most=_SPARE_S),
    ]


async def _end(server: House, number: int) -> bool:
    try:
        await ask(server.client, f"run {number}", "slow")
    except MoaError:
        return False
    return True


async def _peak(server: House) -> int:
    most = 0
    try:
        while True:
            most = max(most, server.process.resident)
            await asyncio.sleep(0.1)
    except asyncio.CancelledError:
        return most
