"""Whether callers notice that one of four models goes bad: 30 % of its calls fail, 30 % take ten times as long."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from bench.callers import Told, ask
from bench.house import House, house, upstream
from bench.panel import Panel, voice
from bench.process import Process
from bench.scale import Scale
from bench.table import Figure, quantile
from moa import MoaError

_RATE = 10
_CALLS_A_RUN = 4
_WELL = (voice(20, 80, 1), voice(20, 90, 1))
_BROWN = f"brown-{voice(20, 85, 1)}"
_INSTEAD = voice(21, 85, 1)
_PANELS: Final = {"panel": Panel((*_WELL, _BROWN), voice(50, 80, 1), {"quorum": 2, "grace": "80ms"})}
_MODELS: Final = {
    _BROWN: {"hedge": {"model": _INSTEAD, "quantile": 0.95}, "fallbacks": [_INSTEAD]},
    _INSTEAD: {},
}


@dataclass(frozen=True, slots=True)
class Spell:
    """What some time of steady load was like."""

    runs: int
    told: Sequence[Told]
    """Of those that were answered."""
    calls: int
    """At the upstream."""

    @property
    def p99(self) -> float:
        """The time that 99 % of the runs took at most."""
        return quantile([one.whole_s for one in self.told], 0.99)


async def brownout(scale: Scale) -> Sequence[Figure]:
    """Ask steadily, in good times and in bad."""
    seconds = scale.of(4.0, 15.0, 60.0)
    with upstream() as (calls, endpoint):
        async with house(endpoint, _PANELS, models=_MODELS) as server:
            await _spell(server, calls, 3.0)
            well = await _spell(server, calls, seconds)
            calls.ask("brown")
            bad = await _spell(server, calls, seconds)
    return [
        Figure(f"runs answered, of {bad.runs} in {seconds:.0f} s", 100 * len(bad.told) / bad.runs, "%", least=99.9),
        Figure("p99 of the whole, healthy", well.p99 * 1e3, "ms"),
        Figure("p99 of the whole, in the brown-out", bad.p99 * 1e3, "ms"),
        Figure("p99 ÷ healthy p99", bad.p99 / well.p99, most=1.5),
        Figure("calls beyond those planned", 100 * (bad.calls / (bad.runs * _CALLS_A_RUN) - 1), "%", most=15.0),
    ]


async def _spell(server: House, calls: Process, seconds: float) -> Spell:
    calls.ask("ledger")
    runs = int(seconds * _RATE)
    loop = asyncio.get_running_loop()
    began = loop.time()
    tasks = []
    for number in range(runs):
        await asyncio.sleep(began + number / _RATE - loop.time())
        tasks.append(asyncio.create_task(_asked(server, f"run {number}")))
    told = [one for one in await asyncio.gather(*tasks) if one is not None]
    return Spell(runs, told, len(json.loads(calls.ask("ledger"))))


async def _asked(server: House, question: str) -> Told | None:
    try:
        return await ask(server.client, question, "panel")
    except MoaError:
        return None
