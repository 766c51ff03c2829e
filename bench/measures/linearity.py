"""Whether a run costs more because many others are open: the same runs a second, each open the longer."""

import asyncio
from collections.abc import Sequence
from typing import Final

from bench.callers import ask
from bench.house import House, house, upstream
from bench.panel import Panel, voice
from bench.scale import Scale
from bench.table import Figure

_RATE = 64
"""Runs a second, so that 32 are open at half a second each and 512 at eight seconds."""
_OPEN: Final = (32, 128, 512)
_PANELS: Final = {
    f"open-{number}": Panel((voice(20, 500 * number // _RATE),) * 3, voice(100, 500 * number // _RATE))
    for number in _OPEN
}
_MOST = 1.25
"""Of what a run may cost more; twice the memory touched makes caches colder."""


async def linearity(scale: Scale) -> Sequence[Figure]:
    """Measure each number of open runs while it is steady."""
    numbers = scale.of(_OPEN[:2], _OPEN, _OPEN)
    with upstream() as (_, endpoint):
        async with house(endpoint, _PANELS) as server:
            cpu = {number: await _cpu_ms(server, number, scale.of(2.0, 6.0, 20.0)) for number in numbers}
    least, most = numbers[0], numbers[-1]
    return [
        *(Figure(f"CPU a run with {number} open, {_RATE} a second", ms, "ms") for number, ms in cpu.items()),
        Figure(f"CPU a run, {most} open ÷ {least} open", cpu[most] / cpu[least], most=_MOST),
    ]


async def _cpu_ms(server: House, number: int, steady_s: float) -> float:
    """Start runs at the rate; when the first end, as many end as begin, and measuring begins."""
    open_s = number / _RATE
    loop = asyncio.get_running_loop()
    began, cpu = loop.time(), 0.0
    async with asyncio.TaskGroup() as group:
        for count in range(int(_RATE * (open_s + steady_s))):
            await asyncio.sleep(began + count / _RATE - loop.time())
            if count == number:
                cpu = server.process.cpu_s
            group.create_task(ask(server.client, f"run {count}", f"open-{number}"))
        used = server.process.cpu_s - cpu
    return used * 1e3 / (_RATE * steady_s)
